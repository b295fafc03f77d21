"""Claims on the book session: snapshot recipe, gaps, silence, conflation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.backpack import requests, stream
from adapters.backpack.parse import DepthSnapshot
from adapters.backpack.stream import BackpackMarketSession
from adapters.transport.stream import SessionFailed
from core.book import Book
from core.messages import BookLost, BookUpdated, FrameRejected, Message
from tests.adapters.backpack.support import SYMBOL, depth_frame, encoded

Rows = tuple[tuple[Decimal, Decimal], ...]


def rows(*pairs: tuple[int, int]) -> Rows:
    return tuple((Decimal(price), Decimal(quantity)) for price, quantity in pairs)


BIDS, ASKS = rows((9, 1)), rows((11, 1))


def snapshot(last_id: int, bids: Rows = BIDS, asks: Rows = ASKS) -> DepthSnapshot:
    return DepthSnapshot(last_id, bids, asks, 1_791_500_000_000)


class Rig:
    """A session whose snapshots are scripted."""

    def __init__(self, *snapshots: DepthSnapshot | None) -> None:
        self.snapshots = list(snapshots)
        self.session = BackpackMarketSession("ws://x", SYMBOL, lambda: self.snapshots.pop(0))
        self.session.opened(0.0)

    def deliver(self, first_id: int, last_id: int, bids: object = (), asks: object = (), now: float = 0.0) -> Sequence[Message]:
        return self.session.received(depth_frame(first_id, last_id, bids, asks), now)

    def touch(self, last_id: int, now: float) -> Sequence[Message]:
        data = {"e": "bookTicker", "s": SYMBOL, "b": "9", "B": "1", "a": "11", "A": "1", "u": last_id}
        return self.session.received(encoded({"stream": f"bookTicker.{SYMBOL}", "data": data}), now)


def synced() -> Rig:
    """A live book at update 10: bid 9, ask 11."""
    rig = Rig(snapshot(10))
    rig.deliver(10, 10)
    rig.session.tick(0.0)
    return rig


def bids_of(messages: Sequence[Message]) -> list[tuple[Decimal, Decimal]]:
    [book] = messages
    assert isinstance(book, BookUpdated)
    return [tuple(level) for level in book.bids]


def test_opening_subscribes_depth_and_ticker() -> None:
    """Once; the outbox is drained."""
    session = Rig().session
    [frame] = session.outbox()
    expected = ({"method": "SUBSCRIBE", "params": [f"depth.{SYMBOL}", f"bookTicker.{SYMBOL}"]}, [])
    assert expected == (json.loads(frame), session.outbox())


def test_no_snapshot_is_read_before_the_first_delta() -> None:
    """A snapshot older than the subscription would leave a hole nobody sees."""
    rig = Rig()
    assert ((), False) == (tuple(rig.session.tick(1.0)), rig.session.is_synced)


def test_the_book_is_snapshot_plus_later_deltas() -> None:
    """Contained deltas are dropped, the overlapping one and its successors applied."""
    rig = Rig(snapshot(10))
    rig.deliver(8, 9, [["9", "77"]])
    rig.deliver(10, 11, [["9", "2"]])
    rig.deliver(12, 12, [["8", "5"]])
    assert [(Decimal(9), Decimal(2)), (Decimal(8), Decimal(5))] == bids_of(rig.session.tick(0.0))
    assert rig.session.is_synced


def test_a_snapshot_older_than_the_buffer_is_read_again() -> None:
    """First kept delta must start at lastUpdateId + 1 or before (backpack.md §7)."""
    rig = Rig(snapshot(10), snapshot(20))
    rig.deliver(15, 16)
    first, is_synced = tuple(rig.session.tick(0.0)), rig.session.is_synced
    assert ((), False) == (first, is_synced)
    assert ((), 1) == (tuple(rig.session.tick(0.1)), len(rig.snapshots))
    assert [BookUpdated] == [type(message) for message in rig.session.tick(1.0)]


def test_snapshots_that_never_come_end_the_session() -> None:
    """After a bounded number of tries."""
    rig = Rig(*[None] * stream.MAX_SNAPSHOT_TRIES)

    def run() -> None:
        for second in range(stream.MAX_SNAPSHOT_TRIES):
            rig.deliver(second, second, now=float(second))
            rig.session.tick(float(second))

    with pytest.raises(SessionFailed, match="no usable depth snapshot"):
        run()
    assert rig.snapshots == []


def test_a_crossed_snapshot_is_read_again() -> None:
    """It is not published."""
    rig = Rig(snapshot(10, bids=rows((12, 1))))
    rig.deliver(10, 10)
    assert ((), False) == (tuple(rig.session.tick(0.0)), rig.session.is_synced)


def test_a_live_delta_is_published_at_once() -> None:
    """With its own time."""
    assert [(Decimal(10), Decimal(3)), (Decimal(9), Decimal(1))] == bids_of(synced().deliver(11, 11, [["10", "3"]]))


def test_zero_removes_a_level() -> None:
    """Quantities are absolute."""
    assert bids_of(synced().deliver(11, 11, [["9", "0.000"]])) == []


def test_a_duplicate_changes_nothing() -> None:
    """An old frame again is neither a gap nor news."""
    rig = synced()
    rig.deliver(11, 11, [["9", "5"]])
    assert tuple(rig.deliver(11, 11, [["9", "1"]])) == ()


def test_an_empty_frame_advances_the_update_id() -> None:
    """The next one continues behind it (backpack.md §7)."""
    rig = synced()
    rig.deliver(11, 12)
    assert [BookUpdated] == [type(message) for message in rig.deliver(13, 13, [["10", "3"]])]


def test_a_book_whose_top_did_not_change_is_not_repeated() -> None:
    """Nor is one whose change lies below the twentieth level."""
    rig = Rig(snapshot(10, bids=rows(*((900 - index, 1) for index in range(30))), asks=rows((1_000, 1))))
    rig.deliver(10, 10)
    rig.session.tick(0.0)
    assert ([], []) == (list(rig.deliver(11, 11)), list(rig.deliver(12, 12, [["871", "9"]])))


def test_an_unchanged_book_is_confirmed_while_frames_arrive() -> None:
    """So that a consumer can tell quiet from dead by the book's age."""
    assert [(Decimal(9), Decimal(1))] == bids_of(synced().deliver(11, 11, now=stream.REFRESH_S))


def test_a_gap_withdraws_the_book_and_rebuilds_it_on_the_same_connection() -> None:
    """BookLost at once; the delta after the gap is kept for the new snapshot."""
    rig = synced()
    rig.snapshots.append(snapshot(14))
    lost = rig.deliver(13, 15, [["9", "4"]])
    assert ([BookLost], False) == ([type(message) for message in lost], rig.session.is_synced)
    assert [(Decimal(9), Decimal(4))] == bids_of(rig.session.tick(0.0))


def test_a_crossing_delta_withdraws_the_book() -> None:
    """A crossed book is a wrong book."""
    assert [BookLost] == [type(message) for message in synced().deliver(11, 11, [["11", "1"]])]


def test_a_book_that_left_its_snapshot_is_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the outermost price of a truncated snapshot, levels that never changed are unknown (backpack.md §7)."""
    monkeypatch.setattr(requests, "SNAPSHOT_DEPTH", 2)
    rig = Rig(snapshot(10, bids=rows((8, 1), (9, 1))))
    rig.deliver(10, 10)
    rig.session.tick(0.0)
    inside, beyond = rig.deliver(11, 11, [["8", "2"]]), rig.deliver(12, 12, [["7", "1"]])
    assert ([BookUpdated], [BookLost]) == ([type(message) for message in inside], [type(message) for message in beyond])


def test_a_book_that_breaks_again_and_again_ends_the_session() -> None:
    """A new connection is the next remedy."""
    rig = synced()

    def run() -> None:
        for index in range(1, stream.MAX_RESYNCS + 2):
            rig.snapshots.append(snapshot(100 * index))
            rig.deliver(100 * index, 100 * index)
            rig.session.tick(1.0)

    with pytest.raises(SessionFailed, match="resyncs within"):
        run()


def test_silence_ends_the_session() -> None:
    """No depth and no ticker frame for five seconds."""
    rig = synced()
    rig.session.tick(stream.BOOK_SILENCE_S)
    with pytest.raises(SessionFailed, match="no news of the book"):
        rig.session.tick(stream.BOOK_SILENCE_S + 0.1)


def test_a_touch_that_the_depth_has_reached_breaks_the_silence() -> None:
    """A quiet book is alive while its ticker says that nothing came after it."""
    rig = synced()
    rig.touch(10, now=4.0)
    assert tuple(rig.session.tick(8.0)) == ()


def test_a_depth_that_falls_silent_alone_is_lost() -> None:
    """The touch goes on by its ids: the book is withdrawn, and then the connection is given up."""
    rig = synced()
    lost = [rig.touch(11 + second, now=float(second)) for second in (1, 2, 3, 4, 5)]
    assert ([BookLost], False) == ([type(message) for messages in lost for message in messages], rig.session.is_synced)
    with pytest.raises(SessionFailed, match="no news of the book"):
        rig.session.tick(stream.BOOK_SILENCE_S + 0.1)


def test_a_depth_that_never_speaks_is_given_up() -> None:
    """A ticker alone makes no book."""
    rig = Rig()
    rig.touch(10, now=4.0)
    with pytest.raises(SessionFailed, match="no news of the book"):
        rig.session.tick(stream.BOOK_SILENCE_S + 0.1)


def test_a_depth_that_speaks_late_is_rebuilt() -> None:
    """Its frames come, and tell of a market long gone."""
    rig = synced()
    rig.touch(50, now=0.0)
    rig.deliver(11, 11, now=stream.TOUCH_LEAD_S)
    lost = rig.touch(51, now=stream.TOUCH_LEAD_S + 0.1)
    assert ([BookLost], False) == ([type(message) for message in lost], rig.session.is_synced)


def test_a_touch_may_come_before_its_depth() -> None:
    """Always one ahead, yet never for long: the book stays."""
    rig = synced()
    steps = [(11 + index, index * stream.TOUCH_LEAD_S / 2) for index in range(10)]
    told = [
        message for last_id, now in steps for message in [*rig.touch(last_id + 1, now), *rig.deliver(last_id, last_id, now=now)]
    ]
    assert ({BookUpdated}, True) == ({type(message) for message in told}, rig.session.is_synced)


def test_a_touch_counts_from_its_own_arrival() -> None:
    """Not from that of an older one, which the depth has reached meanwhile."""
    rig = synced()
    rig.touch(11, now=0.0)
    rig.touch(13, now=1.0)
    rig.deliver(11, 12, now=1.5)
    assert ((), [BookLost]) == (tuple(rig.touch(14, now=2.9)), [type(message) for message in rig.touch(14, now=3.1)])


def test_a_loop_that_was_held_up_does_not_blame_the_depth() -> None:
    """What waited in the socket is read in order, however late."""
    rig = synced()
    rig.touch(11, now=0.0)
    told = [*rig.session.tick(4.0), *rig.deliver(11, 11, now=4.0), *rig.touch(12, now=4.0)]
    assert [BookUpdated] == [type(message) for message in told]


def test_a_snapshot_ahead_of_the_stream_has_reached_its_touches() -> None:
    """The REST book may be newer than the newest frame."""
    rig = Rig(snapshot(20))
    rig.deliver(10, 11)
    rig.session.tick(0.0)
    assert ((), ()) == (tuple(rig.touch(15, now=1.0)), tuple(rig.touch(20, now=4.0)))


def test_rejected_frames_do_not_break_the_silence() -> None:
    """Garbage is no data."""
    rig = synced()
    [rejected] = rig.session.received(b"garbage", 4.0)
    assert isinstance(rejected, FrameRejected)
    with pytest.raises(SessionFailed, match="no news of the book"):
        rig.session.tick(8.0)


def test_an_error_frame_ends_the_session() -> None:
    """4006 means that nothing will come."""
    with pytest.raises(SessionFailed, match="4006: Invalid stream"):
        Rig().session.received(encoded({"id": None, "error": {"code": 4006, "message": "Invalid stream"}}), 0.0)


def test_losing_the_connection_withdraws_the_book_once() -> None:
    """And only a book that was shown."""
    rig = synced()
    expected = ([BookLost], [], [])
    actual = (rig.session.lost("closed", 1.0), rig.session.lost("closed", 2.0), Rig().session.lost("closed", 1.0))
    assert expected == tuple([type(message) for message in messages] for messages in actual)


def test_a_new_connection_starts_from_nothing() -> None:
    """The old sequence is not continued."""
    rig = synced()
    rig.session.opened(1.0)
    assert ((), False) == (tuple(rig.deliver(11, 11, [["9", "5"]], now=1.0)), rig.session.is_synced)


def test_the_buffer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that never comes must not fill the memory."""
    monkeypatch.setattr(stream, "MAX_BUFFERED", 2)
    rig = Rig()
    rig.deliver(1, 1)
    rig.deliver(2, 2)
    with pytest.raises(SessionFailed, match="no snapshot"):
        rig.deliver(3, 3)


_STEP = st.tuples(
    st.integers(min_value=1, max_value=12),
    st.integers(min_value=0, max_value=3),
    st.sampled_from(["deliver", "deliver", "deliver", "drop", "repeat"]),
    st.integers(min_value=0, max_value=3),
)


@settings(max_examples=200)
@given(st.lists(_STEP, min_size=10, max_size=40))
def test_every_published_book_is_the_venues(steps: list[tuple[int, int, str, int]]) -> None:
    """With frames lost and repeated at random and snapshots that lag, what is shown is the venue's book at the newest update told."""
    truth = Book()
    history = [truth.top()[0]]
    known_id = 0
    wrong: list[BookUpdated] = []
    snapshot_lag = 0

    def take() -> DepthSnapshot:
        nonlocal known_id
        last_id = max(len(history) - 1 - snapshot_lag, 0)
        known_id = max(known_id, last_id)
        return DepthSnapshot(last_id, history[last_id], (), 1_791_500_000_000)

    session = BackpackMarketSession("ws://x", SYMBOL, take)
    session.opened(0.0)
    for index, (price, quantity, fate, lag) in enumerate(steps, start=1):
        now, snapshot_lag = float(index), lag
        truth.apply([(Decimal(price), Decimal(quantity))], ())
        history.append(truth.top()[0])
        frame = depth_frame(index, index, [[str(price), str(quantity)]])
        for _ in range({"deliver": 1, "drop": 0, "repeat": 2}[fate]):
            known_id = index
            try:
                shown = [*session.received(frame, now), *session.tick(now)]
            except SessionFailed:
                session.opened(now)
                continue
            books = [message for message in shown if isinstance(message, BookUpdated)]
            wrong += [message for message in books if message.bids != history[known_id]]
    assert wrong == []
