"""Answers that do not come, or come as 429: nothing is assumed, nothing is sent twice (RELIABILITY.md C, E9, §3.3, I26)."""

from __future__ import annotations

import json
import threading
import time
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from core import trading_state
from core.messages import Alert, FetchPosition, HedgeStalled, OrderChanged, Tick, TradingStateChanged
from core.routing import QUOTER
from core.types import OrderState, Role, TradingState
from simulator.exchange import SimOrder
from tests.faults.house import BACKPACK, GRVT, GUARD_S, House
from tests.faults.rig import Fault, LocalRun, Saboteur, assert_adds_up, quicken, running, until, without_audits

MANY = 1_000_000


def hedges_sent(house: House) -> int:
    return len([order for order in house.hedge.sent if order.role is Role.HEDGE])


def is_unknown(run: LocalRun, role: Role) -> bool:
    return any(change.order.role is role and change.order.state is OrderState.UNKNOWN for change in run.seen(OrderChanged))


def filled_quote(house: House, run: LocalRun) -> SimOrder:
    """A quote of the bot that has just been taken in whole."""
    (quote,) = until(lambda: house.maker.open_orders, "a quote")
    house.maker.hit(quote)
    return quote


@pytest.mark.parametrize("fault", ["lose_answer", "late"])
def test_a_hedge_of_unknown_outcome_covers_until_there_is_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Stream and lookups say nothing for a while: no second hedge, no quote. Then it is found, and that was all."""
    quicken(monkeypatch)
    house = House()
    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        until(lambda: house.maker.open_orders, "a quote")
        house.hedge.faults.append(fault)
        house.hedge.is_mute, house.hedge.broken_reads = True, MANY
        quote = filled_quote(house, run)
        until(lambda: is_unknown(run, Role.HEDGE), "UNKNOWN")
        until(lambda: house.hedge.reads_refused > 4, "some lookups in vain")
        assert (1, [], quote.quantity) == (hedges_sent(house), house.maker.open_orders, house.hedge.volume)
        house.hedge.broken_reads = 0
        until(lambda: house.maker.open_orders, "the next quote")
        house.hedge.is_mute = False
        assert 1 == hedges_sent(house)
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_a_hedge_that_never_arrived_is_sent_anew_once_that_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absence counts after the bound that the venue enforces, and then exactly one new hedge goes out, under a new id."""
    quicken(monkeypatch)
    house = House()
    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        until(lambda: house.maker.open_orders, "a quote")
        house.hedge.faults.append("lose_request")
        quote = filled_quote(house, run)
        until(lambda: house.hedge.volume == quote.quantity, "the second hedge")
        until(lambda: house.maker.open_orders, "the next quote")
        assert (2, True) == (hedges_sent(house), is_unknown(run, Role.HEDGE))
        run.assert_ends_in_order()
    assert_adds_up(house)


@pytest.mark.parametrize("fault", ["lose_answer", "late", "lose_request"])
def test_a_quote_of_unknown_outcome_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """While nobody knows whether it rests, no other quote is sent; a late one is found and taken over or cancelled."""
    quicken(monkeypatch)
    house = House()
    house.maker.faults.append(fault)
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        run.until_traded(2)
        run.assert_ends_in_order()
    assert_adds_up(house)
    history = [message for message in run.tap.messages if isinstance(message, OrderChanged)]
    began = next(n for n, change in enumerate(history) if change.order.state is OrderState.UNKNOWN)
    first = history[began].order.client_order_id
    ended = next(n for n, change in enumerate(history) if n > began and is_known(change, first))
    assert {first} == {change.order.client_order_id for change in history[: ended + 1]}


def is_known(change: OrderChanged, number: int) -> bool:
    return change.order.client_order_id == number and change.order.state is not OrderState.UNKNOWN


@pytest.mark.parametrize(
    ("fault", "state"), [("not_sent", OrderState.DENIED), ("refuse", OrderState.REJECTED), ("throttle", OrderState.DENIED)]
)
@pytest.mark.parametrize("side", ["maker", "hedge"])
def test_an_order_that_certainly_failed_is_decided_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str, fault: str, state: OrderState
) -> None:
    """Twice in a row: the answer ends the order, no lookup has to; each new attempt has an id of its own, and it trades on."""
    quicken(monkeypatch)
    house = House()
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        getattr(house, side).faults.extend([fault] * 2)
        until(lambda: not getattr(house, side).faults, "both failures")
        run.until_traded(2)
        run.assert_ends_in_order()
    assert_adds_up(house)
    assert 2 == len({c.order.client_order_id for c in run.tap.messages if isinstance(c, OrderChanged) and c.order.state is state})


@pytest.mark.parametrize("retry_after_s", [0.5, None, 3600.0])
def test_after_a_429_the_hedge_goes_before_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retry_after_s: float | None
) -> None:
    """The hedge venue throttles, for a moment or for an hour: the next request it gets is the hedge again."""
    quicken(monkeypatch)
    without_audits(monkeypatch)  # One that was granted before the refusal could come after it.
    house = House()
    house.hedge.retry_after_s = retry_after_s
    with running(tmp_path, house, monkeypatch, rates={"total": 20.0}) as run:
        run.until_active()
        until(lambda: house.maker.open_orders, "a quote")
        house.hedge.faults.append("throttle")
        house.hedge.calls.clear()
        filled_quote(house, run)
        until(lambda: house.hedge.volume > 0, "the hedge")
        assert ["place", "place"] == house.hedge.calls[:2]
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_the_third_429_within_a_minute_takes_the_quotes_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C6. The fill that met them is hedged all the same, and nothing is quoted until the first of them is old."""
    quicken(monkeypatch)
    house = House()
    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        until(lambda: house.maker.open_orders, "a quote")
        house.hedge.faults.extend(["throttle"] * 3)
        filled_quote(house, run)
        until(lambda: house.hedge.volume > 0 and run.state is TradingState.REDUCING, "the hedge, and REDUCING")
        until(lambda: not house.maker.open_orders, "no quote")
        quotes, handled = len(house.maker.sent), run.handled(QUOTER)
        until(lambda: run.handled(QUOTER) > handled + 20, "the quoter to have had its chances")
        assert (quotes, 4) == (len(house.maker.sent), hedges_sent(house))
        monkeypatch.setattr(trading_state, "THROTTLE_WINDOW_S", 0.0)
        until(lambda: house.maker.open_orders, "a quote")
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_a_limiter_built_anew_keeps_the_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C6. The venue asked for an hour; the crash of who was told so does not shorten it."""
    quicken(monkeypatch)
    saboteur, house, name = Saboteur(monkeypatch), House(), f"rate_limiter.{BACKPACK}"
    house.hedge.retry_after_s = 3600.0
    with running(tmp_path, house, monkeypatch, rates={"total": 20.0}) as run:
        run.until_active()
        until(lambda: house.maker.open_orders, "a quote")
        house.hedge.faults.append("throttle")
        filled_quote(house, run)
        until(lambda: house.hedge.volume > 0, "the hedge")
        before = run.epoch(name)
        saboteur.plant(Fault(name, Tick.__name__))
        run.tell(name, Tick())
        until(lambda: run.epoch(name) > before, "a new limiter")
        run.loop.request_health()
        until((tmp_path / "health.json").exists, "the dump")
        limits = json.loads((tmp_path / "health.json").read_text())["limits"]
        assert (True, False) == tuple(limits[venue]["total"]["frozen_s"] > 0 for venue in (BACKPACK, GRVT))
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_a_read_that_is_stuck_holds_up_no_hedge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C7. The reads of the hedge venue hang until the hedge is done."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    entered, gate = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        gate.wait(GUARD_S)

    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        until(lambda: house.maker.open_orders, "a quote")
        saboteur.plant(Fault(f"rest_poller.{BACKPACK}", FetchPosition.__name__, block=hang))
        run.tell(f"rest_poller.{BACKPACK}", FetchPosition(venue=BACKPACK, symbol=house.hedge.symbol))
        assert entered.wait(GUARD_S)
        quote = filled_quote(house, run)
        until(lambda: house.hedge.volume == quote.quantity, "the hedge")
        gate.set()
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_a_maker_venue_that_refuses_for_good_halts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C9, C15. A key or a contract that is gone: one quote after each quiet time, the third refusal is the last, and no more is sent."""
    quicken(monkeypatch)
    monkeypatch.setattr(trading_state, "QUIET_S", 0.2)
    house = House()
    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        until(lambda: house.maker.open_orders, "a quote")
        house.maker.faults.extend(["refuse_for_good"] * 10)
        filled_quote(house, run)
        until(lambda: run.state is TradingState.HALTED, "HALTED")
        left = len(house.maker.faults)
        handled = run.handled(QUOTER)
        until(lambda: run.handled(QUOTER) > handled + 20, "the quoter to have had its chances")
        assert (7, 7, 3) == (left, len(house.maker.faults), run.end())
    assert_adds_up(house)


def test_a_contract_that_has_changed_is_not_traded_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C15. A refusal for good has it read anew: what was filled is hedged, then it halts, and says what is different."""
    quicken(monkeypatch)
    house = House()
    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        until(lambda: house.maker.open_orders, "a quote")
        house.maker.instrument = msgspec.structs.replace(house.maker.instrument, lot_size=Decimal("0.1"))
        house.maker.faults.append("refuse_for_good")
        filled_quote(house, run)
        until(lambda: run.state is TradingState.HALTED, "HALTED")
        assert [True] == ["lot_size 0.01 is now 0.1" in alert.text for alert in run.seen(Alert) if alert.key == "instrument"]
        assert 3 == run.end()
    assert_adds_up(house)


def test_a_refused_hedge_is_tried_at_three_prices_and_then_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C16, E9. Each wider than the one before; past the last the fill is unwound where it was made, a person is told, and no quote rests."""
    quicken(monkeypatch)
    house = House()
    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        until(lambda: house.maker.open_orders, "a quote")
        house.hedge.faults.extend(["refuse"] * 10)
        quote = filled_quote(house, run)
        until(lambda: house.maker.volume == 2 * quote.quantity and house.net == 0, "the unwind")
        until(lambda: run.seen(HedgeStalled) and run.state is TradingState.REDUCING, "the alarm, and REDUCING")
        tried = [order for order in house.hedge.sent if order.role is Role.HEDGE]
        caps = [order.side.sign * order.price for order in tried]
        assert (3, sorted(set(caps)), []) == (len(tried), caps, house.maker.open_orders)
        assert run.end() == 0
    assert (0, 0, []) == (house.maker.position, house.hedge.position, house.reused_client_ids)


@pytest.mark.parametrize("step_s", [3_600, -3_600])
def test_a_step_of_the_wall_clock_changes_no_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: int) -> None:
    """An hour forward or back in the middle of trading: no state changes, nothing expires, the accounts are right."""
    genuine, genuine_ns, shift_s = time.time, time.time_ns, [0]
    monkeypatch.setattr(time, "time", lambda: genuine() + shift_s[0])
    monkeypatch.setattr(time, "time_ns", lambda: genuine_ns() + shift_s[0] * 1_000_000_000)
    quicken(monkeypatch)
    house = House()
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        run.until_traded()
        shift_s[0] = step_s
        run.until_traded(5)
        assert {TradingState.ACTIVE} == {message.state for message in run.seen(TradingStateChanged)}
        run.assert_ends_in_order()
    assert_adds_up(house)
