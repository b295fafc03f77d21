"""Pairs of maker fills and hedges: the arithmetic of STRATEGY's per-pair edge, the matching, and that nothing gets lost."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages import (
    AttemptStarted,
    BookLost,
    BookUpdated,
    FillRecorded,
    FillReported,
    OrderSnapshot,
    OrderSubmitted,
    PlaceOrder,
)
from core.pairing import PairLedger, PairRow
from core.types import (
    ClientOrderId,
    Level,
    Liquidity,
    OrderState,
    Role,
    Side,
    Source,
    TimeInForce,
    TradeId,
    VenueId,
)

GRVT, BACKPACK = VenueId("grvt"), VenueId("backpack")
D = Decimal
_trade_ids = count(1)


def fill(
    role: Role | None,
    side: Side,
    quantity: str,
    price: str,
    *,
    venue: VenueId | None = None,
    fee: str = "0",
    cycle_id: int = 1,
    at: float = 0.0,
    client_order_id: int = 1,
) -> FillRecorded:
    """A fill on the venue where its role trades, unless told otherwise; ``role`` None = not an order of ours."""
    where = venue or (BACKPACK if role is Role.HEDGE else GRVT)
    report = FillReported(
        venue=where,
        symbol="ETH",
        trade_id=TradeId(str(next(_trade_ids))),
        client_order_id=ClientOrderId(client_order_id),
        venue_order_id=None,
        side=side,
        price=D(price),
        quantity=D(quantity),
        fee=D(fee),
        fee_currency="USDT",
        liquidity=Liquidity.MAKER,
        venue_time_ms=1,
        source=Source.WS,
        received_at=at,
    )
    if role is None:
        return FillRecorded(fill=report, order=None, at=at)
    order = OrderSnapshot(
        client_order_id=ClientOrderId(client_order_id),
        venue=where,
        symbol="ETH",
        side=side,
        role=role,
        price=D(price),
        quantity=D(quantity),
        state=OrderState.FILLED,
        filled_quantity=D(quantity),
        recorded_quantity=D(quantity),
        cycle_id=cycle_id,
    )
    return FillRecorded(fill=report, order=order, at=at)


def submitted(client_order_id: int, reference: str) -> OrderSubmitted:
    order = PlaceOrder(
        client_order_id=ClientOrderId(client_order_id),
        venue=BACKPACK,
        symbol="ETH",
        side=Side.SELL,
        quantity=D("0.10"),
        price=D("2990"),
        time_in_force=TimeInForce.IOC,
        role=Role.HEDGE,
        cycle_id=1,
        reference_price=D(reference),
    )
    return OrderSubmitted(order=order, at=0.0)


def started(cycle_id: int, side: Side, phase: str = "BUILD", *, basis: str = "0", at: float = 0.0) -> AttemptStarted:
    return AttemptStarted(cycle_id=cycle_id, phase=phase, side=side, target=D("0.10"), basis_bps=D(basis), at=at)  # type: ignore[arg-type]


def book(venue: VenueId, bid: str, ask: str) -> BookUpdated:
    return BookUpdated(venue=venue, symbol="ETH", bids=(Level(D(bid), D(1)),), asks=(Level(D(ask), D(1)),), received_at=0.0)


def ledger(fx: str = "1") -> PairLedger:
    return PairLedger(maker_venue=GRVT, hedge_venue=BACKPACK, fx=D(fx))


def pair_of(*events: FillRecorded | OrderSubmitted | AttemptStarted | BookUpdated | BookLost, fx: str = "1") -> PairRow:
    """The only row that these events make."""
    book_keeper = ledger(fx)
    (row,) = [row for event in events for row in book_keeper.handle(event)]
    return row


def test_edge_of_a_buy_is_what_the_hedge_sold_above_the_maker_price() -> None:
    """e_buy = (X P_h - P_m) / P_m in bps: 3000 bought, 2999.70 sold = -1 bps."""
    row = pair_of(fill(Role.MAKER, Side.BUY, "0.10", "3000"), fill(Role.HEDGE, Side.SELL, "0.10", "2999.70"))
    assert D("-1") == row.edge_bps


def test_edge_of_a_sell_is_mirrored() -> None:
    """e_sell = (P_m - X P_h) / P_m in bps: 3000 sold, 2999.70 bought = +1 bps."""
    row = pair_of(fill(Role.MAKER, Side.SELL, "0.10", "3000"), fill(Role.HEDGE, Side.BUY, "0.10", "2999.70"))
    assert D("1") == row.edge_bps


def test_fx_converts_the_hedge_price() -> None:
    """With X = 0.999, a hedge at the same number is 10 bps worse for a buy."""
    row = pair_of(fill(Role.MAKER, Side.BUY, "0.10", "3000"), fill(Role.HEDGE, Side.SELL, "0.10", "3000"), fx="0.999")
    assert D("-10") == row.edge_bps


def test_net_usd_takes_signed_fees_off_and_converts_the_takers() -> None:
    """0.1 * (0.999 * 3010 - 3000) + 0.03 rebate - 0.999 * 0.15 fee."""
    row = pair_of(
        fill(Role.MAKER, Side.BUY, "0.10", "3000", fee="-0.03"),
        fill(Role.HEDGE, Side.SELL, "0.10", "3010", fee="0.15"),
        fx="0.999",
    )
    assert D("0.1") * (D("0.999") * 3010 - 3000) + D("0.03") - D("0.999") * D("0.15") == row.net_usd


def test_net_bps_is_edge_less_fee_rates() -> None:
    """n = e - 1e4 (f_m + f_t X P_h / P_m)."""
    row = pair_of(
        fill(Role.MAKER, Side.SELL, "0.10", "3000", fee="-0.003"),
        fill(Role.HEDGE, Side.BUY, "0.10", "3000", fee="0.15"),
    )
    assert row.edge_bps + D("0.1") - D("5") == row.net_bps


def test_fill_to_hedge_time_is_between_the_two_arrivals() -> None:
    """Milliseconds of the monotonic clock, whatever the venues' own clocks say."""
    row = pair_of(fill(Role.MAKER, Side.BUY, "0.10", "3000", at=10.0), fill(Role.HEDGE, Side.SELL, "0.10", "3000", at=10.012))
    assert 12 == row.fill_to_hedge_ms


@pytest.mark.parametrize(("side", "expected"), [(Side.SELL, "2"), (Side.BUY, "-2")])
def test_slippage_is_positive_when_worse_than_the_reference(side: Side, expected: str) -> None:
    """A sell at 2999.4 against a reference of 3000 lost 2 bps, a buy won them."""
    row = pair_of(
        submitted(7, "3000"),
        fill(Role.MAKER, side.opposite, "0.10", "3000"),
        fill(Role.HEDGE, side, "0.10", "2999.4", client_order_id=7),
    )
    assert D(expected) == row.slippage_bps


def test_slippage_without_a_reference_is_unknown() -> None:
    """A hedge order from before a restart has no reference here, and no invented slippage."""
    assert pair_of(fill(Role.MAKER, Side.BUY, "0.10", "3000"), fill(Role.HEDGE, Side.SELL, "0.10", "1")).slippage_bps is None


def test_basis_is_of_the_mids_at_the_fill() -> None:
    """Mids 3001 and 3000 when the maker filled = 3.33 bps, whatever comes after."""
    row = pair_of(
        started(1, Side.BUY, basis="99"),
        book(GRVT, "3000", "3002"),
        book(BACKPACK, "2999", "3001"),
        fill(Role.MAKER, Side.BUY, "0.10", "3000"),
        book(BACKPACK, "2000", "2001"),
        fill(Role.HEDGE, Side.SELL, "0.10", "3000"),
    )
    assert D(1) / D(3001) * 10_000 == row.basis_bps


def test_basis_without_a_trusted_book_is_the_attempts() -> None:
    """After a lost book its old mid is not used."""
    row = pair_of(
        started(1, Side.BUY, basis="4"),
        book(GRVT, "3000", "3002"),
        book(BACKPACK, "2999", "3001"),
        BookLost(venue=BACKPACK, symbol="ETH", reason="gap", at=0.0),
        fill(Role.MAKER, Side.BUY, "0.10", "3000"),
        fill(Role.HEDGE, Side.SELL, "0.10", "3000"),
    )
    assert D(4) == row.basis_bps


def test_phase_is_that_of_the_fills_own_attempt() -> None:
    """A late fill of the build still counts as BUILD when the unwind is under way."""
    row = pair_of(
        started(1, Side.BUY, "BUILD"),
        started(1, Side.SELL, "UNWIND"),
        fill(Role.MAKER, Side.BUY, "0.10", "3000"),
        fill(Role.HEDGE, Side.SELL, "0.10", "3000"),
    )
    assert "BUILD" == row.phase


def test_one_hedge_covers_several_maker_fills_first_in_first_out() -> None:
    """Fills of 0.03 and 0.07, one hedge of 0.08: all of the first, 0.05 of the second, 0.02 open."""
    book_keeper = ledger()
    book_keeper.handle(fill(Role.MAKER, Side.BUY, "0.03", "3000"))
    book_keeper.handle(fill(Role.MAKER, Side.BUY, "0.07", "3001"))
    rows = book_keeper.handle(fill(Role.HEDGE, Side.SELL, "0.08", "3002"))
    assert [(D("0.03"), D(3000)), (D("0.05"), D(3001))] == [(row.quantity, row.maker_price) for row in rows]
    assert D("0.02") == book_keeper.open_quantity


def test_fee_is_shared_out_by_quantity() -> None:
    """A maker fill covered in two parts of 40 and 60 % carries its fee in the same shares."""
    book_keeper = ledger()
    book_keeper.handle(fill(Role.MAKER, Side.BUY, "0.10", "3000", fee="-0.03"))
    rows = [row for part in ("0.04", "0.06") for row in book_keeper.handle(fill(Role.HEDGE, Side.SELL, part, "3000"))]
    assert [D("-0.012"), D("-0.018")] == [row.maker_fee for row in rows]


def test_unwind_fill_on_the_maker_venue_closes_exposure_without_fx() -> None:
    """The unwind trades in the maker's own quote currency."""
    row = pair_of(
        fill(Role.MAKER, Side.BUY, "0.10", "3000"),
        fill(Role.UNWIND, Side.SELL, "0.10", "2997"),
        fx="0.5",
    )
    assert (D(1), D("-10"), Role.UNWIND) == (row.fx, row.edge_bps, row.cover_role)


def test_hedge_seen_before_its_maker_fill_is_paired_all_the_same() -> None:
    """Two streams keep no order between them; the row reads the same but for the negative time."""
    row = pair_of(fill(Role.HEDGE, Side.SELL, "0.10", "3003", at=1.0), fill(Role.MAKER, Side.BUY, "0.10", "3000", at=1.005))
    assert (D(3000), D(3003), D("10"), -5) == (row.maker_price, row.hedge_vwap, row.edge_bps, row.fill_to_hedge_ms)


def test_maker_fills_of_opposite_sides_meet() -> None:
    """Dust carried from the build is closed by the unwind's own fill; both are then covered."""
    book_keeper = ledger()
    book_keeper.handle(fill(Role.MAKER, Side.BUY, "0.01", "3000", cycle_id=1))
    (row,) = book_keeper.handle(fill(Role.MAKER, Side.SELL, "0.01", "3001", cycle_id=2))
    assert (Role.MAKER, 1, 2, D("0.01")) == (row.cover_role, row.cycle_id, row.cover_cycle_id, row.net_usd)
    assert D(0) == book_keeper.open_quantity


def test_overshoot_and_its_repair_are_a_row_of_their_own() -> None:
    """A hedge too much and its correction cost money, which the rows must show."""
    row = pair_of(fill(Role.HEDGE, Side.SELL, "0.10", "3000", fee="0.1"), fill(Role.REPAIR, Side.BUY, "0.10", "3001", fee="0.1"))
    assert ("REPAIR", D("-0.3")) == (row.phase, row.net_usd)


def test_a_strangers_fill_and_its_hedge_are_a_row_of_their_own() -> None:
    """A trade by hand that was hedged: at its own price and fee, apart from what the bot's cycles earn."""
    row = pair_of(
        fill(None, Side.BUY, "0.10", "3000", fee="0.1"), fill(Role.HEDGE, Side.SELL, "0.10", "2999", fee="0.2", cycle_id=7)
    )
    assert ("STRANGER", D(3000), D(2999), Role.HEDGE, 0, 7, D("-0.4")) == (
        row.phase,
        row.maker_price,
        row.hedge_vwap,
        row.cover_role,
        row.cycle_id,
        row.cover_cycle_id,
        row.net_usd,
    )


@pytest.mark.parametrize("is_stranger_first", [True, False])
def test_a_stranger_has_the_makers_place_whoever_was_first(*, is_stranger_first: bool) -> None:
    """A hand that closes what our quote has built: our fill is the cover, and counts as covered."""
    events = [fill(None, Side.SELL, "0.10", "3001"), fill(Role.MAKER, Side.BUY, "0.10", "3000")]
    row = pair_of(*(events if is_stranger_first else events[::-1]))
    assert ("STRANGER", D(3001), Role.MAKER, D("0.1")) == (row.phase, row.maker_price, row.cover_role, row.net_usd)


def test_a_hedged_hand_shifts_no_later_pair() -> None:
    """Cycles at 3000, 3040 and 3080 that earn nothing are told as such."""
    book_keeper, net = ledger(), D(0)
    trades = [(None, "3000"), *((Role.MAKER, price) for price in ("3000", "3040", "3080"))]
    for role, price in trades:
        for event in (fill(role, Side.BUY, "0.05", price), fill(Role.HEDGE, Side.SELL, "0.05", price)):
            net += sum(row.net_usd for row in book_keeper.handle(event))
    assert (D(0), D(0)) == (net, book_keeper.exposure)


def test_strangers_among_themselves_are_not_told() -> None:
    """A hand that opens and closes is no business of ours, and leaves nothing open."""
    book_keeper = ledger()
    rows = [row for side in Side for row in book_keeper.handle(fill(None, side, "0.10", "3000"))]
    assert ([], D(0)) == (rows, book_keeper.exposure)


def _fills_of(*roles: Role | None) -> st.SearchStrategy[FillRecorded]:
    return st.builds(
        fill,
        st.sampled_from(roles),
        st.sampled_from(Side),
        st.integers(1, 20).map(lambda lots: str(D(lots) / 100)),
        st.integers(290_000, 310_000).map(lambda cents: str(D(cents) / 100)),
        fee=st.integers(-50, 50).map(lambda cents: str(D(cents) / 100)),
    )


_ours = _fills_of(Role.MAKER, Role.MAKER, Role.HEDGE, Role.UNWIND, Role.REPAIR)
_fills = _ours | _fills_of(None)


@given(st.lists(_fills, max_size=30))
def test_quantity_is_conserved(fills: list[FillRecorded]) -> None:
    """Maker quantity filled = quantity in rows + quantity still open, after every event."""
    book_keeper, filled, covered = ledger(), D(0), D(0)
    for event in fills:
        filled += event.fill.quantity if event.order is not None and event.order.role is Role.MAKER else 0
        for row in book_keeper.handle(event):
            covered += row.quantity * ((row.phase not in ("REPAIR", "STRANGER")) + (row.cover_role is Role.MAKER))
        assert filled == covered + book_keeper.open_quantity


@given(st.lists(_fills, max_size=30))
def test_exposure_is_the_sum_of_all_fills(fills: list[FillRecorded]) -> None:
    """What the ledger holds open is the net of everything it saw."""
    book_keeper = ledger()
    for event in fills:
        book_keeper.handle(event)
    assert sum((event.fill.side.sign * event.fill.quantity for event in fills), D(0)) == book_keeper.exposure


@given(st.lists(_ours, max_size=20), st.sampled_from(["1", "0.999"]))
def test_money_is_conserved_when_flat(fills: list[FillRecorded], fx: str) -> None:
    """Once everything is covered, the rows add up to the cash that moved, fees included."""
    book_keeper = ledger(fx)
    rest = sum((event.fill.side.sign * event.fill.quantity for event in fills), D(0))
    if rest:
        fills = [*fills, fill(Role.HEDGE, Side.of(-rest), str(abs(rest)), "3000")]
    net = sum((row.net_usd for event in fills for row in book_keeper.handle(event)), D(0))
    cash = sum(
        (
            (D(fx) if event.fill.venue == BACKPACK else 1)
            * (-event.fill.side.sign * event.fill.quantity * event.fill.price - event.fill.fee)
            for event in fills
        ),
        D(0),
    )
    assert round(cash, 15) == round(net, 15)
