"""Claims on the calls made once before trading, and on the venue's clock."""

from __future__ import annotations

from decimal import Decimal
from email.utils import formatdate

import pytest

from adapters.backpack.clock import OffsetBounds, VenueClock
from adapters.backpack.setup import BackpackSetup
from adapters.transport.rest import NotSent, Ok, Outcome, Refused, Unknown
from core.ports import VenueRefused, VenueUnreachable
from core.types import Fees
from tests.adapters.backpack.support import NOT_FOUND, SYMBOL, WALL_S, FakeRest, encoded, make_api, ok, order_body, refused

WALL_MS = int(WALL_S * 1_000)
ACCOUNT = {"futuresMakerFee": "2", "futuresTakerFee": "5", "limitOrders": 1, "triggerOrders": 0, "liquidating": False}


def market(symbol: str, base: str, **changes: object) -> dict[str, object]:
    filters = {"price": {"tickSize": "0.01", "minPrice": "0.01"}, "quantity": {"stepSize": "0.0001", "minQuantity": "0.001"}}
    row = {
        "symbol": symbol,
        "baseSymbol": base,
        "quoteSymbol": "USDC",
        "marketType": "PERP",
        "orderBookState": "Open",
        "visible": True,
    }
    return {**row, "filters": filters, **changes}


MARKETS = [
    market("ETH_USDC_PERP", "ETH"),
    market("ETH_USDC", "ETH", marketType="SPOT"),
    market("ETH_EUR_PERP", "ETH", quoteSymbol="EUR"),
    market("SOL_USDC_PERP", "SOL", orderBookState="PostOnly"),
    market("XRP_USDC_PERP", "XRP", visible=False),
    market("BAD_USDC_PERP", "BAD", filters={"price": {"tickSize": "0"}}),
]


def setup_of(*outcomes: Outcome) -> BackpackSetup:
    return BackpackSetup(make_api(FakeRest(*outcomes)))


def test_a_ticker_resolves_to_the_usdc_perpetual() -> None:
    """Not the spot market, not another quote; tick, step and minimum are the venue's."""
    instrument = setup_of(ok(MARKETS)).resolve("eth")
    expected = (SYMBOL, "ETH", "USDC", Decimal("0.01"), Decimal("0.0001"), Decimal("0.001"))
    actual = (
        instrument.symbol, instrument.base, instrument.quote, instrument.tick_size, instrument.lot_size, instrument.min_quantity,
    )  # fmt: skip
    assert expected == actual


@pytest.mark.parametrize(
    ("ticker", "expected"),
    [
        ("DOGE", "backpack: no USDC perpetual for DOGE; it lists: BAD, ETH, SOL, XRP"),
        ("SOL", "backpack: SOL_USDC_PERP is PostOnly, not Open"),
        ("XRP", "backpack: XRP_USDC_PERP is hidden, not Open"),
    ],
)
def test_a_ticker_that_cannot_be_traded_is_refused(ticker: str, expected: str) -> None:
    """The line says what there is instead."""
    with pytest.raises(VenueRefused) as caught:
        setup_of(ok(MARKETS)).resolve(ticker)
    assert expected == str(caught.value)


def test_unusable_filters_refuse_their_own_market_only() -> None:
    """A tick of zero would divide by zero later."""
    with pytest.raises(VenueRefused, match="BAD_USDC_PERP has unusable filters"):
        setup_of(ok(MARKETS)).resolve("BAD")


def test_fees_are_fractions() -> None:
    """2 and 5 bps."""
    setup = setup_of(ok(MARKETS), ok(ACCOUNT))
    assert Fees(Decimal("0.0002"), Decimal("0.0005")) == setup.fees(setup.resolve("ETH"))


def test_a_liquidated_account_may_not_trade() -> None:
    """The preflight stops there."""
    states = [setup_of(ok({**ACCOUNT, "liquidating": flag})).account().can_trade for flag in (False, True)]
    assert states == [True, False]


def test_a_failed_read_is_one_line_with_place_and_answer() -> None:
    """What was asked and what came back."""
    with pytest.raises(VenueRefused) as caught:
        setup_of(Unknown("status 503", 503, b"maintenance")).account()
    assert str(caught.value) == "backpack: GET /api/v1/account: status 503: maintenance"


@pytest.mark.parametrize(
    ("outcome", "is_passing", "retry_after_s"),
    [
        (NotSent("ConnectionRefusedError"), True, None),
        (Unknown("ReadTimeout"), True, None),
        (Unknown("status 502", 502, b"<html>"), True, None),
        (refused(429, "slow down", 7.0), True, 7.0),
        (refused(400, {"code": "MAINTENANCE", "message": "later"}), True, None),
        (refused(403, "<html>"), True, None),
        (Ok(200, {}, b"<html>"), True, None),
        (refused(401, {"code": "UNAUTHORIZED", "message": "no"}), False, None),
        (refused(400, {"code": "INVALID_SIGNATURE", "message": "no"}), False, None),
        (ok("text"), False, None),
    ],
)
@pytest.mark.parametrize("question", ["account", "position"])
def test_only_the_venues_own_word_refuses_for_good(
    question: str, outcome: Outcome, is_passing: bool, retry_after_s: float | None
) -> None:
    """Anything else may be asked again, after the pause that was asked for."""
    setup = setup_of(ok(MARKETS), outcome)
    instrument = setup.resolve("ETH")
    with pytest.raises(VenueRefused) as caught:
        setup.account() if question == "account" else setup.position(instrument)
    found = caught.value
    passing = isinstance(found, VenueUnreachable)
    assert (is_passing, retry_after_s) == (passing, found.retry_after_s if isinstance(found, VenueUnreachable) else None)


def test_position_and_open_orders_are_read_for_the_instrument() -> None:
    """A 404 of the venue's own is flat."""
    held = ok([{"symbol": SYMBOL, "netQuantity": "0.3"}])
    setup = setup_of(ok(MARKETS), held, NOT_FOUND, ok([order_body(), order_body(symbol="SOL_USDC_PERP")]))
    instrument = setup.resolve("ETH")
    assert (Decimal("0.3"), Decimal(0), 1) == (
        setup.position(instrument), setup.position(instrument), len(setup.open_orders(instrument)),
    )  # fmt: skip


def test_a_position_read_that_fails_is_not_flat() -> None:
    """It stops the start."""
    setup = setup_of(ok(MARKETS), Unknown("ReadTimeout"))
    with pytest.raises(VenueRefused, match="ReadTimeout"):
        setup.position(setup.resolve("ETH"))


def test_the_clock_is_the_venues_from_then_on() -> None:
    """One millisecond of resolution and no travel time in this test."""
    api = make_api(FakeRest(ok(WALL_MS + 250)))
    offset = BackpackSetup(api).clock_offset_ms()
    assert (offset, api.clock.now_ms()) == (250.5, WALL_MS + 250)


def test_a_venue_that_tells_no_time_is_refused() -> None:
    """Guessing an offset would void the order window."""
    with pytest.raises(VenueUnreachable, match="venue's time"):
        setup_of(*([Unknown("ReadTimeout")] * 6)).clock_offset_ms()


def test_date_headers_are_narrowed_by_several_samples() -> None:
    """Whole seconds, read at different phases, bound the offset far closer than a second."""
    true_offset_s, wall = 0.3, [WALL_S]
    replies = []
    for index in range(6):
        venue_s = WALL_S + index * 0.15 + true_offset_s
        replies.append(Refused(404, {"Date": formatdate(int(venue_s), usegmt=True)}, b"", None))
    clock = VenueClock(wall_s=lambda: wall[0], sleep=lambda pause_s: wall.__setitem__(0, wall[0] + pause_s))
    offset_ms = clock.measure(FakeRest(*replies), samples=6, pause_s=0.15)
    assert offset_ms is not None
    assert abs(offset_ms - true_offset_s * 1_000) <= 150


def test_contradicting_samples_take_the_newer() -> None:
    """The local clock was set between two samples."""
    assert OffsetBounds(500, 510) == OffsetBounds(0, 10).within(OffsetBounds(500, 510))


def test_a_time_answer_of_nonsense_falls_back_to_its_date_header() -> None:
    """A gateway's page still has a clock."""
    clock = VenueClock(wall_s=lambda: WALL_S, sleep=lambda _: None)
    reply = Ok(200, {"Date": formatdate(WALL_S, usegmt=True)}, encoded("pong"))
    assert clock.measure(FakeRest(reply), samples=1) == 500.0
