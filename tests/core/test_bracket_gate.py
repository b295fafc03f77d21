"""The gate of a bracket run: one entry from flat, exits that only reduce, no more than is held, and no loops."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bracket_gate import ORDERS_PER_MINUTE, BracketGate
from core.messages import LedgerRequested, PlaceOrder, TradingStateChanged
from core.types import OrderState, Role, Side, TradingState
from tests.core.builders import GRVT, changed, filled, instrument, ledger, place

D = Decimal


def _gate(state: TradingState = TradingState.ACTIVE, held: str = "0") -> BracketGate:
    gate = BracketGate(instrument(GRVT), Side.BUY, D("0.10"), D(100), ledger("gate", grvt=held))
    gate.handle(TradingStateChanged(state=state, reason="", at=0.0))
    return gate


def _entry(number: int = 1, **more: Any) -> PlaceOrder:
    return place(number, venue=GRVT, role=Role.ENTRY, **more)


def _exit(number: int = 2, *, role: Role = Role.SL, side: Side = Side.SELL, reduce_only: bool = True, **more: Any) -> PlaceOrder:
    return place(number, venue=GRVT, role=role, side=side, reduce_only=reduce_only, **more)


def _reason(gate: BracketGate, order: PlaceOrder) -> str:
    denial = gate.check(order, 0.0)
    return "" if denial is None else denial.reason


def test_an_entry_passes_from_flat_and_only_once() -> None:
    gate = _gate()
    assert ("", "an earlier bracket is not finished") == (_reason(gate, _entry(1)), _reason(gate, _entry(2)))


def test_no_entry_over_a_position_or_a_leg_that_may_still_fill() -> None:
    gate = _gate(held="0.10")
    leg = _exit()
    assert "" == _reason(gate, leg)
    gate.handle(filled(_exit(3, role=Role.TP), "t1", "0.10"))
    assert "an earlier bracket is not finished" == _reason(gate, _entry(4))
    gate.handle(changed(leg, OrderState.CANCELED))
    assert "" == _reason(gate, _entry(5))


@pytest.mark.parametrize("state", [each for each in TradingState if each is not TradingState.ACTIVE])
def test_no_entry_while_not_active(state: TradingState) -> None:
    assert f"no entry while {state.value}" == _reason(_gate(state), _entry())


@pytest.mark.parametrize("state", [each for each in TradingState if each is not TradingState.HALTED])
def test_exits_pass_in_every_state_but_halted(state: TradingState) -> None:
    """A position must be protected while starting, reducing and stopping too."""
    assert "" == _reason(_gate(state, held="0.10"), _exit())


def test_nothing_passes_while_halted() -> None:
    assert "only cancels while HALTED" == _reason(_gate(TradingState.HALTED, held="0.10"), _exit())


def test_halted_is_for_the_life_of_the_process() -> None:
    """A risk judge that was built anew knows nothing of the halt; the gate does."""
    gate = _gate(TradingState.HALTED, held="0.10")
    gate.handle(TradingStateChanged(state=TradingState.ACTIVE, reason="", at=1.0))
    assert "only cancels while HALTED" == _reason(gate, _exit())


def test_stop_and_profit_stand_side_by_side() -> None:
    """Each as large as the position: reduce-only keeps their sum harmless."""
    gate = _gate(held="0.10")
    assert ["", ""] == [_reason(gate, _exit(2)), _reason(gate, _exit(3, role=Role.TP))]


@pytest.mark.parametrize("more", [{"quantity": "0.11"}, {"side": Side.BUY}])
def test_an_exit_never_exceeds_what_is_held(more: dict[str, Any]) -> None:
    assert "does not reduce" in _reason(_gate(held="0.10"), _exit(**more))


def test_an_exit_that_may_open_is_a_fat_finger() -> None:
    denial = _gate(held="0.10").check(_exit(reduce_only=False), 0.0)
    assert denial is not None
    assert denial.is_fat_finger


def test_a_position_beyond_the_size_can_be_protected() -> None:
    """Somebody added by hand: the stop may be as large as what is there."""
    assert "" == _reason(_gate(held="0.25"), _exit(quantity="0.25"))


def test_the_entry_never_exceeds_the_size() -> None:
    assert "quantity 0.11 is above the size 0.10" == _reason(_gate(), _entry(quantity="0.11"))


def test_one_closing_order_at_a_time() -> None:
    gate = _gate(held="0.10")
    close = {"role": Role.REPAIR, "price": "3000"}
    assert ["", "a closing order is under way"] == [_reason(gate, _exit(2, **close)), _reason(gate, _exit(3, **close))]


def test_an_overshoot_is_bought_back() -> None:
    assert "" == _reason(_gate(held="-0.10"), _exit(role=Role.REPAIR, side=Side.BUY))


def test_a_price_outside_the_collar_is_a_fat_finger() -> None:
    gate = _gate()
    for number in range(3):
        gate.check(_entry(number, price="3100", reference_price="3000"), 0.0)
    assert gate.must_halt


def test_an_older_life_is_fenced_off() -> None:
    gate = _gate()
    gate.handle(LedgerRequested(owner="oco_pair", epoch=7))
    assert "epoch 6 of oco_pair has been replaced" == _reason(gate, _entry(owner="oco_pair", epoch=6))


def test_a_loop_is_stopped() -> None:
    """So many orders in a minute are nobody's intention (E12)."""
    gate = _gate(held="0.10")
    for number in range(ORDERS_PER_MINUTE):
        assert "" == _reason(gate, _exit(number))
    assert f"{ORDERS_PER_MINUTE} orders in a minute" == _reason(gate, _exit(ORDERS_PER_MINUTE))
    assert gate.check(_exit(ORDERS_PER_MINUTE + 1), 61.0) is None


@given(
    st.just(0) | st.integers(-20, 20),
    st.lists(
        st.tuples(st.sampled_from((Role.ENTRY, Role.SL, Role.TP, Role.REPAIR)), st.booleans(), st.integers(1, 12)),
        min_size=6,
        max_size=12,
    ),
)
def test_what_passes_can_never_make_the_position_larger_than_the_size(held: int, wanted: list[tuple[Role, bool, int]]) -> None:
    """Whatever of the orders that passed fills, each of them reduces, or is the one entry from flat."""
    gate, entries = _gate(held=str(D(held) / 100)), 0
    for number, (role, is_buy, lots) in enumerate(wanted):
        side = Side.BUY if is_buy else Side.SELL
        order = place(number, venue=GRVT, role=role, side=side, quantity=str(D(lots) / 100), reduce_only=role is not Role.ENTRY)
        if gate.check(order, 0.0) is not None:
            continue
        if role is Role.ENTRY:
            entries += 1
            assert (held, side, entries) == (0, Side.BUY, 1)
            assert order.quantity <= D("0.10")
        else:
            assert order.quantity <= max(abs(D(held) / 100), D("0.10"))
            assert held == 0 or side.sign * held < 0
