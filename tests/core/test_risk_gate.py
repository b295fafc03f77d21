"""The risk gate: each denial, the fence, the third fat finger, and the delta bound as a property of any interleaving (RELIABILITY §8)."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.messages import (
    FillsFetched,
    LedgerRequested,
    Message,
    OrderAccepted,
    OrderChanged,
    OrderSnapshot,
    PlaceOrder,
    SubmitUnknown,
    TradingStateChanged,
)
from core.order_tracker import OrderTracker
from core.risk_gate import RiskGate, RiskLimits
from core.types import OrderState, Role, Side, Source, TradingState
from core.venue_watch import VenuePolicy
from tests.core.builders import (
    BACKPACK,
    BUY,
    GRVT,
    SELL,
    SYMBOLS,
    D,
    changed,
    fill,
    filled,
    instrument,
    ledger,
    not_found,
    place,
    report,
    snapshot,
    submitted,
)

S = OrderState
LIMITS = RiskLimits(max_delta=D("0.10"), max_position=D("0.50"), max_quantity=D("0.51"), collar_bps=D(100), lot=D("0.01"))
UNTIL_ACTIVE = TradingStateChanged(state=TradingState.ACTIVE, reason="", at=0.0)


def gate(
    *orders: OrderSnapshot, venue: str = GRVT, state: TradingState = TradingState.ACTIVE, grvt: str = "0", backpack: str = "0"
) -> RiskGate:
    made = RiskGate(instrument(venue), LIMITS, ledger("gate", *orders, grvt=grvt, backpack=backpack))  # type: ignore[arg-type]
    made.handle(TradingStateChanged(state=state, reason="", at=0.0))
    return made


def hedge(quantity: str = "0.10", side: Side = SELL, number: int = 50, **more: object) -> PlaceOrder:
    return place(number, side=side, role=Role.HEDGE, quantity=quantity, **more)  # type: ignore[arg-type]


def reason(made: RiskGate, order: PlaceOrder, now: float = 0.0) -> str:
    denial = made.check(order, now)
    return denial.reason if denial is not None else ""


# ---- quotes -------------------------------------------------------------------------------------------------------------------


def test_a_quote_within_every_limit_passes() -> None:
    assert None is gate().check(place(1), 0.0)


@pytest.mark.parametrize("state", [s for s in TradingState if s is not TradingState.ACTIVE])
def test_only_active_lets_a_quote_through(state: TradingState) -> None:
    assert state.value in reason(gate(state=state), place(1))


def test_a_quote_that_passed_counts_against_the_next() -> None:
    """Admission before exposure: with max_delta of one order no second one may rest beside it."""
    made = gate()
    made.check(place(1), 0.0)
    assert "delta could reach 0.20" in reason(made, place(2))


def test_quotes_rest_on_one_side_only() -> None:
    """Two quotes that offset each other would let the gates of two venues, which never know exactly the same, count one hedge twice."""
    made = gate()
    made.check(place(1, quantity="0.05"), 0.0)
    assert "other side" in reason(made, place(2, side=SELL, quantity="0.05"))


def test_unhedged_exposure_bars_quotes() -> None:
    assert "is not hedged" in reason(gate(grvt="0.01"), place(1, quantity="0.01"))


def test_an_order_of_unknown_outcome_bars_quotes() -> None:
    assert "unknown outcome" in reason(gate(snapshot(hedge("0.01"), S.UNKNOWN)), place(1, quantity="0.01"))


def test_a_quote_may_not_bring_the_position_beyond_its_limit() -> None:
    assert "position could exceed" in reason(gate(grvt="0.45", backpack="-0.45"), place(1))


def test_a_reduce_only_quote_may_rest_above_the_position_limit() -> None:
    """Closing must stay possible when the limit was lowered or a restart found more than it."""
    assert "" == reason(gate(grvt="0.60", backpack="-0.60"), place(1, side=SELL, reduce_only=True))


def test_a_denial_has_no_effect() -> None:
    made = gate()
    made.check(place(1, quantity="0.20"), 0.0)
    assert (None, 1) == (made.check(place(2), 0.0), made.denials)


# ---- hedges -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [TradingState.STARTING, TradingState.ACTIVE, TradingState.REDUCING, TradingState.STOPPING])
def test_a_hedge_passes_in_every_state_but_halted(state: TradingState) -> None:
    assert None is gate(venue=BACKPACK, state=state, grvt="0.10").check(hedge(), 0.0)


@pytest.mark.parametrize("order", [place(1), hedge()], ids=["quote", "hedge"])
def test_halted_lets_nothing_through(order: PlaceOrder) -> None:
    """I23: only cancels, and those do not pass this gate at all."""
    assert "HALTED" in reason(gate(venue=order.venue, state=TradingState.HALTED, grvt="0.10"), order)


def test_a_second_hedge_of_the_same_exposure_is_denied() -> None:
    made = gate(venue=BACKPACK, grvt="0.10")
    made.check(hedge(number=50), 0.0)
    assert "does not reduce" in reason(made, hedge(number=51))


def test_a_hedge_beside_one_of_unknown_outcome_is_denied() -> None:
    made = gate(snapshot(hedge(number=50), S.UNKNOWN), venue=BACKPACK, grvt="0.10")
    assert "does not reduce" in reason(made, hedge(number=51))


def test_a_hedge_on_the_wrong_side_is_denied() -> None:
    assert "does not reduce" in reason(gate(venue=BACKPACK, grvt="0.10"), hedge(side=BUY))


def test_a_hedge_that_crosses_zero_is_denied() -> None:
    assert "does not reduce" in reason(gate(venue=BACKPACK, grvt="0.10"), hedge("0.12"))


def test_a_hedge_where_nothing_is_exposed_is_denied() -> None:
    assert "does not reduce" in reason(gate(venue=BACKPACK), hedge("0.01"))


# ---- absurd orders ------------------------------------------------------------------------------------------------------------

ABSURD = {
    "off the tick": place(1, price="3000.005"),
    "off the lot": place(1, quantity="0.015"),
    "below the minimum": place(1, quantity="0.00"),
    "nan": place(1, price="NaN", reference_price="3000"),
    "infinite": place(1, quantity="Infinity"),
    "negative": place(1, quantity="-0.10"),
    "a thousand times too large": place(1, quantity="100"),
    "ten times the price": place(1, price="30000", reference_price="3000"),
    "just past the collar": place(1, price="3030.01", reference_price="3000"),
    "another venue": place(1, venue=BACKPACK),
}


@pytest.mark.parametrize("order", ABSURD.values(), ids=ABSURD.keys())
def test_an_absurd_order_is_denied_as_a_fat_finger(order: PlaceOrder) -> None:
    """I16, E12: numbers that no working decision can produce."""
    made = gate()
    denial = made.check(order, 0.0)
    assert (True, 1) == (denial is not None and denial.is_fat_finger, made.fat_fingers)


def test_a_price_on_the_collar_passes() -> None:
    assert "" == reason(gate(), place(1, price="3030", reference_price="3000"))


def test_an_order_below_the_minimum_notional_is_denied() -> None:
    made = RiskGate(instrument(GRVT, min_notional="400"), LIMITS, ledger("gate"))
    assert "notional" in reason(made, place(1))


def test_the_third_fat_finger_halts() -> None:
    made = gate()
    seen = []
    for number in range(3):
        made.check(place(number, price="30000", reference_price="3000"), 0.0)
        seen.append(made.must_halt)
    assert [False, False, True] == seen


def test_an_untimely_order_is_no_fat_finger() -> None:
    made = gate(state=TradingState.REDUCING)
    for number in range(5):
        made.check(place(number), 0.0)
    assert (False, 5) == (made.must_halt, made.denials)


def test_too_many_orders_in_a_minute_are_denied_until_the_minute_has_passed() -> None:
    made = RiskGate(instrument(GRVT), LIMITS._replace(max_orders_per_minute=2), ledger("gate"))
    made.handle(UNTIL_ACTIVE)
    for number in (1, 2):
        made.check(place(number, quantity="0.01"), 0.0)
    third = place(3, quantity="0.01")
    assert (True, True) == ("in a minute" in reason(made, third, 59.0), reason(made, third, 60.5) == "")


# ---- late, fenced -------------------------------------------------------------------------------------------------------------


def test_an_order_past_its_time_is_not_sent() -> None:
    assert "too late" in reason(gate(), place(1, not_after=5.0), 5.1)


def test_an_order_of_a_life_that_was_replaced_is_refused() -> None:
    """I25: a wedged thread may wake up after its successor runs."""
    made = gate()
    made.handle(LedgerRequested(owner="quoter", epoch=3))
    assert "has been replaced" in reason(made, place(1, owner="quoter", epoch=2))


@pytest.mark.parametrize(("owner", "epoch"), [("quoter", 3), ("quoter", 4), ("hedger", 1)])
def test_an_order_of_the_present_life_passes_the_fence(owner: str, epoch: int) -> None:
    made = gate()
    made.handle(LedgerRequested(owner="quoter", epoch=3))
    assert "" == reason(made, place(1, owner=owner, epoch=epoch))


def test_a_fence_never_comes_down() -> None:
    made = gate()
    for epoch in (3, 1):
        made.handle(LedgerRequested(owner="quoter", epoch=epoch))
    assert "has been replaced" in reason(made, place(1, owner="quoter", epoch=2))


def test_a_fill_and_its_hedge_open_the_gate_again() -> None:
    made = gate()
    made.check(place(1), 0.0)
    made.handle(filled(place(1), "t1", "0.10"))
    made.handle(changed(hedge(), S.SUBMITTED))
    made.handle(filled(hedge(), "t2", "0.10"))
    assert "" == reason(made, place(2))


# ---- the delta bound ----------------------------------------------------------------------------------------------------------

POLICIES = {
    venue: VenuePolicy(symbol=SYMBOLS[venue], lot_size=D("0.01"), cancel_ttl_ms=0, submit_bound_s=2.0) for venue in SYMBOLS
}


class Market:
    """Two venues that hold the truth, a tracker that is told of it late, doubled, out of order or never, and two gates behind it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.tracker = OrderTracker(POLICIES)
        self.gates = {venue: gate(venue=venue) for venue in POLICIES}
        self.inboxes: dict[str, list[Message]] = {venue: [] for venue in POLICIES}
        self.facts: list[Message] = []
        self.living: dict[int, tuple[PlaceOrder, Decimal]] = {}
        self.arrived: set[int] = set()
        self.delta = D(0)
        self.worst = D(0)
        self.passed = 0
        self.number = 0
        self.now = 0.0

    def step(self) -> None:
        self.now += self.chance.choice((0.01, 0.1, 3.0))
        self.chance.choice((self.quote, self.hedge, self.fill, self.fill, self.end, self.tell, self.tell, self.fold, self.fold))()

    def lots(self, most: int = 10) -> str:
        return str(D(self.chance.randint(1, most)) / 100)

    def quote(self) -> None:
        self.offer(place(self.number, side=self.chance.choice((BUY, SELL)), quantity=self.lots()))

    def hedge(self) -> None:
        need = -self.gates[BACKPACK].ledger.uncovered
        side = Side.of(need) if need and self.chance.random() < 0.9 else self.chance.choice((BUY, SELL))
        self.offer(hedge(str(abs(need)) if need and self.chance.random() < 0.7 else self.lots(12), side, self.number))

    def offer(self, order: PlaceOrder) -> None:
        self.number += 1
        if self.gates[order.venue].check(order, self.now) is not None:
            return
        self.passed += 1
        self.hear(submitted(order, self.now))
        if self.chance.random() < 0.8:
            self.living[order.client_order_id] = (order, D(0))
            self.arrived.add(order.client_order_id)
            self.facts.append(report(order, S.ACCEPTED))
        accepted = OrderAccepted(venue=order.venue, client_order_id=order.client_order_id, venue_order_id=None, at=self.now)
        is_answered = order.client_order_id in self.living and self.chance.random() < 0.7
        lost = SubmitUnknown(venue=order.venue, client_order_id=order.client_order_id, reason="", at=self.now)
        self.hear(accepted if is_answered else lost)

    def fill(self) -> None:
        if not self.living:
            return
        number = self.chance.choice(sorted(self.living))
        order, done = self.living[number]
        part = min(D(self.lots()), order.quantity - done)
        done += part
        self.delta += order.side.sign * part
        self.worst = max(self.worst, abs(self.delta))
        self.living[number] = (order, done)
        trade = fill(order, f"{number}-{done}", str(part))
        once_more = FillsFetched(
            venue=order.venue, symbol=order.symbol, fills=(trade,), lookback_s=self.now, asked_at=self.now, received_at=self.now
        )
        self.facts += [trade, once_more] if self.chance.random() < 0.8 else [once_more]
        if done == order.quantity:
            del self.living[number]
            self.facts.append(report(order, S.FILLED, str(done)))
        elif self.chance.random() < 0.5:
            self.facts.append(report(order, S.PARTIALLY_FILLED, str(done)))

    def end(self) -> None:
        """An order is cancelled at its venue; or one that never arrived is looked for, as often as it takes."""
        number = self.chance.randint(0, max(self.number - 1, 0))
        if number in self.living:
            order, done = self.living.pop(number)
            self.facts.append(report(order, S.CANCELED, str(done), source=Source.REST))
            return
        for order in self.tracker.open_orders:
            if order.state is S.UNKNOWN and order.place.client_order_id not in self.arrived:
                self.facts.append(not_found(order.place, self.now + 10.0))

    def tell(self) -> None:
        """One fact reaches the tracker; some are told again later, some only after everything else."""
        if not self.facts:
            return
        index = self.chance.randrange(len(self.facts))
        fact = self.facts[index]
        if self.chance.random() < 0.8:
            del self.facts[index]
        self.hear(fact)

    def hear(self, message: Message) -> None:
        out = self.tracker.handle(message, self.now)
        for inbox in self.inboxes.values():
            inbox.extend(out)

    def fold(self) -> None:
        """A gate works off a part of its inbox: the two never know exactly the same."""
        venue = self.chance.choice(sorted(self.inboxes))
        inbox = self.inboxes[venue]
        count = self.chance.randint(0, len(inbox))
        for message in inbox[:count]:
            if isinstance(message, OrderChanged) or type(message).__name__ == "FillRecorded":
                self.gates[venue].handle(message)
        del inbox[:count]


@settings(max_examples=120)
@given(st.integers(0, 2**32))
def test_delta_stays_within_its_bound_whatever_is_lost_delayed_or_reordered(seed: int) -> None:
    """|D| at the venues never exceeds max_delta as long as every order passed a gate (I1)."""
    market = Market(seed)
    for _ in range(150):
        market.step()
    assert market.worst <= LIMITS.max_delta


def test_the_bound_is_reached_and_orders_do_pass() -> None:
    """The property above is not empty: the gates let orders through and delta goes up to the bound."""
    markets = [Market(seed) for seed in range(20)]
    for market in markets:
        for _ in range(150):
            market.step()
    assert (LIMITS.max_delta, True) == (max(market.worst for market in markets), sum(market.passed for market in markets) > 60)
