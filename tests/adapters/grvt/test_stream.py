"""The two sessions without a socket: confirmation, sequence, silence, damage, and the end of each by its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.grvt.stream import GrvtTradingSession
from adapters.transport.rest import NotSent
from adapters.transport.stream import SessionFailed
from core.messages import BookLost, BookUpdated, FrameRejected, Message
from core.types import Channel, Level
from tests.adapters.grvt.sessions import (
    PRIVATE,
    SELECTOR,
    book,
    confirm,
    fill,
    frame,
    market,
    synced_market,
    synced_trading,
    trading,
)
from tests.adapters.grvt.support import (
    ACCOUNT,
    COOKIE,
    GRVT,
    NOW,
    SYMBOL,
    FakeClock,
    FakeRest,
    denied,
    encoded,
    fill_json,
    kinds,
    login_ok,
    order_json,
    wire,
)


def failure(call: Callable[[], object]) -> SessionFailed:
    with pytest.raises(SessionFailed) as caught:
        call()
    return caught.value


# ---- subscriptions -----------------------------------------------------------------------------------------------------------


def test_the_market_session_asks_for_the_book_once() -> None:
    """One stream, one selector with the fastest rate of book changes; ids start at 1."""
    requests = [json.loads(text) for text in market().outbox()]
    expected = {"stream": "v1.book.d", "selectors": [f"{SYMBOL}@50"]}
    assert [(1, expected)] == [(request["id"], request["params"]) for request in requests]


def test_the_trading_session_asks_for_its_streams_of_one_symbol() -> None:
    """Orders, states, fills and positions of our sub-account."""
    requests = [json.loads(text) for text in trading().outbox()]
    assert [(stream, [SELECTOR]) for stream in PRIVATE] == [(r["params"]["stream"], r["params"]["selectors"]) for r in requests]


def test_the_outbox_is_drained() -> None:
    """Nothing is sent twice by accident."""
    session = trading()
    session.outbox()
    assert [] == session.outbox()


def test_a_session_is_synced_when_everything_is_confirmed() -> None:
    """Three of four confirmed is not synced."""
    session = trading()
    confirm(session, skip=1)
    half = session.is_synced
    assert (False, True) == (half, synced_trading().is_synced)


def test_the_market_needs_a_snapshot_to_be_synced() -> None:
    """A confirmation alone is no book."""
    session = market()
    confirm(session)
    assert (False, True) == (session.is_synced, synced_market().is_synced)


@pytest.mark.parametrize("change", [{"subs": []}, {"stream": "v1.mini.d"}, {"subs": ["BTC_USDT_Perp@50"]}])
def test_an_answer_to_something_else_confirms_nothing(change: dict[str, Any]) -> None:
    """The venue must name the stream and the selector."""
    session = market()
    session.outbox()
    result = {"stream": "v1.book.d", "subs": [f"{SYMBOL}@50"]} | change
    session.received(encoded({"jsonrpc": "", "result": result, "id": 1}), NOW)
    session.received(book(0), NOW)
    assert not session.is_synced


def test_an_unconfirmed_subscription_is_asked_for_again() -> None:
    """After two seconds, with a new id; a late answer to the first still counts."""
    session = market()
    first = session.outbox()
    session.tick(NOW + 1.9)
    early = session.outbox()
    session.tick(NOW + 2.0)
    again = session.outbox()
    assert ([], [1, 2]) == (early, [json.loads(text)["id"] for text in first + again])


def test_three_unanswered_subscriptions_end_the_conversation() -> None:
    """Silence is not subscribed to for ever."""
    session = trading()
    session.tick(NOW + 2)
    session.tick(NOW + 4)
    assert "unanswered" in failure(lambda: session.tick(NOW + 6)).reason


def test_a_confirmed_session_is_not_asked_again() -> None:
    """Private streams may be silent for hours."""
    session = synced_trading()
    session.tick(NOW + 3600)
    assert [] == session.outbox()


def test_error_1000_is_an_authentication_failure() -> None:
    """The cookie of the handshake is not accepted."""
    error = {"jsonrpc": "2.0", "error": {"code": 1000, "message": "no"}, "id": 1, "method": "subscribe"}
    assert failure(lambda: trading().received(encoded(error), NOW)).is_auth


@pytest.mark.parametrize(
    ("reason", "cookie"), [("auth: closed by peer: 1008", "second"), ("closed by peer: 1001", "dummy-cookie")]
)
def test_a_connection_lost_for_its_login_logs_in_anew(reason: str, cookie: str) -> None:
    """A cookie may be revoked long before its end; one that was not in doubt is kept."""
    session = trading(FakeRest(login_ok(), login_ok("gravity=second")))
    session.lost(reason, NOW)
    assert f"Cookie: gravity={cookie}" in session.endpoint().headers[0]


@pytest.mark.parametrize(
    "error", [{"error": {"code": 3000, "message": "x"}, "id": 1}, {"code": 1003, "message": "x", "status": 400}]
)
def test_any_other_error_ends_the_conversation_too(error: dict[str, Any]) -> None:
    """A refused subscription never looks like a quiet one."""
    assert not failure(lambda: market().received(encoded(error), NOW)).is_auth


def test_the_handshake_carries_cookie_and_account_id() -> None:
    """Header lines for the private socket; none for the public one."""
    lines = trading().endpoint().headers
    assert ((f"Cookie: {COOKIE}", "X-Grvt-Account-Id: ACC:1"), ()) == (lines, market().endpoint().headers)


@pytest.mark.parametrize(("answer", "is_auth"), [(denied(1000, 401), True), (NotSent("refused"), False)])
def test_a_failed_login_ends_the_attempt_without_a_secret(answer: Any, is_auth: bool) -> None:
    """Refused by the venue is told from not reached."""
    session = GrvtTradingSession(ACCOUNT, "wss://x", FakeClock().auth(FakeRest(answer)))
    assert is_auth is failure(session.endpoint).is_auth


# ---- sequence ----------------------------------------------------------------------------------------------------------------


def test_changes_follow_the_snapshot() -> None:
    """Absolute quantities: a new best bid, and a removed ask."""
    session = synced_market()
    session.received(book(1, ("100.5", "2"), ("102", "3")), NOW)
    (updated,) = session.received(book(2, ("100", "1"), ("101", "0")), NOW + 1)
    expected = BookUpdated(
        venue=GRVT,
        symbol=SYMBOL,
        bids=(Level(Decimal("100.5"), Decimal(2)), Level(Decimal(100), Decimal(1))),
        asks=(Level(Decimal(102), Decimal(3)),),
        received_at=NOW + 1,
        venue_time_ms=1,
    )
    assert expected == updated


def test_the_first_change_must_be_the_one_the_answer_named() -> None:
    """A change lost between snapshot and stream is a gap."""
    assert "gap" in failure(lambda: synced_market().received(book(2), NOW)).reason


@pytest.mark.parametrize("sequence", [(1, 3), (1, 2, 1), (1, 0)])
def test_gaps_and_decreases_end_the_market_conversation(sequence: tuple[int, ...]) -> None:
    """A book with a hole is no book."""
    session = synced_market()
    for number in sequence[:-1]:
        session.received(book(number), NOW)
    failure(lambda: session.received(book(sequence[-1]), NOW))


@pytest.mark.parametrize("sequence", [(1, 3), (1, 2, 1), (1, 0)])
def test_gaps_and_decreases_end_the_trading_conversation(sequence: tuple[int, ...]) -> None:
    """A missed fill is fetched after the reconnection."""
    session = synced_trading()
    for number in sequence[:-1]:
        session.received(fill(number), NOW)
    failure(lambda: session.received(fill(sequence[-1]), NOW))


def test_a_broken_chain_is_a_gap() -> None:
    """prev_sequence_number must name the frame before."""
    session = synced_trading()
    session.received(fill(1), NOW)
    assert "follows" in failure(lambda: session.received(fill(2, previous=0), NOW)).reason


def test_a_duplicate_is_ignored() -> None:
    """The same frame twice is one fill and one book."""
    session, private = synced_market(), synced_trading()
    session.received(book(1), NOW)
    private.received(fill(1), NOW)
    assert ((), ()) == (session.received(book(1, ("50", "9")), NOW), private.received(fill(1), NOW))


def test_each_stream_counts_for_itself() -> None:
    """Fills and states are not one sequence."""
    session = synced_trading()
    state = {"order_id": "1", "client_order_id": "0", "order_state": {"status": "OPEN", "traded_size": ["0"]}}
    first = session.received(fill(1), NOW)
    second = session.received(frame("v1.state", 1, state), NOW)
    assert (["FillReported"], ["OrderReported"]) == (kinds(first), kinds(second))


@given(st.lists(st.sampled_from(["next", "duplicate", "gap"]), max_size=20))
def test_no_fill_is_ever_skipped_in_silence(steps: list[str]) -> None:
    """Whatever arrives: the delivered trade ids are consecutive, or the conversation has ended."""
    session, delivered, number = synced_trading(), [], 0
    for step in steps:
        number += {"next": 1, "duplicate": 0, "gap": 2}[step]
        if number == 0:
            continue
        try:
            delivered += [message.trade_id for message in session.received(fill(number, str(number)), NOW)]  # type: ignore[attr-defined]
        except SessionFailed:
            break
    assert [str(n) for n in range(1, len(delivered) + 1)] == delivered


def test_a_new_connection_starts_anew() -> None:
    """Numbers, confirmations and the book of the old one are forgotten."""
    session = synced_market()
    session.received(book(1), NOW)
    session.opened(NOW + 10)
    before = session.is_synced
    confirm(session, first="900")
    confirmed = session.is_synced
    session.received(book(0), NOW + 10)
    session.received(book(900), NOW + 10)
    assert (False, False, True) == (before, confirmed, session.is_synced)


def test_frames_that_overtake_the_answer_count() -> None:
    """Data before the confirmation is not an error."""
    session = market()
    session.received(book(0), NOW)
    session.received(book(7), NOW)
    confirm(session, first="7")
    assert ["BookUpdated"] == kinds(session.received(book(8), NOW))


# ---- market health -----------------------------------------------------------------------------------------------------------


def test_a_silent_book_ends_the_conversation_though_pongs_come() -> None:
    """Five seconds without a frame."""
    session = synced_market()
    session.tick(NOW + 5.0)
    assert "no book" in failure(lambda: session.tick(NOW + 5.1)).reason


def test_a_crossed_book_ends_the_conversation() -> None:
    """Best bid at the best ask: something was missed."""
    assert "crossed" in failure(lambda: synced_market().received(book(1, ("101", "1")), NOW)).reason


def test_a_change_without_snapshot_ends_the_conversation() -> None:
    """There is nothing it could change."""
    session = market()
    confirm(session)
    assert "snapshot" in failure(lambda: session.received(book(1), NOW)).reason


def test_a_lost_connection_loses_the_book() -> None:
    """Told once, and only where there was one."""
    session = synced_market()
    expected = BookLost(venue=GRVT, symbol=SYMBOL, reason="reset", at=NOW)
    assert ((expected,), ()) == (session.lost("reset", NOW), session.lost("reset", NOW))


# ---- frames ------------------------------------------------------------------------------------------------------------------


def test_bootstrap_orders_without_any_id_are_nothing() -> None:
    """Some sockets begin with an order of id 0."""
    feed = order_json(order_id="0x00", client_order_id="0")
    assert () == synced_trading().received(frame("v1.order", 0, feed), NOW)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"x":' + b"[" * 200_000, b"NaN"])
def test_an_unreadable_frame_is_rejected_now_and_ends_the_conversation_next(raw: bytes) -> None:
    """It may have been the only word of a fill: only a reconnection makes everybody look."""
    session = synced_trading()
    messages = session.received(raw, NOW)
    assert ["FrameRejected"] == kinds(messages)
    failure(lambda: session.tick(NOW))


def test_a_fill_that_cannot_be_read_ends_the_conversation_next() -> None:
    """Typed refusal of the content; the number is not counted."""
    session = synced_trading()
    rejected = session.received(frame("v1.fill", 1, fill_json(price="NaN")), NOW)[0]
    assert isinstance(rejected, FrameRejected)
    assert "not finite" in rejected.reason
    failure(lambda: session.received(fill(2), NOW))
    failure(lambda: session.tick(NOW))


def test_an_unknown_kind_of_frame_is_rejected_and_the_conversation_goes_on() -> None:
    """The venue may greet."""
    session = synced_trading()
    assert ["FrameRejected"] == kinds(session.received(b'{"hello":"world"}', NOW))
    session.tick(NOW)


def test_a_rejected_frame_shows_no_signature() -> None:
    """The head of an order frame is kept without r and s."""
    order = order_json()
    order["signature"] |= {"r": "0x" + "ab" * 32, "s": "0x" + "cd" * 32}
    order = {"signature": order.pop("signature")} | order | {"legs": []}
    rejected = synced_trading().received(frame("v1.order", 1, order), NOW)[0]
    assert isinstance(rejected, FrameRejected)
    assert [word for word in ("abab", "cdcd") if word in rejected.head] == []


@pytest.mark.parametrize("make", [synced_trading, synced_market])
@given(raw=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_session_failed(make: Callable[[], Any], raw: bytes) -> None:
    """The reader loop survives any venue."""
    session = make()
    try:
        messages: tuple[Message, ...] = tuple(session.received(raw, NOW))
    except SessionFailed:
        return
    assert ["FrameRejected"] == kinds(messages)


@pytest.mark.parametrize("make", [synced_trading, synced_market])
def test_every_recorded_frame_is_taken_rejected_or_ends_the_conversation(make: Callable[[], Any]) -> None:
    """Replies, errors, feeds of both hosts, lite and legacy."""
    for name in (
        "live_frames_ccxt.jsonl",
        "lifecycle_synthetic.jsonl",
        "trading_ws_doc.jsonl",
        "md_ws_doc.jsonl",
        "ws_rpc.jsonl",
    ):
        for line in wire(name):
            try:
                make().received(encoded(line["frame"]), NOW)
            except SessionFailed:
                continue


def test_the_lifecycles_are_read_whole() -> None:
    """Post-only with two partial fills: every stream frame of the case becomes its message."""
    session = trading()
    confirm(session)
    seen: list[str] = []
    for line in wire("lifecycle_synthetic.jsonl"):
        if line["case"].startswith("post_only accepted") and "stream" in line["frame"]:
            seen += kinds(session.received(encoded(line["frame"]), NOW))
    assert ["OrderReported", "OrderReported", "FillReported", "OrderReported", "FillReported", "OrderReported"] == seen


def test_the_sessions_say_what_they_are() -> None:
    """What the loop puts into FeedChanged."""
    actual = [(s.venue, s.channel, s.symbol) for s in (market(), trading())]
    assert [(GRVT, Channel.MARKET, SYMBOL), (GRVT, Channel.ACCOUNT, SYMBOL)] == actual
