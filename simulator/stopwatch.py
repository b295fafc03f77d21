"""How long a bot takes from a maker fill told by one venue to the hedge's request at the other, measured at the venues' own sockets.

Must never look at a frame or a body while the market runs: it keeps both with their times and pairs them when it is asked.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from simulator.net import HttpRequest, WsFace, WsPeer

_FILL_HEAD = '{"stream":"v1.fill"'
_HEDGE = ("POST", "/api/v1/order")


class _Fill(msgspec.Struct):
    size: Decimal
    trade_id: str
    is_taker: bool


class _Frame(msgspec.Struct):
    feed: _Fill


class _Order(msgspec.Struct):
    quantity: Decimal


class _Sent(NamedTuple):
    trade_id: str
    quantity: Decimal
    at: float


class HedgeStopwatch:
    """``frame_sent`` and ``request_arrived`` are called by the sockets; times are monotonic seconds."""

    def __init__(self) -> None:
        self._frames: list[tuple[str, float]] = []
        self._bodies: list[tuple[bytes, float]] = []

    def frame_sent(self, text: str, at: float) -> None:
        """``at``: just before the frame was handed to the socket."""
        if text.startswith(_FILL_HEAD):
            self._frames.append((text, at))

    def request_arrived(self, request: HttpRequest) -> None:
        """Before the venue has looked at it."""
        if (request.method, request.path) == _HEDGE:
            self._bodies.append((request.body, request.arrived_at))

    def report(self) -> dict[str, Any]:
        """``pairs_us``: one number for each maker fill that was hedged alone and in full, in their order. ``unpaired``: fills that
        shared a hedge or have none."""
        fills, pairs = self._maker_fills(), []
        waiting = 0
        for body, at in self._bodies:
            open_quantity = msgspec.json.decode(body, type=_Order).quantity
            if waiting < len(fills) and fills[waiting].at < at and fills[waiting].quantity == open_quantity:
                pairs.append(round((at - fills[waiting].at) * 1e6))
                waiting += 1
                continue
            while waiting < len(fills) and fills[waiting].at < at and open_quantity > 0:
                open_quantity -= fills[waiting].quantity
                waiting += 1
        return {"fills": len(fills), "requests": len(self._bodies), "pairs_us": pairs, "unpaired": len(fills) - len(pairs)}

    def _maker_fills(self) -> list[_Sent]:
        """Each once, when it was first told; the same fill goes to every selector that covers it."""
        found: dict[str, _Sent] = {}
        for text, at in self._frames:
            fill = msgspec.json.decode(text, type=_Frame).feed
            if not fill.is_taker:
                found.setdefault(fill.trade_id, _Sent(fill.trade_id, fill.size, at))
        return list(found.values())


class TimedSocket:
    """A face whose frames are timed as they leave."""

    def __init__(self, face: WsFace, stopwatch: HedgeStopwatch) -> None:
        self._face = face
        self._stopwatch = stopwatch

    def opened(self, peer: WsPeer) -> None:
        peer.on_sent = self._stopwatch.frame_sent
        self._face.opened(peer)

    def received(self, peer: WsPeer, text: str) -> None:
        self._face.received(peer, text)

    def closed(self, peer: WsPeer) -> None:
        self._face.closed(peer)
