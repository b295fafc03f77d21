"""The WebSocket face of Backpack: subscriptions without acknowledgement, private order and position news (backpack.md §2, §3).

Must never touch the exchange: it only tells what happened. One socket carries public and private streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Literal

from core.types import ZERO
from simulator.backpack_account import AccountView, Position
from simulator.backpack_auth import Refusal, Verifier, decode_json, signed_text
from simulator.backpack_feeds import PublicFeeds, public_symbol
from simulator.backpack_market import MarketView
from simulator.backpack_wire import json_text, order_status, order_update, position_update
from simulator.clock import Clock, Delays
from simulator.exchange import AccountFill, SimOrder
from simulator.faults import Nemesis
from simulator.net import WsPeer

VENUE = "backpack"
PRIVATE_STREAMS = ("account.orderUpdate", "account.positionUpdate")
INVALID_STREAM = (4006, "Invalid stream")


class _Parcel:
    """One frame on its way; it leaves when it and everything before it on its stream is ready."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_ready = False


class Outbox:
    """Delays frames and lets the nemesis at them, keeping the order within each stream of each peer."""

    def __init__(self, clock: Clock, nemesis: Nemesis, stream_s: float) -> None:
        self._clock = clock
        self._nemesis = nemesis
        self._stream_s = stream_s
        self._queues: dict[tuple[int, str], deque[_Parcel]] = {}

    def post(self, peer: WsPeer, stream: str, text: str) -> None:
        channel: Literal["market", "account"] = "account" if stream.startswith("account.") else "market"
        fault = self._nemesis.on_frame(VENUE, channel)
        kind = fault.kind if fault else "none"
        if kind in ("drop", "silence"):
            return
        if kind == "garble":
            text = text[: len(text) // 2]
        delay_s = self._stream_s + (fault.delay_s if fault and kind == "delay" else 0)
        for _ in range(2 if kind == "duplicate" else 1):
            self._enqueue(peer, stream, text, delay_s)

    def forget(self, peer: WsPeer) -> None:
        """The connection is gone, and with it whatever was under way."""
        for key in [key for key in self._queues if key[0] == peer.id]:
            self._queues.pop(key).clear()

    def _enqueue(self, peer: WsPeer, stream: str, text: str, delay_s: float) -> None:
        queue = self._queues.setdefault((peer.id, stream), deque())
        parcel = _Parcel(text)
        queue.append(parcel)
        if delay_s <= 0:
            self._arrived(peer, queue, parcel)
        else:
            self._clock.call_later(delay_s, lambda: self._arrived(peer, queue, parcel))

    def _arrived(self, peer: WsPeer, queue: deque[_Parcel], parcel: _Parcel) -> None:
        parcel.is_ready = True
        while queue and queue[0].is_ready:
            peer.send(queue.popleft().text)


class BackpackStreams:
    """The WsFace: answers SUBSCRIBE with nothing at all, and tells listeners what the face reports to it."""

    def __init__(
        self,
        clock: Clock,
        nemesis: Nemesis,
        verifier: Verifier,
        market: MarketView,
        account: AccountView,
        *,
        delays: Delays,
        conflate_s: float,
        heartbeat_s: float,
    ) -> None:
        self._clock = clock
        self._verifier = verifier
        self._market = market
        self._account = account
        self._request_s = delays.request_s
        self._server_s = delays.stream_s / 2
        self._outbox = Outbox(clock, nemesis, delays.stream_s)
        self._listeners: dict[int, tuple[WsPeer, set[str]]] = {}
        self._known_orders: dict[int, Decimal] = {}
        self.feeds = PublicFeeds(market, clock, self, conflate_s=conflate_s, heartbeat_s=heartbeat_s, server_s=self._server_s)

    # -- WsFace ------------------------------------------------------------------------------------------------------

    def opened(self, peer: WsPeer) -> None:
        self._listeners[peer.id] = (peer, set())

    def received(self, peer: WsPeer, text: str) -> None:
        if self._request_s <= 0:
            self._handle(peer, text)
        else:
            self._clock.call_later(self._request_s, lambda: self._handle(peer, text))

    def closed(self, peer: WsPeer) -> None:
        self._listeners.pop(peer.id, None)
        self._outbox.forget(peer)
        self.feeds.drop_unwanted()

    # -- Hub ---------------------------------------------------------------------------------------------------------

    def is_wanted(self, stream: str) -> bool:
        return any(stream in streams for _, streams in self._listeners.values())

    def publish(self, stream: str, data: Mapping[str, object]) -> None:
        """One frame to every listener of the stream; the envelope has data first, as captured."""
        text = json_text({"data": data, "stream": stream})
        for peer, streams in list(self._listeners.values()):
            if stream in streams:
                self._outbox.post(peer, stream, text)

    # -- private news ------------------------------------------------------------------------------------------------

    def order_changed(self, order: SimOrder, time: float) -> None:
        """An order was accepted, shrunk, cancelled or expired; fills have their own call."""
        known = self._known_orders.get(order.order_id)
        if known is None:
            self._accept(order, time)
        elif order.status == "OPEN" and order.quantity != known:
            self._known_orders[order.order_id] = order.quantity
            self._tell_order("orderModified", order, None, time)
        if order.status in ("CANCELLED", "EXPIRED"):
            event = "orderCancelled" if order_status(order) == "Cancelled" else "orderExpired"
            self._tell_order(event, order, None, time)
        if order.status != "OPEN":
            self._known_orders.pop(order.order_id, None)

    def filled(self, order: SimOrder, fill: AccountFill) -> None:
        if order.order_id not in self._known_orders:
            self._accept(order, fill.time)
        self._tell_order("orderFill", order, fill, fill.time)

    def position_changed(self, position: Position, event: str, time: float) -> None:
        data = self._position_data(position, event, time)
        self._publish_private("account.positionUpdate", position.symbol, data)

    def _accept(self, order: SimOrder, time: float) -> None:
        self._known_orders[order.order_id] = order.quantity
        self._tell_order("orderAccepted", order, None, time)

    def _tell_order(self, event: str, order: SimOrder, fill: AccountFill | None, time: float) -> None:
        data = order_update(event, order, fill, time, time + self._server_s)
        self._publish_private("account.orderUpdate", order.symbol, data)

    def _publish_private(self, stream: str, symbol: str, data: Mapping[str, object]) -> None:
        self.publish(stream, data)
        self.publish(f"{stream}.{symbol}", data)

    def _position_data(self, position: Position, event: str | None, time: float) -> Mapping[str, object]:
        mark = self._market.mark(position.symbol) or position.entry_price or ZERO
        exposure = self._account.exposure(position.symbol)
        return position_update(position, mark, exposure, event, time, time + self._server_s)

    # -- requests ----------------------------------------------------------------------------------------------------

    def _handle(self, peer: WsPeer, text: str) -> None:
        listener = self._listeners.get(peer.id)
        if listener is None:
            return
        request = _decode(text)
        if request is None:
            self._tell_error(peer, None, 4000, "Invalid request")
            return
        match request:
            case {"method": "SUBSCRIBE", "params": list() as names}:
                self._subscribe(peer, listener[1], request, [str(name) for name in names])
            case {"method": "UNSUBSCRIBE", "params": list() as names}:
                listener[1].difference_update(str(name) for name in names)
                self.feeds.drop_unwanted()
            case _:
                self._tell_error(peer, request.get("id"), 4000, "Invalid request")

    def _subscribe(self, peer: WsPeer, streams: set[str], request: Mapping[str, object], names: list[str]) -> None:
        if not all(self._is_known(name) for name in names):
            self._tell_error(peer, request.get("id"), *INVALID_STREAM)
            return
        private = [name for name in names if name.startswith("account.")]
        try:
            if private:
                self._check_signature(request.get("signature"))
        except Refusal as refusal:
            self._tell_error(peer, request.get("id"), 4002, refusal.message)
            return
        streams.update(names)
        for name in names:
            if name in private:
                self._send_positions(peer, name)
            else:
                self.feeds.listen(name)

    def _is_known(self, name: str) -> bool:
        """Streams the venue has but this face does not (kline, ticker, ...) count as unknown too."""
        for private in PRIVATE_STREAMS:
            if name == private or name.removeprefix(f"{private}.") in self._market.instruments:
                return True
        return public_symbol(name) in self._market.instruments

    def _check_signature(self, signature: object) -> None:
        if not (isinstance(signature, list) and len(signature) == 4 and all(isinstance(part, str) for part in signature)):
            raise Refusal(400, "INVALID_SIGNATURE", "Invalid signature")
        key, signed, timestamp, window = signature
        text = partial(signed_text, "subscribe", {})
        self._verifier.check(key, signed, timestamp, window, text, self._clock.now() * 1000)

    def _send_positions(self, peer: WsPeer, name: str) -> None:
        """The first frames of positionUpdate: one per open position, without ``e``; none for a flat account."""
        if not name.startswith("account.positionUpdate"):
            return
        symbol = name.removeprefix("account.positionUpdate").removeprefix(".")
        for position in self._account.positions():
            if symbol in ("", position.symbol):
                data = self._position_data(position, None, self._clock.now())
                self._outbox.post(peer, name, json_text({"data": data, "stream": name}))

    def _tell_error(self, peer: WsPeer, request_id: object, code: int, message: str) -> None:
        error = {"id": request_id, "error": {"code": code, "message": message}}
        self._outbox.post(peer, "error", json_text(error))


def _decode(text: str) -> dict[str, object] | None:
    try:
        request = decode_json(text)
    except ValueError:
        return None
    return request if isinstance(request, dict) else None
