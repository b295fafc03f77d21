"""How GRVT's frames leave: selectors, sequence numbers, subscribers, delays and the faults that befall single frames.

Knows nothing of orders or books: feeds come in as ready objects. Must never reorder the frames of one stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

from simulator import grvt_wire as wire
from simulator.clock import Clock
from simulator.faults import Nemesis
from simulator.grvt_wire import GrvtError, Json
from simulator.net import WsPeer

VENUE = "grvt"

MARKET_STREAMS: Mapping[str, tuple[int, ...]] = {
    "v1.mini.s": (200, 500, 1000, 5000),
    "v1.mini.d": (0, 50, 100, 200, 500, 1000, 5000),
    "v1.book.s": (500, 1000),
    "v1.book.d": (50, 100, 500, 1000),
    "v1.trade": (50, 200, 500, 1000),
}
"""Stream -> the rates in ms it may be asked for; of v1.trade, the number of past trades (grvt.md §2)."""

ACCOUNT_STREAMS = ("v1.order", "v1.state", "v1.fill", "v1.position", "v1.cancel")
DEPTHS = (10, 50, 100, 500)


class Selector(NamedTuple):
    """One subscription: ``text`` as the client wrote it, ``primary`` what a later subscription replaces it by."""

    stream: str
    text: str
    primary: str
    symbol: str = ""
    rate: int = 0
    depth: int = 500

    @property
    def key(self) -> tuple[str, str]:
        return self.stream, self.text


def market_selector(stream: str, text: str, symbols: Mapping[str, object]) -> Selector:
    """``INSTR@rate`` or, for v1.book.s, ``INSTR@rate-depth``; 1101-1103, 3000, 3011, 3013, 3030, 3031 (grvt.md §2)."""
    parts = text.split("@")
    if len(parts) != 2:
        raise GrvtError(1101)
    if "-" in parts[0] or not parts[0]:
        raise GrvtError(1102)
    secondary = parts[1].split("-")
    if len(secondary) != (2 if stream == "v1.book.s" else 1):
        raise GrvtError(1103)
    if parts[0] not in symbols:
        raise GrvtError(3000)
    rate = _rate(stream, secondary[0])
    depth = _choice(secondary[1], DEPTHS, 3031) if len(secondary) == 2 else 500
    return Selector(stream, text, parts[0], parts[0], rate, depth)


def account_selector(stream: str, text: str, symbols: Mapping[str, object], sub_account_id: str) -> Selector:
    """``<sub_account_id>`` or ``<sub_account_id>-INSTR``; 3020 not a number, 1001 not ours, 1102, 3000 (grvt.md §3)."""
    parts = text.split("-")
    if len(parts) > 2:
        raise GrvtError(1102)
    if not parts[0] or str(wire.uint_of(parts[0], code=3020)) != sub_account_id:
        raise GrvtError(1001 if parts[0] else 3020)
    if len(parts) == 2 and parts[1] not in symbols:
        raise GrvtError(3000)
    return Selector(stream, text, text, parts[1] if len(parts) == 2 else "")


class Outlet:
    """The way to one client: frames of one lane leave in the order given, however they are delayed."""

    def __init__(self, peer: WsPeer, clock: Clock) -> None:
        self._peer = peer
        self._clock = clock
        self._lanes: dict[str, deque[tuple[float, str]]] = {}
        self._is_closed = False

    def send(self, lane: str, text: str, delay_s: float) -> None:
        if self._is_closed:
            return
        queue = self._lanes.setdefault(lane, deque())
        now = self._clock.now()
        due = max(now + delay_s, queue[-1][0] if queue else now)
        if due <= now and not queue:
            self._peer.send(text)
            return
        queue.append((due, text))
        self._clock.call_later(due - now, partial(self._release, queue))

    def abort(self) -> None:
        """Cuts the connection without a goodbye; nothing queued leaves any more."""
        self.close()
        self._peer.abort()

    def close(self) -> None:
        self._is_closed = True

    def _release(self, queue: deque[tuple[float, str]]) -> None:
        _, text = queue.popleft()
        if not self._is_closed:
            self._peer.send(text)


class Hub:
    """Sequence numbers per stream and selector, shared by all connections and kept over reconnects (grvt.md §2)."""

    def __init__(self, clock: Clock, nemesis: Nemesis, channel: Literal["market", "account"], *, stream_s: float) -> None:
        self._clock = clock
        self._nemesis = nemesis
        self._channel = channel
        self._stream_s = stream_s
        self._latest: dict[tuple[str, str], int] = {}
        self._outlets: dict[tuple[str, str], list[Outlet]] = {}

    def attach(self, key: tuple[str, str], outlet: Outlet) -> None:
        outlets = self._outlets.setdefault(key, [])
        if outlet not in outlets:
            outlets.append(outlet)

    def detach(self, key: tuple[str, str], outlet: Outlet) -> None:
        outlets = self._outlets.get(key, [])
        if outlet in outlets:
            outlets.remove(outlet)

    def is_wanted(self, key: tuple[str, str]) -> bool:
        return bool(self._outlets.get(key))

    def latest(self, key: tuple[str, str]) -> int:
        return self._latest.get(key, 0)

    def skip(self, stream: str, count: int) -> None:
        """Uses up ``count`` numbers of every selector of the stream: the next frame shows a gap."""
        for key in set(self._latest) | set(self._outlets):
            if key[0] == stream:
                self._latest[key] = self.latest(key) + count

    def restart(self) -> None:
        """The gateway restarts: all counters begin anew while the connections live on."""
        self._latest.clear()

    def snapshot(self, key: tuple[str, str], outlet: Outlet, feed: Json, *, delay_s: float) -> None:
        """One initial frame, numbered "0", to one client, not before the reply to its subscription."""
        self._deliver(key, outlet, _frame(key, 0, 0, feed), max(delay_s, self._stream_s))

    def publish(self, key: tuple[str, str], feed: Json) -> None:
        """The next numbered frame, to whoever subscribed; without subscribers there is no frame and no number."""
        outlets = self._outlets.get(key)
        if not outlets:
            return
        previous = self.latest(key)
        self._latest[key] = previous + 1
        text = _frame(key, previous + 1, previous, feed)
        for outlet in list(outlets):
            self._deliver(key, outlet, text, self._stream_s)

    def _deliver(self, key: tuple[str, str], outlet: Outlet, text: str, delay_s: float) -> None:
        send: Callable[[str, float], None] = partial(outlet.send, f"{key[0]} {key[1]}")
        fault = self._nemesis.on_frame(VENUE, self._channel)
        match fault.kind if fault else None:
            case "drop" | "silence":
                return
            case "duplicate":
                send(text, delay_s)
                send(text, delay_s)
            case "garble":
                send(text[: len(text) // 2], delay_s)
            case _:
                send(text, delay_s + (fault.delay_s if fault else 0.0))


def subscribed(stream: str, added: list[Selector], removed: list[str], snapshots: list[int], latest: list[int]) -> Json:
    """Result of a subscription; v1.cancel answers with empty lists (grvt.md §3), sequence numbers are text (grvt.md §2)."""
    if stream == "v1.cancel":
        added, removed, snapshots, latest = [], [], [], []
    return {
        "stream": stream,
        "subs": [selector.text for selector in added],
        "unsubs": removed,
        "num_snapshots": snapshots,
        "first_sequence_number": [str(n + 1) for n in latest],
        "latest_sequence_number": [str(n) for n in latest],
    }


def _frame(key: tuple[str, str], number: int, previous: int, feed: Json) -> str:
    return wire.dump(
        {
            "stream": key[0],
            "selector": key[1],
            "sequence_number": str(number),
            "feed": feed,
            "prev_sequence_number": str(previous),
        }
    )


def _rate(stream: str, text: str) -> int:
    if stream != "v1.trade":
        return _choice(text, MARKET_STREAMS[stream], 3030)
    limits = MARKET_STREAMS[stream]
    if not text.isascii() or not text.isdigit() or not limits[0] <= int(text) <= limits[-1]:
        raise GrvtError(3011)
    return _choice(text, limits, 3013)


def _choice(text: str, allowed: tuple[int, ...], code: int) -> int:
    if text not in map(str, allowed):
        raise GrvtError(code)
    return int(text)
