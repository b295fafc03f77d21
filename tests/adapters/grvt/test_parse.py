"""Bytes to messages: live frames, states, refusals, and that nothing recorded escapes both."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.grvt import parse
from adapters.grvt.envelope import Confirmed, Failed, Feed, envelope, error_of
from adapters.grvt.parse import Account
from adapters.grvt.values import Rule, WireRefused
from core.messages import FillReported, PositionReported
from core.types import Level, Liquidity, OrderState, Side, Source
from tests.adapters.grvt.support import ACCOUNT, GRVT, NOW, SUB, SYMBOL, encoded, fill_json, order_json, wire

BTC = Account(SUB, "BTC_USDT_Perp", "USDT")
FILES = (
    "auth.jsonl",
    "errors.jsonl",
    "instruments.jsonl",
    "lifecycle_synthetic.jsonl",
    "live_frames_ccxt.jsonl",
    "md_rest_doc.jsonl",
    "md_ws_doc.jsonl",
    "trading_rest_doc.jsonl",
    "trading_ws_doc.jsonl",
    "ws_rpc.jsonl",
)
FEEDS: dict[str, Callable[[bytes, Account, float], object]] = {
    "v1.order": parse.order_feed,
    "v1.state": parse.state_feed,
    "v1.fill": parse.fill_feed,
    "v1.position": parse.position_feed,
    "v1.book.d": lambda feed, account, now: parse.book_feed(feed, account.symbol),
}
BODIES: tuple[Callable[[bytes], object], ...] = (
    lambda body: parse.created(body, BTC, NOW),
    lambda body: parse.order_answer(body, BTC, NOW),
    lambda body: parse.open_orders(body, BTC, NOW),
    lambda body: parse.fill_page(body, BTC, NOW),
    lambda body: parse.position_answer(body, BTC, NOW),
    lambda body: parse.book_answer(body, "BTC_USDT_Perp", NOW),
    parse.is_acknowledged,
    parse.server_time_ms,
    parse.instruments,
    parse.summary,
    parse.login,
    envelope,
)


def live(fn: str, index: int = 0) -> Any:
    return [line["frame"] for line in wire("live_frames_ccxt.jsonl") if line["fn"] == fn][index]


def feed_of(frame: dict[str, Any]) -> Feed:
    found = envelope(encoded(frame))
    assert isinstance(found, Feed)
    return found


def refusal(read: Callable[[], object]) -> Rule:
    with pytest.raises(WireRefused) as caught:
        read()
    return caught.value.rule


# ---- live frames -------------------------------------------------------------------------------------------------------------


def test_a_live_fill_is_read_whole() -> None:
    """The production taker fill: signed fee, canonical order id, foreign client id, quote currency where the frame names none."""
    feed = feed_of(live("handle_my_trade"))
    expected = FillReported(
        venue=GRVT,
        symbol="BTC_USDT_Perp",
        trade_id="74150425-1",  # type: ignore[arg-type]
        client_order_id=None,
        venue_order_id="0x0101010503a12f6e000000007791f1bd",  # type: ignore[arg-type]
        side=Side.BUY,
        price=Decimal("89473.4"),
        quantity=Decimal("0.001"),
        fee=Decimal("0.040263"),
        fee_currency="USDT",
        liquidity=Liquidity.TAKER,
        venue_time_ms=1_767_354_369_431,
        source=Source.WS,
        received_at=NOW,
    )
    assert expected == parse.fill_feed(feed.feed, BTC, NOW)


def test_a_live_maker_fill_has_a_negative_fee() -> None:
    """The rebate comes from ``fee``: ``fee_rate`` says 0.0."""
    fills, cursor = parse.fill_page(encoded(live("fetch_my_trades")), BTC, NOW)
    assert (Decimal("-0.00009"), Liquidity.MAKER, "") == (fills[0].fee, fills[0].liquidity, cursor)


def test_a_live_order_frame_is_read() -> None:
    """Open, nothing traded: ACCEPTED."""
    report = parse.order_feed(feed_of(live("handle_order")).feed, BTC, NOW)
    actual = (report.state, report.filled_quantity, report.price, report.quantity, report.side, report.client_order_id)
    assert (OrderState.ACCEPTED, Decimal(0), Decimal("87443.0"), Decimal("0.001"), Side.BUY, None) == actual


def test_a_live_position_frame_is_read() -> None:
    """Signed size as the venue says."""
    expected = PositionReported(venue=GRVT, symbol="BTC_USDT_Perp", quantity=Decimal("0.001"), source=Source.WS, received_at=NOW)
    assert expected == parse.position_feed(feed_of(live("handle_position")).feed, BTC, NOW)


def test_a_live_create_answer_has_no_venue_id_yet() -> None:
    """0x00 is a placeholder and PENDING is no news."""
    found = parse.created(encoded(live("create_order")), BTC, NOW)
    assert (None, None) == (found.venue_order_id, found.report)


def test_live_open_orders_and_a_live_filled_order_are_read() -> None:
    """The REST lists that quote numbers as text."""
    opened = parse.open_orders(encoded(live("fetch_open_orders")), BTC, NOW)
    filled = parse.order_answer(encoded(live("fetch_order")), BTC, NOW)
    actual = ([report.state for report in opened], filled.state, filled.filled_quantity)
    assert ([OrderState.ACCEPTED], OrderState.FILLED, Decimal("0.001")) == actual


def test_a_live_book_is_read() -> None:
    """Best levels of both sides."""
    book = parse.book_answer(encoded(live("fetch_order_book")), "BTC_USDT_Perp", NOW)
    expected = ((Level(Decimal("92336.0"), Decimal("0.005")),), (Level(Decimal("92336.1"), Decimal("5.711")),))
    assert expected == (book.bids, book.asks)


def test_a_live_subscribe_answer_is_read() -> None:
    """Sequence numbers are text when live."""
    expected = Confirmed(1, "v1.mini.d", ("BTC_USDT_Perp@500",), (1_061_214,))
    assert expected == envelope(encoded(live("handle_message")))


def test_acknowledgements_are_true_in_both_spellings() -> None:
    """Documentation writes text, production a boolean; false is false."""
    answers = ({"result": {"ack": True}}, {"result": {"ack": "true"}}, {"result": {"ack": False}})
    assert [True, True, False] == [parse.is_acknowledged(encoded(answer)) for answer in answers]


# ---- states ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "traded", "expected"),
    [
        ("PENDING", "UNSPECIFIED", "0.0", (OrderState.SUBMITTED, "")),
        ("OPEN", "UNSPECIFIED", "0.0", (OrderState.ACCEPTED, "")),
        ("OPEN", "UNSPECIFIED", "0.06", (OrderState.PARTIALLY_FILLED, "")),
        ("FILLED", "UNSPECIFIED", "0.16", (OrderState.FILLED, "")),
        ("CANCELLED", "CLIENT_CANCEL", "0.06", (OrderState.CANCELED, "CLIENT_CANCEL")),
        ("CANCELLED", "EXPIRED", "0.0", (OrderState.EXPIRED, "EXPIRED")),
        ("REJECTED", "FAIL_POST_ONLY", "0.0", (OrderState.REJECTED, "FAIL_POST_ONLY")),
        ("CANCELLED", "A_REASON_OF_2027", "0.0", (OrderState.CANCELED, "A_REASON_OF_2027")),
        ("HALF_OPEN", "UNSPECIFIED", "0.0", (OrderState.UNKNOWN, "HALF_OPEN")),
    ],
)
def test_the_venues_words_map_to_ours(status: str, reason: str, traded: str, expected: tuple[OrderState, str]) -> None:
    """The table of grvt.md §3; a new word is UNKNOWN and names itself."""
    report = parse.order_feed(encoded(order_json(status, traded, reason=reason)), ACCOUNT, NOW)
    assert expected == (report.state, report.reason)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_status_or_reason_is_an_error(status: str, reason: str) -> None:
    """Enums of the venue are open."""
    report = parse.order_feed(encoded(order_json(status, "0.0", reason=reason)), ACCOUNT, NOW)
    assert report.state in OrderState


def test_a_filled_order_without_traded_size_is_refused() -> None:
    """How much was filled is never guessed."""
    order = order_json("FILLED")
    order["state"]["traded_size"] = None
    assert Rule.WRONG_SHAPE is refusal(lambda: parse.order_feed(encoded(order), ACCOUNT, NOW))


def test_every_state_frame_of_the_lifecycles_is_read() -> None:
    """Cancel races, post-only rejection, dead-man: the last state of each case."""
    last: dict[str, OrderState] = {}
    for line in wire("lifecycle_synthetic.jsonl"):
        frame = line["frame"]
        if line["dir"] == "in" and frame.get("stream") == "v1.state":
            last[line["case"]] = parse.state_feed(feed_of(frame).feed, ACCOUNT, NOW).state
    expected = {OrderState.FILLED, OrderState.REJECTED, OrderState.CANCELED}
    assert expected == set(last.values())


# ---- refusals ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"price": "NaN"}, Rule.NOT_FINITE),
        ({"price": "Infinity"}, Rule.NOT_FINITE),
        ({"size": "-0.06"}, Rule.NEGATIVE),
        ({"size": "0"}, Rule.ZERO),
        ({"size": "1" * 40}, Rule.TOO_LONG),
        ({"fee": "1e400"}, Rule.NOT_A_NUMBER),
        ({"fee": "-inf"}, Rule.NOT_FINITE),
        ({"price": 3072.8}, Rule.WRONG_SHAPE),
        ({"trade_id": ""}, Rule.BAD_ID),
        ({"order_id": "-1"}, Rule.BAD_ID),
        ({"client_order_id": str(2**64)}, Rule.BAD_ID),
        ({"sub_account_id": "1"}, Rule.OTHER_ACCOUNT),
        ({"is_buyer": "yes"}, Rule.WRONG_SHAPE),
    ],
)
def test_a_bad_fill_is_refused_by_a_typed_rule(change: dict[str, Any], rule: Rule) -> None:
    """One wrong value refuses the fill and names the rule."""
    assert rule is refusal(lambda: parse.fill_feed(encoded(fill_json(**change)), ACCOUNT, NOW))


def test_a_list_with_one_bad_row_is_refused_as_a_whole() -> None:
    """A hole would read like the absence of a fill."""
    page = {"result": [fill_json("1-1"), fill_json("1-2", price="NaN")], "next": ""}
    assert Rule.NOT_FINITE is refusal(lambda: parse.fill_page(encoded(page), ACCOUNT, NOW))


def test_rows_of_other_symbols_are_left_out() -> None:
    """The venue's filter is by base and quote; ours is by symbol."""
    page = {"result": [fill_json("1-1"), fill_json("1-2", symbol="BTC_USDT_Perp")], "next": "more"}
    fills, cursor = parse.fill_page(encoded(page), ACCOUNT, NOW)
    assert (["1-1"], "more") == ([fill.trade_id for fill in fills], cursor)


def test_flat_needs_a_well_formed_list() -> None:
    """An empty list is flat; an empty object, a null or another account's row is not."""
    assert Decimal(0) == parse.position_answer(b'{"result":[]}', ACCOUNT, NOW).quantity
    other = encoded({"result": [{"sub_account_id": "1", "instrument": SYMBOL, "size": "1"}]})
    rules = [refusal(lambda body=body: parse.position_answer(body, ACCOUNT, NOW)) for body in (b"{}", b'{"result":null}', other)]
    assert [Rule.WRONG_SHAPE, Rule.WRONG_SHAPE, Rule.OTHER_ACCOUNT] == rules


@pytest.mark.parametrize("body", [b"", b"\xff", b"<html>", b'{"x":' + b"[" * 200_000, b"null", b"[]", b"1"])
def test_garbage_is_refused_and_never_raises_anything_else(body: bytes) -> None:
    """Deep nesting and bad UTF-8 are no exceptions of ours."""
    for read in BODIES:
        assert refusal(lambda read=read: read(body)) in (Rule.NOT_JSON, Rule.WRONG_SHAPE)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)))
def test_any_json_is_read_or_refused(value: object) -> None:
    """There is no third outcome: anything but WireRefused would fail the test."""
    for read in BODIES:
        is_refused(read, value)


def is_refused(read: Callable[[bytes], object], value: object) -> bool:
    try:
        read(encoded(value))
    except WireRefused:
        return True
    return False


@pytest.mark.parametrize("name", FILES)
def test_every_recorded_frame_is_read_or_refused_by_a_rule(name: str) -> None:
    """Full, lite and legacy dialects, errors and requests: no frame raises anything but WireRefused."""
    for line in wire(name):
        body = encoded(line.get("frame", line))
        for read in BODIES:
            is_refused(read, line.get("frame", line))
        error_of(body)
        try:
            found = envelope(body)
        except WireRefused:
            continue
        if isinstance(found, Feed) and found.stream in FEEDS:
            account = Account(
                str(line["frame"]["feed"].get("sub_account_id", SUB)), line["frame"]["feed"].get("instrument", SYMBOL), "USDT"
            )
            FEEDS[found.stream](found.feed, account, NOW)


def test_every_documented_full_feed_of_our_streams_is_read() -> None:
    """Not refused: the official examples of order, state, fill, position and book."""
    seen = set()
    for line in wire("trading_ws_doc.jsonl") + wire("md_ws_doc.jsonl"):
        if line["name"] != "Full Feed Response" or line["frame"]["stream"] not in FEEDS:
            continue
        feed = feed_of(line["frame"])
        payload = line["frame"]["feed"]
        account = Account("$GRVT_SUB_ACCOUNT_ID", payload.get("instrument", SYMBOL), "USDT")
        FEEDS[feed.stream](feed.feed, account, NOW)
        seen.add(feed.stream)
    assert set(FEEDS) == seen


def test_every_documented_error_body_has_a_code() -> None:
    """REST and socket, 1000 and all others."""
    errors = [line["frame"] for line in wire("trading_rest_doc.jsonl") if line["name"] == "Full Error Response"]
    assert [] == [error for error in errors if error_of(encoded(error)) is None]
    sockets = [line["frame"] for line in wire("trading_ws_doc.jsonl") if line["name"] == "Full Error Response"]
    assert [] == [frame for frame in sockets if not isinstance(envelope(encoded(frame)), Failed)]


@pytest.mark.parametrize("body", [b"<html>403 Forbidden</html>", b"", b'{"message":"no"}', b'{"code":"abc"}'])
def test_a_page_without_code_is_not_the_venues_word(body: bytes) -> None:
    """A proxy's 403 is no authentication error."""
    assert error_of(body) is None
