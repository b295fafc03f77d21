"""StreamLoop against a raw server: every way a connection can end leads to one new conversation, told in order, without a storm."""

from __future__ import annotations

import itertools
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapters.transport.stream import (
    BACKOFF_MAX_S,
    BATCH_FRAMES,
    Backoff,
    Endpoint,
    SessionFailed,
    StreamLoop,
    is_auth_close,
)
from core.messages import Alert, FeedChanged, FrameRejected, Message
from core.types import Channel, FeedState, VenueId
from tests.adapters.transport.certificates import self_signed, server_context, trusted
from tests.adapters.transport.raw_server import GUARD_S, CutTLS, Peer, RawServer, closed_port, frame

VENUE = VenueId("grvt")
CONNECTING, SYNCING, LIVE, DEGRADED, DOWN = (
    FeedState.CONNECTING,
    FeedState.SYNCING,
    FeedState.LIVE,
    FeedState.DEGRADED,
    FeedState.DOWN,
)


def said(text: str) -> Alert:
    """A stand-in for a venue's data."""
    return Alert(level="info", key="data", text=text, at=0.0)


class TalkingSession:
    """Logs in with one frame; "ok" syncs it, "gap" and "auth" fail it, "unsync" spoils it, "bad" is rejected, the rest is data."""

    venue = VENUE
    channel = Channel.MARKET
    symbol = "ETH"

    def __init__(self, port: int, *, stale_after_s: float = GUARD_S, scheme: str = "ws") -> None:
        self.port = port
        self.scheme = scheme
        self.stale_after_s = stale_after_s
        self.synced = False
        self.losses: list[str] = []
        self.ticks = 0
        self.endpoint_failure: SessionFailed | None = None
        self.tick_failure: SessionFailed | None = None
        self._outbox: list[str] = []

    def endpoint(self) -> Endpoint:
        if self.endpoint_failure is not None:
            raise self.endpoint_failure
        return Endpoint(f"{self.scheme}://127.0.0.1:{self.port}/ws", ("Cookie: gravity=canary",))

    def opened(self, now: float) -> None:
        self.synced = False
        self._outbox = ["login"]

    def received(self, frame: bytes, now: float) -> Sequence[Message]:
        match frame:
            case b"ok":
                self.synced = True
            case b"unsync":
                self.synced = False
            case b"gap":
                raise SessionFailed("gap in the sequence")
            case b"auth":
                raise SessionFailed("login refused", is_auth=True)
            case b"bad":
                return (FrameRejected(venue=VENUE, channel=self.channel, reason="bad", head="bad", at=now),)
        return (said(frame.decode()),)

    def tick(self, now: float) -> Sequence[Message]:
        self.ticks += 1
        if self.tick_failure is not None:
            raise self.tick_failure
        return ()

    def outbox(self) -> list[str]:
        frames, self._outbox = self._outbox, []
        return frames

    @property
    def is_synced(self) -> bool:
        return self.synced

    def lost(self, reason: str, now: float) -> Sequence[Message]:
        self.losses.append(reason)
        self.synced = False
        return (said("lost"),)


class Run:
    """A loop, its session, and all it has told so far."""

    def __init__(self, session: TalkingSession, random: Callable[[], float] = lambda: 0.0) -> None:
        self.session = session
        self.loop = StreamLoop(session, random=random)
        self.events: list[Message] = []

    def until(self, is_done: Callable[[Run], bool], *, timeout_s: float = 0.02) -> None:
        give_up_at = time.monotonic() + GUARD_S
        while not is_done(self):
            assert time.monotonic() < give_up_at, f"still waiting after {self.story}"
            self.events.extend(self.loop.poll(timeout_s))

    @property
    def changes(self) -> list[FeedChanged]:
        return [event for event in self.events if isinstance(event, FeedChanged)]

    @property
    def states(self) -> list[FeedState]:
        return [event.state for event in self.changes]

    @property
    def story(self) -> list[str]:
        return [event.state.value if isinstance(event, FeedChanged) else getattr(event, "text", "bad") for event in self.events]


def has(state: FeedState, times: int = 1) -> Callable[[Run], bool]:
    return lambda run: run.states.count(state) >= times


def serving(script: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """A venue: shake hands, take the login, then the script."""

    def serve(peer: Peer) -> None:
        peer.accept_ws()
        assert peer.read_frame() == (1, b"login")
        script(peer)
        peer.wait_until_gone()

    return serve


@contextmanager
def running(script: Callable[[Peer], None], *, stale_after_s: float = GUARD_S) -> Iterator[Run]:
    with RawServer(serving(script)) as server:
        run = Run(TalkingSession(server.port, stale_after_s=stale_after_s))
        yield run
        run.loop.close()


def ok_then(act: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """Sync, then on the first connection only, do ``act``."""

    def script(peer: Peer) -> None:
        peer.text(b"ok")
        if peer.index == 1:
            act(peer)

    return script


# ---- the course of a conversation ------------------------------------------------------------------------------------------------


def test_states_and_data_come_in_order() -> None:
    """A state is told before the data that it applies to."""
    with running(lambda peer: peer.send(frame(1, b"first") + frame(1, b"ok") + frame(1, b"unsync") + frame(1, b"ok"))) as run:
        run.until(has(LIVE, 2))
    assert ["CONNECTING", "SYNCING", "first", "LIVE", "ok", "DEGRADED", "unsync", "LIVE", "ok"] == run.story


def test_connecting_is_told_before_the_connect_blocks() -> None:
    """The first poll only announces."""
    run = Run(TalkingSession(closed_port()))
    assert [CONNECTING] == [event.state for event in run.loop.poll(0.0) if isinstance(event, FeedChanged)]


def test_counters_are_told() -> None:
    """Frames, rejected frames, gaps and reconnects, in vitals and in FeedChanged."""
    with running(ok_then(lambda peer: peer.send(frame(1, b"bad") + frame(1, b"gap")))) as run:
        run.until(has(LIVE, 2))
        vitals = run.loop.vitals()
    assert (4, 1, 1, 1, "LIVE") == (vitals.frames, vitals.rejected, vitals.gaps, vitals.reconnects, vitals.state)
    assert (1, 1) == (run.changes[-1].reconnects, run.changes[-1].gaps)


@pytest.mark.parametrize(("channel", "batches"), [(Channel.MARKET, ["ok a b"]), (Channel.ACCOUNT, ["ok", "a", "b"])])
def test_books_come_in_batches_and_account_facts_at_once(channel: Channel, batches: list[str]) -> None:
    """Of three frames that are here together, a fill is told before the reports behind it are even read."""
    told: list[str] = []
    with running(lambda peer: peer.send(frame(1, b"ok") + frame(1, b"a") + frame(1, b"b"))) as run:
        run.loop.channel = channel
        while not told or not told[-1].endswith("b"):
            told += filter(None, [" ".join(event.text for event in run.loop.poll(GUARD_S) if isinstance(event, Alert))])
    assert batches == told


def test_a_quiet_poll_tells_nothing() -> None:
    """An empty answer at the time-out."""
    with running(lambda peer: peer.text(b"ok")) as run:
        run.until(has(LIVE))
        assert run.loop.poll(0.01) == ()


# ---- the ends of a connection ----------------------------------------------------------------------------------------------------


ENDS: dict[str, Callable[[Peer], None]] = {
    **{
        str(code): (lambda peer, code=code: peer.close_frame(code))
        for code in (1000, 1001, 1002, 1003, 1007, 1009, 1011, 1012, 1013)
    },
    "RST": Peer.reset,
    "FIN": lambda peer: peer.sock.close(),
    "empty close": lambda peer: peer.close_frame(None),
    "1 TiB header": lambda peer: peer.send(frame(1, b"", claimed=1 << 40)),
    "reserved bits": lambda peer: peer.send(b"\xf1\x01x"),
    "gap": lambda peer: peer.text(b"gap"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_every_end_leads_to_one_new_conversation(end: Callable[[Peer], None]) -> None:
    """The loss is told, then the server sees one new connection with one login, and the feed is live again."""
    with RawServer(serving(ok_then(end))) as server:
        run = Run(TalkingSession(server.port))
        run.until(has(LIVE, 2))
        run.loop.close()
        assert server.connections == 2
    assert ["CONNECTING", "SYNCING", "LIVE", "ok", "lost", "DOWN", "CONNECTING", "SYNCING", "LIVE", "ok"] == run.story


def test_data_before_the_end_is_not_dropped() -> None:
    """A fill in the same packet as the close frame counts."""
    end = frame(1, b"fill") + frame(8, struct.pack("!H", 1001))
    with running(ok_then(lambda peer: peer.send(end))) as run:
        run.until(has(DOWN))
    assert ["ok", "fill", "lost", "DOWN"] == run.story[-4:]


@pytest.mark.parametrize("code", [1008, 4001, 4999])
def test_an_auth_close_says_so_and_waits(code: int) -> None:
    """The session hears that its login is suspect; the next attempt is a second away at least, even without jitter."""
    with running(ok_then(lambda peer: peer.close_frame(code))) as run:
        run.until(has(DOWN))
        wait_s = run.loop._backoff.due_at - run.changes[-1].at
        assert run.loop.poll(0.0) == ()
    assert (True, True) == (run.session.losses[0].startswith("auth: "), run.changes[-1].is_refused)
    assert wait_s == pytest.approx(1.0)


def test_a_refused_login_waits() -> None:
    """The same for a refusal that the session found in a frame."""
    with running(lambda peer: peer.text(b"auth")) as run:
        run.until(has(DOWN))
        assert run.loop.poll(0.0) == ()
    assert run.session.losses == ["auth: login refused"]


def test_a_refused_handshake_is_an_auth_loss() -> None:
    """401 on the upgrade: the cookie is bad."""

    def refuse(peer: Peer) -> None:
        peer.read_request()
        peer.reply(401)

    with RawServer(refuse) as server:
        run = Run(TalkingSession(server.port))
        run.until(has(DOWN))
    assert (["auth: connect failed: handshake answered 401"], True) == (run.session.losses, run.changes[-1].is_refused)


def test_a_refused_certificate_is_told_and_waits(tmp_path: Path) -> None:
    """No login is in doubt, yet only a person can help; nothing of ours went over the line."""
    with RawServer(Peer.wait_until_gone, server_context(self_signed(tmp_path))) as server:
        run = Run(TalkingSession(server.port, scheme="wss"))
        run.until(has(DOWN))
        wait_s = run.loop._backoff.due_at - run.changes[-1].at
    assert (True, [], True) == (run.changes[-1].is_refused, server.requests, "certificate" in run.session.losses[0])
    assert (False, 1.0) == (run.session.losses[0].startswith("auth: "), pytest.approx(wait_s))


def test_an_ordinary_loss_is_no_refusal() -> None:
    """A restart of the venue must not count against us."""
    with running(ok_then(lambda peer: peer.close_frame(1012))) as run:
        run.until(has(DOWN))
    assert not run.changes[-1].is_refused


def test_the_auth_codes() -> None:
    """1008 and 4001-4999, nothing else."""
    assert [1008, 4001, 4999] == [code for code in (None, 1000, 1007, 1008, 1009, 4000, 4001, 4999, 5000) if is_auth_close(code)]


def test_a_failed_login_call_is_a_loss() -> None:
    """``endpoint`` may fail before any socket exists."""
    session = TalkingSession(closed_port())
    session.endpoint_failure = SessionFailed("login host down")
    run = Run(session)
    run.until(has(DOWN))
    assert session.losses == ["login host down"]
    assert run.loop.vitals().gaps == 0


def test_an_overdue_confirmation_is_a_loss() -> None:
    """``tick`` may end the conversation: subscribed, yet nothing confirmed."""
    with running(lambda peer: None) as run:
        run.session.tick_failure = SessionFailed("no confirmation")
        run.until(has(DOWN))
    assert run.session.losses == ["no confirmation"]


def test_a_bug_of_the_session_is_not_hidden() -> None:
    """A programming error crashes the actor, where it is seen."""
    with running(lambda peer: peer.text(b"\xff")) as run, pytest.raises(UnicodeDecodeError):
        run.until(lambda run: False)


def test_resync_starts_anew() -> None:
    """The next poll drops the connection."""
    with running(ok_then(lambda peer: None)) as run:
        run.until(has(LIVE))
        run.loop.resync("crossed book")
        run.until(has(LIVE, 2))
    assert run.session.losses == ["resync: crossed book"]


# ---- silence ---------------------------------------------------------------------------------------------------------------------


def swallow(peer: Peer) -> None:
    """Neither data nor pongs, and no FIN."""
    peer.server.ended.wait(GUARD_S)


def drip(peer: Peer) -> None:
    for byte in itertools.chain(frame(1, b"", claimed=1000), itertools.repeat(120)):
        peer.send(bytes([byte]))
        if peer.server.ended.wait(0.02):
            return


SILENCES: dict[str, Callable[[Peer], None]] = {
    "half-open": swallow,
    "half a frame": lambda peer: (peer.send(frame(1, b"x" * 50)[:20]), swallow(peer))[0],
    "drip": drip,
}


@pytest.mark.parametrize("silence", SILENCES.values(), ids=SILENCES.keys())
def test_a_silent_connection_is_given_up(silence: Callable[[Peer], None]) -> None:
    """No frame and no pong for the limit: reconnect, and come back."""
    with running(ok_then(silence)) as run:
        run.until(has(LIVE))
        run.session.stale_after_s = 0.2
        run.until(has(LIVE, 2))
    assert run.session.losses[0] == "half-open: no frame and no pong for 0.2 s"


def cut_record(context: ssl.SSLContext, then: Callable[[bytes, Peer], None]) -> Callable[[Peer], None]:
    """A venue over TLS whose frame "late" arrives with the first seven bytes of its record; ``then`` gets what is left of that, and the
    plain socket to send it on."""

    def serve(peer: Peer) -> None:
        plain = Peer(peer.sock, peer.index, peer.server)
        tls = CutTLS(peer, context)
        peer.accept_ws()
        assert peer.read_frame() == (1, b"login")
        peer.text(b"ok")
        record = tls.encrypt(frame(1, b"late"))
        plain.send(record[:7])
        then(record[7:], plain)

    return serve


def test_a_tls_record_that_is_never_finished_is_given_up(tmp_path: Path) -> None:
    """Below the WebSocket's own frames nothing is lost either: no half of it is taken for a whole."""
    with trusted(self_signed(tmp_path)) as context, RawServer(cut_record(context, lambda rest, peer: swallow(peer))) as server:
        run = Run(TalkingSession(server.port, scheme="wss"))
        run.until(has(LIVE))
        run.session.stale_after_s = 0.3
        run.until(has(LIVE, 2))
        run.loop.close()
    assert (True, False) == (run.session.losses[0].startswith("half-open"), "late" in run.story)


def test_a_tls_record_that_drips_in_is_taken_whole(tmp_path: Path) -> None:
    """A byte at a time, with polls that find nothing in between."""
    go_on = threading.Semaphore(0)

    def drip_rest(rest: bytes, plain: Peer) -> None:
        for byte in rest:
            go_on.acquire(timeout=GUARD_S)
            plain.send(bytes([byte]))
        plain.wait_until_gone()

    def is_told(run: Run) -> bool:
        go_on.release()
        return "late" in run.story

    with trusted(self_signed(tmp_path)) as context, RawServer(cut_record(context, drip_rest)) as server:
        run = Run(TalkingSession(server.port, scheme="wss"))
        run.until(is_told, timeout_s=0.001)
        run.loop.close()
    assert [] == run.session.losses


def test_a_quiet_venue_that_answers_pings_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence of data alone is the session's to judge: twice the limit passes, by the loop's clock, with a pong every now and then."""
    real, passed_s = time.monotonic, 0.0
    clock = SimpleNamespace(monotonic=lambda: real() + passed_s)
    for module in ("stream", "ws"):
        monkeypatch.setattr(f"adapters.transport.{module}.time", clock)

    def answer(peer: Peer) -> None:
        while peer.read_frame()[0] == 9:
            peer.send(frame(10, b""))

    with running(ok_then(answer), stale_after_s=200.0) as run:
        run.until(has(LIVE))
        for _ in range(4):
            passed_s += 100.0
            asked_at = clock.monotonic()
            while run.loop._ws.last_pong_at < asked_at:
                assert run.loop.poll(0.02) == ()
        assert run.loop.vitals().state == "LIVE"
    assert run.session.ticks >= 1


def test_a_loop_that_was_not_polled_starts_anew() -> None:
    """After a stop of the process, what waits in the socket may be old: it must not pass as fresh."""
    with running(ok_then(lambda peer: peer.text(b"old")), stale_after_s=1.0) as run:
        run.until(has(LIVE))
        run.events.clear()
        run.loop._polled_at -= 2.0
        run.until(has(DOWN))
    assert "not polled" in run.session.losses[0]
    assert "old" not in run.story


def test_a_flood_starves_nobody() -> None:
    """Batches are bounded, ticks go on in the middle of it, nothing is lost or out of order."""

    def flood(peer: Peer) -> None:
        for start in itertools.count(0, 1000):
            peer.send(b"".join(frame(1, b"%d" % number) for number in range(start, start + 1000)))

    sizes: list[int] = []
    with running(flood) as run:

        def is_enough(run: Run) -> bool:
            known = sum(sizes)
            sizes.append(len(run.events) - known)
            return run.session.ticks >= 2 and run.loop.vitals().frames >= 2000

        run.until(is_enough)
    data = [text for text in run.story if text.isdigit()]
    assert [str(number) for number in range(len(data))] == data
    assert max(sizes) <= BATCH_FRAMES + 1


def test_a_tick_that_takes_long_comes_once_a_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that reads a snapshot in its tick, at a venue that does not answer: a batch of frames must not add up its waits."""
    waited_s = 0.0
    real, ticks = time.monotonic, list[int]()
    monkeypatch.setattr("adapters.transport.stream.time", SimpleNamespace(monotonic=lambda: real() + waited_s, sleep=time.sleep))

    def flood(peer: Peer) -> None:
        while True:
            peer.send(frame(1, b"data") * 1000)

    def slow(self: TalkingSession, now: float) -> Sequence[Message]:
        nonlocal waited_s
        waited_s += 2.0
        self.ticks += 1
        return ()

    monkeypatch.setattr(TalkingSession, "tick", slow)
    with running(flood, stale_after_s=1e9) as run:

        def is_enough(run: Run) -> bool:
            ticks.append(run.session.ticks - sum(ticks))
            return run.session.ticks >= 10

        run.until(is_enough)
    assert max(ticks) < 10, ticks


# ---- refused, and back -----------------------------------------------------------------------------------------------------------


def test_a_refused_port_costs_one_attempt_a_step_and_no_threads() -> None:
    """The story is a strict alternation, and the thread count at the end is the start's."""
    run = Run(TalkingSession(closed_port()))
    before = set(threading.enumerate())
    run.until(has(DOWN, 6))
    assert ["CONNECTING", "lost", "DOWN"] * 6 == run.story
    assert set(threading.enumerate()) <= before


def test_the_feed_comes_back_with_one_login() -> None:
    """After an outage there is one connection, not one for each failed attempt."""
    run = Run(TalkingSession(closed_port()))
    run.until(has(DOWN, 3))
    with RawServer(serving(lambda peer: peer.text(b"ok"))) as server:
        run.session.port = server.port
        run.until(has(LIVE))
        run.loop.close()
        assert server.connections == 1


def test_a_venue_that_hangs_up_again_and_again_is_asked_ever_more_rarely() -> None:
    """A11: to have been live for a moment earns nothing back."""
    waits_s = []
    with running(lambda peer: peer.send(frame(1, b"ok") + frame(8, struct.pack("!H", 1012)))) as run:
        run.loop._backoff = Backoff(lambda: 0.4)
        for times in range(1, 5):
            run.until(has(DOWN, times))
            waits_s.append(run.loop._backoff.due_at - run.changes[-1].at)
    assert [0.1, 0.2, 0.4, 0.8] == pytest.approx(waits_s)


def test_waiting_for_the_next_attempt_honours_the_time_out() -> None:
    """A poll in backoff returns empty-handed, many times before the attempt is due."""
    run = Run(TalkingSession(closed_port()))
    run.until(has(DOWN))
    run.loop._backoff.due_at = time.monotonic() + GUARD_S
    assert [()] * 10 == [run.loop.poll(0.001) for _ in range(10)]


# ---- backoff ---------------------------------------------------------------------------------------------------------------------


def delays(backoff: Backoff, count: int, *, is_refused: bool = False) -> list[float]:
    found = []
    for _ in range(count):
        backoff.failed(0.0, is_refused=is_refused)
        found.append(backoff.due_at)
    return found


def test_the_ceiling_doubles_up_to_half_a_minute() -> None:
    """With the worst jitter."""
    assert [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30] == delays(Backoff(lambda: 1.0), 9)


def test_the_jitter_is_full() -> None:
    """A delay is the random share of the ceiling."""
    assert [0.125, 0.25, 0.5] == delays(Backoff(lambda: 0.5), 3)


def test_an_attempt_is_never_due_at_once() -> None:
    """Not even with the luckiest jitter; and a second away where the login is suspect."""
    assert [0.05, 0.05] == delays(Backoff(lambda: 0.0), 2)
    assert [1.0, 1.0] == delays(Backoff(lambda: 0.0), 2, is_refused=True)


@pytest.mark.parametrize(("live_s", "expected"), [(9.9, 1.0), (10.0, 0.25)])
def test_only_a_long_enough_live_time_resets_it(live_s: float, expected: float) -> None:
    """A feed that flaps every few seconds goes on backing off."""
    backoff = Backoff(lambda: 1.0)
    delays(backoff, 2)
    backoff.live_since(100.0)
    backoff.note_live(100.0 + live_s)
    backoff.failed(0.0, is_refused=False)
    assert expected == backoff.due_at


def test_very_many_failures_do_not_overflow() -> None:
    """Ten minutes or ten days."""
    assert delays(Backoff(lambda: 1.0), 5000)[-1] == BACKOFF_MAX_S


# ---- abort -----------------------------------------------------------------------------------------------------------------------


def aborted_in(run: Run, is_there: Callable[[Run], bool]) -> None:
    """Poll on another thread until ``is_there``, then block in one long poll, abort it, and see the thread end."""
    reached = threading.Event()
    answers: list[Sequence[Message]] = []

    def work() -> None:
        run.until(is_there)
        reached.set()
        answers.append(run.loop.poll(100.0))
        answers.append(run.loop.poll(0.0))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert reached.wait(GUARD_S)
    run.loop.abort()
    thread.join(GUARD_S)
    assert not thread.is_alive()
    assert [(), ()] == answers
    assert run.loop.vitals().state == "DOWN"


def test_abort_ends_a_read() -> None:
    """Live and quiet."""
    with running(lambda peer: peer.text(b"ok"), stale_after_s=1000.0) as run:
        aborted_in(run, has(LIVE))


def test_abort_ends_a_read_in_the_middle_of_a_frame() -> None:
    """Half a frame is there."""
    with running(lambda peer: peer.send(frame(1, b"ok") + frame(1, b"x" * 50)[:20]), stale_after_s=1000.0) as run:
        aborted_in(run, has(LIVE))


def test_abort_ends_a_read_in_the_middle_of_a_tls_record(tmp_path: Path) -> None:
    """Seven bytes of one are there."""
    with trusted(self_signed(tmp_path)) as context, RawServer(cut_record(context, lambda rest, peer: swallow(peer))) as server:
        aborted_in(Run(TalkingSession(server.port, stale_after_s=1000.0, scheme="wss")), has(LIVE))


def test_abort_ends_a_wait_for_the_next_attempt() -> None:
    """In backoff."""
    run = Run(TalkingSession(closed_port()))

    def is_down(run: Run) -> bool:
        run.loop._backoff.due_at = time.monotonic() + 1000.0 if DOWN in run.states else 0.0
        return DOWN in run.states

    aborted_in(run, is_down)


def test_abort_ends_a_connect() -> None:
    """In a handshake that is never answered."""
    with RawServer(Peer.wait_until_gone) as server:
        run = Run(TalkingSession(server.port))
        aborted_in(run, has(CONNECTING))


def test_a_closed_loop_stays_closed() -> None:
    """Later polls are empty and open nothing."""
    with RawServer(serving(lambda peer: peer.text(b"ok"))) as server:
        run = Run(TalkingSession(server.port))
        run.until(has(LIVE))
        run.loop.close()
        run.loop.close()
        assert [(), ()] == [run.loop.poll(0.0), run.loop.poll(0.0)]
        assert server.connections == 1


def test_nothing_told_names_the_login() -> None:
    """The cookie of the endpoint is in no event, whatever goes wrong."""
    run = Run(TalkingSession(closed_port()))
    run.until(has(DOWN))
    with RawServer(lambda peer: (peer.read_request(), peer.reply(403, b"", ("Set-Cookie: gravity=canary",)))[0]) as server:
        run.session.port = server.port
        run.until(has(DOWN, 2))
    assert "canary" not in repr(run.events) + repr(run.session.losses)
