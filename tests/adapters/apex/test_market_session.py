"""Claims on the book session: snapshot and ``u`` + 1, gaps repaired on the same connection, pings both ways, silence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.apex import frames, stream
from adapters.apex.stream import ApexMarketSession
from adapters.transport.stream import SessionFailed
from core.book import Book
from core.messages import BookLost, BookUpdated, FrameRejected, Message
from tests.adapters.apex.support import BTC, MARKET, WALL_MS, book_frame, encoded, make_clock

BOOK = f"orderBook200.H.{MARKET}"
TICKER = f"instrumentInfo.H.{MARKET}"


def opened(now: float = 0.0) -> ApexMarketSession:
    session = ApexMarketSession("ws://x", BTC, make_clock())
    session.opened(now)
    session.outbox()
    return session


def synced() -> ApexMarketSession:
    """A live book at update 10: bids 8 and 9, listed ascending as the venue does, ask 11."""
    session = opened()
    session.received(book_frame(10, [["8", "2"], ["9", "1"]], [["11", "1"]], kind="snapshot"), 0.0)
    return session


def ticker_frame() -> bytes:
    data = {"symbol": MARKET, "lastPrice": "9.5"}
    return encoded({"topic": TICKER, "type": "delta", "data": data, "ts": WALL_MS * 1_000})


def sent(session: ApexMarketSession) -> list[tuple[str, list[str]]]:
    return [(frame["op"], frame["args"]) for frame in map(json.loads, session.outbox())]


def bids_of(messages: Sequence[Message]) -> list[tuple[Decimal, Decimal]]:
    [book] = messages
    assert isinstance(book, BookUpdated)
    return [tuple(level) for level in book.bids]


def test_opening_subscribes_book_and_ticker() -> None:
    """By their market-data name, once; the URL carries version and time."""
    session = ApexMarketSession("ws://x", BTC, make_clock())
    session.opened(0.0)
    expected = ([("subscribe", [BOOK, TICKER])], [], f"ws://x/realtime_public?v=2&timestamp={WALL_MS}")
    assert expected == (sent(session), sent(session), session.endpoint().url)


def test_every_conversation_subscribes_anew() -> None:
    """A reconnected socket without topics would be silent for ever (apex.md §0.8)."""
    session = synced()
    session.lost("closed", 1.0)
    session.opened(2.0)
    assert ([("subscribe", [BOOK, TICKER])], False) == (sent(session), session.is_synced)


def test_more_topics_may_be_subscribed() -> None:
    """Trades and bars are read, count as life, and are told to nobody."""
    topics = (frames.trades_topic(MARKET), frames.kline_topic(MARKET))
    session = ApexMarketSession("ws://x", BTC, make_clock(), topics)
    session.opened(0.0)
    row = {"T": WALL_MS, "s": MARKET, "S": "Buy", "v": "1", "p": "9", "i": "x"}
    told = session.received(encoded({"topic": topics[0], "type": "delta", "data": [row], "ts": WALL_MS}), 1.0)
    assert ([("subscribe", [BOOK, TICKER, *topics])], ()) == (sent(session), told)


def test_a_snapshot_makes_the_book() -> None:
    """The best bid is the last one listed (apex.md §0.7)."""
    session = opened()
    messages = session.received(book_frame(843412, [["8", "2"], ["9", "1"]], [["11", "1"]], kind="snapshot"), 0.0)
    assert ([(Decimal(9), Decimal(1)), (Decimal(8), Decimal(2))], True) == (bids_of(messages), session.is_synced)


def test_a_delta_before_the_snapshot_says_nothing() -> None:
    """There is nothing that it could change."""
    session = opened()
    assert ((), False) == (session.received(book_frame(11, [["9", "1"]]), 0.0), session.is_synced)


def test_the_next_delta_is_applied() -> None:
    """Absolute quantities, zero deletes."""
    messages = synced().received(book_frame(11, [["9", "0"], ["10", "3"]]), 0.0)
    assert [(Decimal(10), Decimal(3)), (Decimal(8), Decimal(2))] == bids_of(messages)


def test_an_empty_delta_advances_the_number() -> None:
    """The next one continues behind it (apex.md §2)."""
    session = synced()
    session.received(book_frame(11), 0.0)
    assert [BookUpdated] == [type(message) for message in session.received(book_frame(12, [["10", "3"]]), 0.0)]


def test_the_same_delta_again_changes_nothing() -> None:
    """A double is neither a gap nor news."""
    session = synced()
    session.received(book_frame(11, [["9", "5"]]), 0.0)
    assert ((), True) == (session.received(book_frame(11, [["9", "7"]]), 0.0), session.is_synced)


@pytest.mark.parametrize("update_id", [12, 9, 500])
def test_a_gap_withdraws_the_book_and_asks_for_a_new_one(update_id: int) -> None:
    """Unsubscribe, then subscribe, on the same connection; a plain second subscribe would be refused (apex.md §0.7)."""
    session = synced()
    messages = session.received(book_frame(update_id, [["9", "4"]]), 0.0)
    expected = ([BookLost], False, [("unsubscribe", [BOOK]), ("subscribe", [BOOK])])
    assert expected == ([type(message) for message in messages], session.is_synced, sent(session))


def test_deltas_after_a_gap_wait_for_the_new_snapshot() -> None:
    """Those of the old subscription are still on the way."""
    session = synced()
    session.received(book_frame(12), 0.0)
    late = session.received(book_frame(13, [["9", "4"]]), 0.0)
    fresh = session.received(book_frame(20, [["7", "1"]], [["11", "1"]], kind="snapshot"), 0.0)
    assert ((), [(Decimal(7), Decimal(1))]) == (late, bids_of(fresh))


def test_a_crossed_book_is_rebuilt() -> None:
    """A crossed book is a wrong book."""
    assert [BookLost] == [type(message) for message in synced().received(book_frame(11, [["11", "1"]]), 0.0)]


def test_a_book_that_breaks_again_and_again_ends_the_session() -> None:
    """A new connection is the next remedy."""
    session = synced()

    def run() -> None:
        for index in range(1, stream.MAX_RESYNCS + 2):
            session.received(book_frame(100 * index, [["9", "1"]], [["11", "1"]], kind="snapshot"), 1.0)
            session.received(book_frame(100 * index + 2), 1.0)

    with pytest.raises(SessionFailed, match="resyncs within"):
        run()


def test_a_snapshot_that_never_comes_ends_the_session() -> None:
    """Also after a gap."""
    session = synced()
    session.received(book_frame(12), 10.0)
    session.tick(10.0 + stream.SNAPSHOT_WITHIN_S)
    with pytest.raises(SessionFailed, match="no snapshot"):
        session.tick(10.1 + stream.SNAPSHOT_WITHIN_S)


@pytest.mark.parametrize("message", ["error:handler not found", f"error:topic:already subscribed {BOOK}"])
def test_a_refused_subscription_ends_the_session(message: str) -> None:
    """One refused topic voids the whole message."""
    frame = {"success": False, "ret_msg": message, "conn_id": "x", "request": {"op": "subscribe", "args": [BOOK]}}
    with pytest.raises(SessionFailed, match="subscribe refused: error"):
        opened().received(encoded(frame), 0.0)


def test_a_ping_is_answered_with_its_stamp() -> None:
    """In text, not as a protocol pong."""
    session = synced()
    session.received(encoded({"op": "ping", "args": ["1661415022821"]}), 0.0)
    assert [("pong", ["1661415022821"])] == sent(session)


def test_we_ping_every_fifteen_seconds() -> None:
    """The venue drops a client whose last stamp is 150 s old (apex.md §2)."""
    session = synced()
    seen = []
    for now in (14.9, 15.0, 15.1, 29.9, 30.0):
        session.tick(now)
        seen.append(len(sent(session)))
    assert [0, 1, 0, 0, 1] == seen


def test_silence_ends_the_session() -> None:
    """Pongs alone are no data: a lost subscription would answer pings for ever."""
    session = synced()
    session.received(encoded({"op": "pong", "args": ["1"]}), stream.BOOK_SILENCE_S)
    session.tick(stream.BOOK_SILENCE_S)
    with pytest.raises(SessionFailed, match="no news of the book"):
        session.tick(stream.BOOK_SILENCE_S + 0.1)


def test_a_ticker_confirms_a_quiet_book() -> None:
    """So that a consumer can tell quiet from dead by the book's age."""
    session = synced()
    messages = session.received(ticker_frame(), stream.BOOK_SILENCE_S)
    session.tick(stream.BOOK_SILENCE_S)
    assert [BookUpdated] == [type(message) for message in messages]


def test_a_ticker_keeps_no_book_alive_whose_topic_is_silent() -> None:
    """A book that lost its topic would be told as fresh for ever."""
    session = synced()
    late = stream.BOOK_SILENCE_S + 0.1
    messages = session.received(ticker_frame(), late)
    with pytest.raises(SessionFailed, match="no news of the book"):
        session.tick(late)
    assert messages == ()


def test_a_double_is_no_news_of_the_book() -> None:
    """A venue that repeats itself tells nothing of now."""
    session = synced()
    session.received(book_frame(10), stream.BOOK_SILENCE_S)
    with pytest.raises(SessionFailed, match="no news of the book"):
        session.tick(stream.BOOK_SILENCE_S + 0.1)


def test_an_empty_delta_breaks_the_silence() -> None:
    """It says that nothing changed."""
    session = synced()
    session.received(book_frame(11), stream.BOOK_SILENCE_S)
    assert session.tick(stream.BOOK_SILENCE_S + 0.1) == ()


def test_a_ticker_confirms_no_book_that_is_lost() -> None:
    """Only the snapshot brings it back."""
    session = synced()
    session.received(book_frame(12), 0.0)
    assert () == session.received(ticker_frame(), 20.0)


def test_a_rejected_frame_is_told_and_changes_nothing() -> None:
    """What it hid shows as a gap."""
    session = synced()
    [rejected] = session.received(book_frame(11)[:-5], 0.0)
    assert isinstance(rejected, FrameRejected)
    assert session.is_synced


def test_losing_the_connection_withdraws_the_book_once() -> None:
    """And only a book that was shown."""
    session = synced()
    actual = (session.lost("closed", 1.0), session.lost("closed", 2.0), opened().lost("closed", 1.0))
    assert ([BookLost], [], []) == tuple([type(message) for message in messages] for messages in actual)


_STEP = st.tuples(
    st.integers(min_value=1, max_value=12), st.integers(min_value=0, max_value=3), st.sampled_from(["deliver", "deliver", "drop", "repeat"])
)  # fmt: skip


@settings(max_examples=200)
@given(st.lists(_STEP, min_size=5, max_size=40))
def test_every_published_book_is_the_venues(steps: list[tuple[int, int, str]]) -> None:
    """With frames lost and repeated at random, what is shown is the venue's book at the newest number told."""
    truth = Book()
    session = opened()
    wrong: list[BookUpdated] = []

    def deliver(frame: bytes, now: float) -> None:
        shown = [message for message in session.received(frame, now) if isinstance(message, BookUpdated)]
        wrong.extend(book for book in shown if book.bids != truth.top()[0])
        if any(json.loads(text)["op"] == "subscribe" for text in session.outbox()):
            rows = [[str(level.price), str(level.quantity)] for level in reversed(truth.top(100)[0])]
            deliver(book_frame(int(now), rows, kind="snapshot"), now)

    deliver(book_frame(0, kind="snapshot"), 0.0)
    for index, (price, quantity, fate) in enumerate(steps, start=1):
        truth.apply([(Decimal(price), Decimal(quantity))], ())
        for _ in range({"deliver": 1, "drop": 0, "repeat": 2}[fate]):
            try:
                deliver(book_frame(index, [[str(price), str(quantity)]]), float(index))
            except SessionFailed:
                return
    assert wrong == []
