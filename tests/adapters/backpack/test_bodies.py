"""Claims on REST bodies."""

from __future__ import annotations

from decimal import Decimal

import pytest

from adapters.backpack import parse
from adapters.backpack.values import WireRefused
from core.types import Fees, Level, Liquidity, OrderState, Side, Source
from tests.adapters.backpack.support import SYMBOL, encoded, fill_row, order_body


def test_an_order_object_is_a_cumulative_report() -> None:
    """executedQuantity is the filled quantity; it never makes a fill."""
    report = parse.parse_order(encoded(order_body(status="PartiallyFilled", executedQuantity="0.04")), 1.0)
    expected = (7, "28563660001", OrderState.PARTIALLY_FILLED, Decimal("0.04"), Side.SELL, Source.REST)
    actual = (report.client_order_id, report.venue_order_id, report.state, report.filled_quantity, report.side, report.source)
    assert expected == actual


@pytest.mark.parametrize(
    "changes", [{"executedQuantity": None}, {"executedQuantity": "NaN"}, {"id": ""}, {"id": "1&x=2"}, {"symbol": ""}]
)
def test_an_unusable_order_object_is_refused(changes: dict[str, object]) -> None:
    """The id goes back to the venue in a signed text: it must be an id."""
    with pytest.raises(WireRefused):
        parse.parse_order(encoded(order_body(**changes)), 1.0)


def test_a_fill_row_is_a_fill() -> None:
    """The history's time is naive ISO text in UTC."""
    [fill] = parse.parse_fills(encoded([fill_row(9_748_827)]), 1.0)
    expected = ("9748827", 7, Side.SELL, Decimal("0.04"), Decimal("2625"), Decimal("0.05"), Liquidity.TAKER, 1_791_500_000_500)
    actual = (
        fill.trade_id, fill.client_order_id, fill.side, fill.quantity, fill.price, fill.fee, fill.liquidity, fill.venue_time_ms,
    )  # fmt: skip
    assert expected == actual


def test_a_fill_rows_client_id_may_be_text() -> None:
    """The schema says string, captures say number or null."""
    fills = parse.parse_fills(encoded([fill_row(1, clientId="7"), fill_row(2, clientId=None)]), 1.0)
    assert [fill.client_order_id for fill in fills] == [7, None]


def test_a_fill_without_trade_id_of_our_order_is_refused() -> None:
    """A made-up key would count beside the stream's."""
    with pytest.raises(WireRefused, match="no trade id"):
        parse.parse_fills(encoded([fill_row(None)]), 1.0)


def test_a_system_fill_without_trade_id_has_one_stable_key() -> None:
    """A liquidation read twice is one fill."""
    body = encoded([fill_row(None, clientId=None)])
    first, second = parse.parse_fills(body, 1.0), parse.parse_fills(body, 2.0)
    assert first[0].trade_id == second[0].trade_id


@pytest.mark.parametrize(
    "changes",
    [{"price": "NaN"}, {"quantity": "0"}, {"quantity": "-1"}, {"side": "Buy"}, {"timestamp": "yesterday"}, {"timestamp": "1969-01-01T00:00:00"},
     {"fee": "Infinity"}, {"isMaker": None}, {"tradeId": "x"}, {"tradeId": -1}],
)  # fmt: skip
def test_one_unusable_fill_row_refuses_the_answer(changes: dict[str, object]) -> None:
    """An answer with a hole must not pass for the whole history."""
    with pytest.raises(WireRefused):
        parse.parse_fills(encoded([fill_row(1), fill_row(2, **changes)]), 1.0)


def test_positions_are_signed_net_quantities() -> None:
    """By symbol; an empty list is flat everywhere."""
    body = encoded([{"symbol": SYMBOL, "netQuantity": "-0.01"}, {"symbol": "SOL_USDC_PERP", "netQuantity": 2}])
    expected = ({SYMBOL: Decimal("-0.01"), "SOL_USDC_PERP": Decimal(2)}, {})
    assert expected == (parse.parse_positions(body), parse.parse_positions(b"[]"))


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'[{"symbol":"A"}]', b'[{"symbol":"A","netQuantity":"NaN"}]',
                                  b'[{"symbol":"A","netQuantity":"1"},{"symbol":"A","netQuantity":"1"}]'])  # fmt: skip
def test_a_position_answer_that_is_not_well_formed_is_not_flat(body: bytes) -> None:
    """Zero is a fact and needs a fact's evidence."""
    with pytest.raises(WireRefused):
        parse.parse_positions(body)


def test_a_rest_book_is_turned_best_first() -> None:
    """Bids come ascending; a level of zero is none."""
    body = encoded(
        {"asks": [["11", "1"], ["12", "0.0"]], "bids": [["8", "1"], ["9", "2"]], "lastUpdateId": "5", "timestamp": 7_000}
    )
    book = parse.book_update(SYMBOL, parse.parse_depth(body), 1.0)
    expected = ((Level(Decimal(9), Decimal(2)), Level(Decimal(8), Decimal(1))), (Level(Decimal(11), Decimal(1)),), 7)
    assert expected == (book.bids, book.asks, book.venue_time_ms)


def test_a_crossed_rest_book_is_refused() -> None:
    """Bid at the ask: not a book."""
    snapshot = parse.parse_depth(encoded({"asks": [["9", "1"]], "bids": [["9", "2"]], "lastUpdateId": 5}))
    with pytest.raises(WireRefused, match="crossed"):
        parse.book_update(SYMBOL, snapshot, 1.0)


def test_account_fees_are_turned_from_bps() -> None:
    """Negative is a rebate."""
    body = encoded(
        {"futuresMakerFee": "-0.5", "futuresTakerFee": 4.5, "limitOrders": 3, "triggerOrders": "1", "liquidating": False}
    )
    account = parse.parse_account(body)
    assert (Fees(Decimal("-0.00005"), Decimal("0.00045")), 3, 1) == (account.fees, account.limit_orders, account.trigger_orders)


@pytest.mark.parametrize("fee", ["NaN", "101", "-101", None])
def test_a_fee_no_venue_has_is_refused(fee: object) -> None:
    """More than 100 bps is a unit mistake."""
    with pytest.raises(WireRefused):
        parse.parse_account(encoded({"futuresMakerFee": "0", "futuresTakerFee": fee}))


@pytest.mark.parametrize("body", [b"1750793021519", b' "1750793021519" ', b"1750793021519\n"])
def test_server_time_is_bare_milliseconds(body: bytes) -> None:
    """With or without quotes."""
    assert parse.parse_time(body) == 1_750_793_021_519


@pytest.mark.parametrize("body", [b"", b"pong", b"1", b"<html>" * 20, "１７５".encode()])
def test_a_time_that_is_none_is_refused(body: bytes) -> None:
    """A page of a proxy is not a clock."""
    with pytest.raises(WireRefused):
        parse.parse_time(body)
