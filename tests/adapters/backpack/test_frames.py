"""Claims on stream frames: what becomes a fact, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.backpack import frames
from adapters.backpack.frames import Complaint, DepthDelta, Touch
from adapters.backpack.values import WireRefused
from core.messages import FillReported, OrderReported, PositionReported
from core.types import Liquidity, OrderState, Side, Source
from tests.adapters.backpack.support import SYMBOL, depth_frame, encoded, order_update


def account(frame: bytes) -> tuple[object, ...]:
    parsed = frames.parse_account_frame(frame, SYMBOL, 9.0)
    assert not isinstance(parsed, Complaint)
    return parsed


def report_of(**changes: object) -> OrderReported:
    report = account(order_update(**changes))[-1]
    assert isinstance(report, OrderReported)
    return report


def position_frame(**changes: object) -> bytes:
    data = {"s": SYMBOL, "q": "-0.01", "Q": "0.01", "i": 28_563_667_732, "B": "126.97", "T": 1_769_366_599_828_078, **changes}
    return encoded({"data": data, "stream": "account.positionUpdate"})


def test_an_order_fill_is_a_fill_and_then_the_order() -> None:
    """The fill comes first, so that the cumulative quantity is covered when it is told."""
    assert [FillReported, OrderReported] == [type(message) for message in account(order_update())]


def test_a_fill_carries_the_frames_own_numbers() -> None:
    """Quantity of this execution, not the cumulative one; T is microseconds; a rebate is a negative fee."""
    fill = account(order_update(z="0.0150", l="0.0050"))[0]
    assert isinstance(fill, FillReported)
    expected = (7, "28563660001", "2888471", Side.BUY, Decimal("0.0050"), Decimal("2635.10"), Decimal("-0.0026"), "USDC")
    actual = (
        fill.client_order_id, fill.venue_order_id, fill.trade_id, fill.side, fill.quantity, fill.price, fill.fee, fill.fee_currency,
    )  # fmt: skip
    assert expected == actual
    assert (
        fill.liquidity, fill.venue_time_ms, fill.source, fill.received_at,
    ) == (Liquidity.MAKER, 1_791_500_000_700, Source.WS, 9.0)  # fmt: skip


def test_an_order_report_carries_cumulative_quantity() -> None:
    """z, not l."""
    report = report_of(z="0.0150", l="0.0050")
    assert (Decimal("0.0150"), Decimal("0.0200"), Decimal("2635.10")) == (report.filled_quantity, report.quantity, report.price)


@pytest.mark.parametrize(
    ("word", "filled", "state", "reason"),
    [
        ("New", "0", OrderState.ACCEPTED, ""),
        ("New", "0.005", OrderState.PARTIALLY_FILLED, ""),
        ("PartiallyFilled", "0.01", OrderState.PARTIALLY_FILLED, ""),
        ("Filled", "0.02", OrderState.FILLED, ""),
        ("Filled", "0.01", OrderState.UNKNOWN, "Filled with 0.01 of 0.0200"),
        ("Cancelled", "0.01", OrderState.CANCELED, ""),
        ("Expired", "0", OrderState.EXPIRED, "ImmediateOrCancel"),
        ("TriggerPending", "0", OrderState.ACCEPTED, ""),
        ("TriggerFailed", "0", OrderState.EXPIRED, "TriggerFailed"),
        ("Sleeping", "0", OrderState.UNKNOWN, "Sleeping"),
    ],
)
def test_the_venues_states_map_to_ours(word: str, filled: str, state: OrderState, reason: str) -> None:
    """An unknown word, or one that contradicts the quantities, is UNKNOWN and says why."""
    report = report_of(e="orderX", X=word, z=filled, R="ImmediateOrCancel" if word == "Expired" else None)
    assert (state, reason) == (report.state, report.reason)


@pytest.mark.parametrize(("given_id", "expected"), [(7, 7), ("7", 7), (None, None), (2**32, None), (-1, None), ("uuid-1", None)])
def test_a_client_id_outside_uint32_is_not_ours(given_id: object, expected: int | None) -> None:
    """Absent or foreign ids are None, text digits are the number."""
    assert expected == report_of(c=given_id).client_order_id


def test_a_number_in_place_of_text_is_read_digit_for_digit() -> None:
    """The documentation prints numbers where captures have text."""
    frame = order_update().replace(b'"2635.10"', b"2635.10").replace(b'"0.0100"', b"0.0100")
    assert Decimal("2635.10") == report_of(p=2635.10).price
    assert account(frame)[1] == account(order_update())[1]


def test_a_trigger_order_has_no_quantity_yet() -> None:
    """q "0" and a missing price are "not told"."""
    report = report_of(e="triggerPlaced", X="TriggerPending", q="0", p=None, z="0")
    assert (report.quantity, report.price) == (None, None)


@pytest.mark.parametrize("name", ["t", "l", "L", "n", "N", "m"])
def test_an_incomplete_fill_is_refused(name: str) -> None:
    """No price, quantity, key or fee is ever made up."""
    with pytest.raises(WireRefused, match="orderFill without"):
        account(order_update(**{name: None}))


@pytest.mark.parametrize("name", ["z", "q", "p", "l", "L", "n"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "1e-400", "1E+17", "sNaN", "1" * 70, "x", "", [], {}])
def test_a_number_no_market_has_is_refused(name: str, value: object) -> None:
    """NaN, infinite, gigantic, microscopic, endless or not a number at all."""
    with pytest.raises(WireRefused):
        account(order_update(**{name: value}))


@pytest.mark.parametrize("name", ["z", "q", "p", "l", "L"])
def test_a_negative_price_or_quantity_is_refused(name: str) -> None:
    """Only a fee may be below zero."""
    with pytest.raises(WireRefused):
        account(order_update(**{name: "-1"}))


def test_a_fill_above_the_cumulative_quantity_is_refused() -> None:
    """l > z contradicts itself."""
    with pytest.raises(WireRefused, match="larger than"):
        account(order_update(l="0.0100", z="0.0050"))


@pytest.mark.parametrize("time", [0, -1, 1_791_500_000, "soon", 2**70])
def test_a_time_outside_this_century_is_refused(time: object) -> None:
    """T counts microseconds; seconds or nonsense would misdate a fill."""
    with pytest.raises(WireRefused):
        account(order_update(T=time))


def test_an_order_of_another_symbol_is_refused() -> None:
    """The stream was subscribed for one symbol."""
    with pytest.raises(WireRefused, match="another symbol"):
        account(order_update(s="SOL_USDC_PERP"))


def test_a_first_position_frame_has_no_event() -> None:
    """q is the signed net quantity, as text here and as a number in the documentation."""
    expected = [PositionReported(venue=m.venue, symbol=SYMBOL, quantity=Decimal("-0.01"), source=Source.WS, received_at=9.0)
                for m in account(position_frame()) if isinstance(m, PositionReported)]  # fmt: skip
    assert (expected, expected) == (list(account(position_frame())), list(account(position_frame(q=-0.01))))


def test_a_position_that_is_not_a_number_is_refused() -> None:
    """A position of NaN must not become a fact."""
    with pytest.raises(WireRefused):
        account(position_frame(q="NaN"))


@pytest.mark.parametrize(
    "parse", [frames.parse_market_frame, lambda frame, symbol: frames.parse_account_frame(frame, symbol, 0.0)]
)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 4006, "message": "Invalid stream"}, Complaint("4006", "Invalid stream")),
        ("broken", Complaint("", "broken")),
    ],
)
def test_an_error_frame_is_a_complaint(parse: Any, error: object, expected: Complaint) -> None:
    """On either side."""
    assert expected == parse(encoded({"id": None, "error": error}), SYMBOL)


def test_a_depth_frame_is_a_delta() -> None:
    """Zero quantity removes a level; update ids may be text; both key orders occur."""
    expected = DepthDelta(SYMBOL, 5, 6, ((Decimal("9"), Decimal(0)),), ((Decimal("10"), Decimal("1.5")),), 1_791_500_000_700)
    actual = [
        frames.parse_market_frame(depth_frame(5, 6, [["9", "0.000"]], [["10", "1.5"]]), SYMBOL),
        frames.parse_market_frame(depth_frame(0, 0, [["9", "0.000"]], [["10", "1.5"]], U="5", u="6"), SYMBOL),
    ]
    assert [expected, expected] == actual


@pytest.mark.parametrize(
    "changes",
    [
        {"U": 7, "u": 6},
        {"U": -1},
        {"b": [["NaN", "1"]]},
        {"b": [["1", "-1"]]},
        {"a": [["0", "1"]]},
        {"a": [["1", "Infinity"]]},
        {"a": [["1"]]},
        {"a": None},
        {"s": "SOL_USDC_PERP"},
        {"e": "ticker"},
    ],
)
def test_a_depth_frame_with_an_impossible_part_is_refused(changes: dict[str, object]) -> None:
    """As a whole: a book with one level guessed is a wrong book."""
    with pytest.raises(WireRefused):
        frames.parse_market_frame(depth_frame(5, 6, **changes), SYMBOL)


@pytest.mark.parametrize("last_id", [5, "5"])
def test_a_book_ticker_tells_how_far_the_book_is(last_id: object) -> None:
    """An integer in captures, a string in the documentation; a null pair for an empty side is no error."""
    data = {"e": "bookTicker", "s": SYMBOL, "a": None, "A": None, "b": "1", "B": "2", "u": last_id}
    assert Touch(SYMBOL, 5) == frames.parse_market_frame(encoded({"stream": f"bookTicker.{SYMBOL}", "data": data}), SYMBOL)


def test_a_book_ticker_without_its_number_is_refused() -> None:
    """It could confirm nothing."""
    data = {"e": "bookTicker", "s": SYMBOL, "b": "1", "B": "2"}
    with pytest.raises(WireRefused):
        frames.parse_market_frame(encoded({"stream": f"bookTicker.{SYMBOL}", "data": data}), SYMBOL)


@pytest.mark.parametrize(
    "frame",
    [b"", b"{}", b"null", b'{"stream":"\xff"}', b'{"x":' + b"[" * 200_000, b"[]", b"\xff\xfe", b"[" * 200_000, b'{"stream":"x"}',
     b'{"stream":"trade.ETH_USDC_PERP","data":{}}', b'{"stream":"account.balanceUpdate","data":{}}', b'{"data":{"e":"depth"}}'],
)  # fmt: skip
def test_bytes_of_no_subscribed_stream_are_refused(frame: bytes) -> None:
    """By the typed rule, whatever the bytes are."""
    for parse in (lambda: frames.parse_market_frame(frame, SYMBOL), lambda: frames.parse_account_frame(frame, SYMBOL, 0.0)):
        with pytest.raises(WireRefused):
            parse()


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    """No other exception exists for a frame."""
    with pytest.raises(WireRefused):
        frames.parse_account_frame(data, SYMBOL, 0.0)
