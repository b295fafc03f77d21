"""How long a bot takes from a fill told by a venue to the request that answers it, measured at the venues' own sockets: the hedge of a
maker fill at the other venue, or the cancel of the sibling of an exit that filled.

Must never look at a frame or a body while the market runs: it keeps both with their times and pairs them when it is asked.
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import msgspec

from simulator.net import HttpRequest, WsFace, WsPeer

_FILL_HEAD = '{"stream":"v1.fill"'
_HEDGE = ("POST", "/api/v1/order")
_ACCOUNT_HEAD = '{"topic":"ws_zk_accounts_v3"'
_CANCELS = (("POST", "/api/v3/delete-order"), ("POST", "/api/v3/delete-client-order-id"))


class Stopwatch(Protocol):
    """``frame_sent`` and ``request_arrived`` are called by the sockets; times are monotonic seconds."""

    def frame_sent(self, text: str, at: float) -> None:
        """``at``: just before the frame was handed to the socket."""
        ...

    def request_arrived(self, request: HttpRequest) -> None:
        """Before the venue has looked at it."""
        ...


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
    """GRVT maker fills against the Backpack orders that follow them."""

    def __init__(self) -> None:
        self._frames: list[tuple[str, float]] = []
        self._bodies: list[tuple[bytes, float]] = []

    def frame_sent(self, text: str, at: float) -> None:
        if text.startswith(_FILL_HEAD):
            self._frames.append((text, at))

    def request_arrived(self, request: HttpRequest) -> None:
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


class _ApexFill(msgspec.Struct, rename="camel"):
    id: str
    order_id: str
    direction: str
    status: str
    is_open: bool


class _Contents(msgspec.Struct):
    fills: tuple[_ApexFill, ...] | None = None


class _AccountFrame(msgspec.Struct):
    contents: _Contents


class ExitStopwatch:
    """Take-profits of an ApeX bracket against the cancels that follow them: exits that filled as makers, which a triggered stop never does."""

    def __init__(self) -> None:
        self._frames: list[tuple[str, float]] = []
        self._cancels: list[float] = []

    def frame_sent(self, text: str, at: float) -> None:
        if text.startswith(_ACCOUNT_HEAD):
            self._frames.append((text, at))

    def request_arrived(self, request: HttpRequest) -> None:
        if (request.method, request.path) in _CANCELS:
            self._cancels.append(request.arrived_at)

    def report(self) -> dict[str, Any]:
        """``pairs_us``: one number for each exit that filled in one piece and was followed by a cancel before the next exit filled.
        ``unpaired``: the others."""
        exits, pairs = self._exits(), []
        for (filled_at, is_whole), (end, _) in itertools.pairwise([*exits, (float("inf"), False)]):
            cancelled_at = next((at for at in self._cancels if filled_at < at < end), None)
            if is_whole and cancelled_at is not None:
                pairs.append(round((cancelled_at - filled_at) * 1e6))
        return {"exits": len(exits), "requests": len(self._cancels), "pairs_us": pairs, "unpaired": len(exits) - len(pairs)}

    def _exits(self) -> list[tuple[float, bool]]:
        """When each order's first fill was told as certain, and whether it was the only one; an approval by the chain tells it again."""
        told: dict[str, dict[str, float]] = {}
        for text, at in self._frames:
            for fill in msgspec.json.decode(text, type=_AccountFrame).contents.fills or ():
                if fill.direction == "MAKER" and fill.status == "SUCCESS" and not fill.is_open:
                    told.setdefault(fill.order_id, {}).setdefault(fill.id, at)
        return [(min(times.values()), len(times) == 1) for times in told.values()]


class TimedSocket:
    """A face whose frames are timed as they leave."""

    def __init__(self, face: WsFace, stopwatch: Stopwatch) -> None:
        self._face = face
        self._stopwatch = stopwatch

    def opened(self, peer: WsPeer) -> None:
        peer.on_sent = self._stopwatch.frame_sent
        self._face.opened(peer)

    def received(self, peer: WsPeer, text: str) -> None:
        self._face.received(peer, text)

    def closed(self, peer: WsPeer) -> None:
        self._face.closed(peer)
