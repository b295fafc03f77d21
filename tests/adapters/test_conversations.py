"""The venues' sessions over real sockets: a subscription that is never served, silence, a gap, a login that is late, revoked, or stopped
(RELIABILITY.md A2, A6, A7, A12, A15, B10)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

import adapters.apex.stream
import adapters.backpack.stream
import adapters.grvt.stream
import adapters.grvt.subscriptions
from adapters.apex.stream import ApexAccountSession, ApexMarketSession
from adapters.backpack.stream import BackpackMarketSession
from adapters.grvt.auth import GrvtAuth
from adapters.grvt.stream import GrvtMarketSession, GrvtTradingSession
from adapters.transport.rest import RestClient
from adapters.transport.stream import Session, StreamLoop
from core.messages import FeedChanged, FillReported, Message
from core.types import FeedState
from tests.adapters.apex.support import BTC, KEY, make_clock
from tests.adapters.apex.support import SYMBOL as APEX_SYMBOL
from tests.adapters.backpack.support import SYMBOL as BACKPACK_SYMBOL
from tests.adapters.grvt import sessions as grvt
from tests.adapters.grvt.support import ACCOUNT, API_KEY, FakeClock, FakeRest, login_ok
from tests.adapters.grvt.support import SYMBOL as GRVT_SYMBOL
from tests.adapters.transport.raw_server import GUARD_S, Peer, RawServer, frame

LIMIT_S = 0.2
"""In place of each limit after which a session gives up."""
LIMITS = {
    adapters.grvt.subscriptions: ("CONFIRM_WITHIN_S",),
    adapters.grvt.stream: ("BOOK_SILENCE_S",),
    adapters.backpack.stream: ("BOOK_SILENCE_S",),
    adapters.apex.stream: ("SNAPSHOT_WITHIN_S", "LOGIN_WITHIN_S"),
}


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, names in LIMITS.items():
        for name in names:
            monkeypatch.setattr(module, name, LIMIT_S)


class Run(NamedTuple):
    """A loop and what it has told so far."""

    loop: StreamLoop
    told: list[Message]

    def until(self, is_done: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + GUARD_S
        while not is_done():
            assert time.monotonic() < give_up_at, f"still waiting after {self.states}"
            self.told.extend(self.loop.poll(0.02))

    def until_state(self, state: FeedState, times: int = 1) -> None:
        self.until(lambda: self.states.count(state) >= times)

    @property
    def changes(self) -> list[FeedChanged]:
        return [event for event in self.told if isinstance(event, FeedChanged)]

    @property
    def trades(self) -> list[str]:
        return [event.trade_id for event in self.told if isinstance(event, FillReported)]

    @property
    def states(self) -> list[FeedState]:
        return [event.state for event in self.changes]


@contextmanager
def running(session: Session) -> Iterator[Run]:
    loop = StreamLoop(session, random=lambda: 0.0)
    yield Run(loop, [])
    loop.close()


def chat(peer: Peer, said: list[str], answer: Callable[[str], list[bytes]]) -> None:
    """Pongs for pings; ``said`` gets the client's texts, ``answer`` says what they are answered with."""
    while True:
        opcode, payload = peer.read_frame()
        if opcode in (-1, 8):
            return
        if opcode == 9:
            peer.send(frame(10, payload))
        elif opcode == 1:
            said.append(payload.decode())
            for reply in answer(payload.decode()):
                peer.text(reply)


def confirmation(text: str) -> bytes:
    """GRVT's answer to a subscription."""
    request = json.loads(text)
    result = {"stream": request["params"]["stream"], "subs": request["params"]["selectors"], "unsubs": []}
    return json.dumps({"jsonrpc": "2.0", "result": result, "id": request["id"], "method": "subscribe"}).encode()


# ---- subscriptions and silence ---------------------------------------------------------------------------------------------------


def grvt_account(url: str) -> Session:
    return GrvtTradingSession(ACCOUNT, url, FakeClock().auth(FakeRest(login_ok())))


UNSERVED: dict[str, tuple[Callable[[str], Session], str]] = {
    "grvt account": (grvt_account, "unanswered"),
    "grvt market": (lambda url: GrvtMarketSession(GRVT_SYMBOL, url), "unanswered"),
    "backpack market": (lambda url: BackpackMarketSession(url, BACKPACK_SYMBOL, lambda: None), "no news of the book"),
    "apex market": (lambda url: ApexMarketSession(url, BTC, make_clock()), "no snapshot"),
    "apex account": (lambda url: ApexAccountSession(url, APEX_SYMBOL, KEY, make_clock()), "no account data"),
}


@pytest.mark.parametrize(("make", "reason"), UNSERVED.values(), ids=UNSERVED.keys())
def test_a_subscription_that_is_never_served_is_given_up(make: Callable[[str], Session], reason: str) -> None:
    """The connection lives, pings are answered, the request was taken: still it is never called live, and a new one is made."""

    def serve(peer: Peer) -> None:
        peer.accept_ws()
        chat(peer, [], lambda text: [])

    with RawServer(serve) as server, running(make(f"ws://127.0.0.1:{server.port}")) as run:
        run.until_state(FeedState.DOWN)
        run.until(lambda: server.connections >= 2)
    assert (False, True) == (
        FeedState.LIVE in run.states,
        reason in next(c.reason for c in run.changes if c.state is FeedState.DOWN),
    )


def test_one_subscription_that_is_not_confirmed_is_asked_for_three_times() -> None:
    """The others are confirmed and not asked for again; the next connection begins with all of them and is live."""
    said: list[list[str]] = []

    def serve(peer: Peer) -> None:
        peer.accept_ws()
        said.append([])
        is_first = len(said) == 1
        chat(peer, said[-1], lambda text: [] if is_first and "v1.fill" in text else [confirmation(text)])

    with RawServer(serve) as server, running(grvt_account(f"ws://127.0.0.1:{server.port}")) as run:
        run.until_state(FeedState.LIVE)
    asked = [[json.loads(text)["params"]["stream"] for text in texts] for texts in said]
    assert [{"v1.order": 1, "v1.state": 1, "v1.fill": 3, "v1.position": 1}, dict.fromkeys(grvt.PRIVATE, 1)] == [
        {stream: streams.count(stream) for stream in grvt.PRIVATE} for streams in asked
    ]


def test_a_book_that_falls_silent_is_given_up_though_pings_are_answered() -> None:
    """It was live; nothing but the age of its data tells."""

    def serve(peer: Peer) -> None:
        peer.accept_ws()
        chat(peer, [], lambda text: [confirmation(text), grvt.book(0)])

    with RawServer(serve) as server, running(GrvtMarketSession(GRVT_SYMBOL, f"ws://127.0.0.1:{server.port}")) as run:
        run.until_state(FeedState.LIVE, 2)
    assert [f"no book for {LIMIT_S} s though the connection lives"] == [
        c.reason for c in run.changes if c.state is FeedState.DOWN
    ]


def test_a_gap_in_an_account_stream_ends_the_conversation() -> None:
    """B10: the fill behind the gap is not told; the next conversation begins with what the venue says then."""
    connections: list[Peer] = []

    def serve(peer: Peer) -> None:
        peer.accept_ws()
        connections.append(peer)
        is_first = len(connections) == 1
        numbers = (1, 3) if is_first else (1,)

        def answer(text: str) -> list[bytes]:
            fills = [grvt.fill(number, str(number)) for number in numbers] if "v1.position" in text else []
            return [confirmation(text), *fills]

        chat(peer, [], answer)

    with RawServer(serve) as server, running(grvt_account(f"ws://127.0.0.1:{server.port}")) as run:
        run.until_state(FeedState.LIVE, 2)
        run.until(lambda: len(run.trades) >= 2)
    lost = next(change for change in run.changes if change.state is FeedState.DOWN)
    assert (["1", "1"], True, 1) == (run.trades, "gap from 1 to 3" in lost.reason, lost.gaps)


# ---- the login -------------------------------------------------------------------------------------------------------------------


class Gate:
    """GRVT's edge and trading socket on one port: numbered sessions, closed as ``end`` says; ``open`` lets logins through."""

    def __init__(self, end: Callable[[Peer, int], None] = lambda peer, number: None) -> None:
        self.open = threading.Event()
        self.open.set()
        self.logins = 0
        self.seen: list[str] = []
        self._end = end

    def serve(self, peer: Peer) -> None:
        request = peer.read_request()
        if request.startswith(b"POST"):
            self.logins += 1
            self.seen.append("login")
            self.open.wait(GUARD_S)
            cookie = f"Set-Cookie: gravity=session-{self.logins}; Path=/; Max-Age=86400"
            peer.reply(200, b'{"status":"success"}', (cookie, "X-Grvt-Account-Id: ACC:1", "Connection: close"))
            return
        cookie = next(line for line in request.decode().split("\r\n") if line.startswith("Cookie"))
        self.seen.append(cookie.partition("gravity=")[2])
        peer.accept_ws(request)
        self._end(peer, len(self.seen))
        chat(peer, [], lambda text: [confirmation(text)])


@contextmanager
def trading(gate: Gate) -> Iterator[Run]:
    with RawServer(gate.serve) as server:
        auth = GrvtAuth(API_KEY, lambda: RestClient(f"http://127.0.0.1:{server.port}", total_deadline_s=GUARD_S))
        with running(GrvtTradingSession(ACCOUNT, f"ws://127.0.0.1:{server.port}/ws", auth)) as run:
            yield run
        gate.open.set()


@pytest.mark.parametrize("code", [1008, 4001])
def test_after_a_policy_close_the_login_comes_first(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cookie is as good as new by its own date, and yet not offered again."""
    monkeypatch.setattr("adapters.transport.stream.REFUSED_BACKOFF_LEAST_S", 0.05)
    gate = Gate(lambda peer, number: peer.close_frame(code) if number == 2 else None)
    with trading(gate) as run:
        run.until_state(FeedState.LIVE)
    assert ["login", "session-1", "login", "session-2"] == gate.seen


def test_an_ordinary_close_keeps_the_session() -> None:
    """One login for as many connections as it takes."""
    gate = Gate(lambda peer, number: peer.close_frame(1012) if number <= 3 else None)
    with trading(gate) as run:
        run.until_state(FeedState.LIVE)
    assert ["login", "session-1", "session-1", "session-1"] == gate.seen


def test_nothing_is_connected_before_a_late_login_is_answered() -> None:
    """And it is then, with that session."""
    gate = Gate()
    gate.open.clear()
    with trading(gate) as run:
        threading.Timer(LIMIT_S, gate.open.set).start()
        run.until_state(FeedState.LIVE)
    assert ["login", "session-1"] == gate.seen


def test_a_stop_during_the_login_connects_to_nothing() -> None:
    """What the venue then answers is of no interest."""
    gate = Gate()
    gate.open.clear()
    with trading(gate) as run:
        thread = threading.Thread(target=lambda: run.until(lambda: gate.logins > 0 and run.loop.vitals().state == "DOWN"))
        thread.start()
        while not gate.logins:
            time.sleep(0.001)
        run.loop.abort()
        gate.open.set()
        thread.join(GUARD_S)
        assert (False, ()) == (thread.is_alive(), run.loop.poll(0.0))
    assert ["login"] == gate.seen
