"""Two venues in this process: real matching behind the ports, events on real queues, and answers that go wrong on demand.

A house keeps both books; ``Takers`` fill whatever the bot quotes. What the exchange holds is the truth that the tests judge by.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from core.instrument import Instrument
from core.messages import (
    BookUpdated,
    CancelAcknowledged,
    CancelAll,
    CancelFailed,
    CancelOrder,
    FeedChanged,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    FillReported,
    FillsFetched,
    Message,
    OpenOrdersFetched,
    OrderAccepted,
    OrderNotFound,
    OrderRejected,
    OrderReported,
    PlaceOco,
    PlaceOrder,
    PositionReported,
    QueryFailed,
    QueryOrder,
    RateLimited,
    RenewDeadMan,
    SubmitNotSent,
    SubmitUnknown,
)
from core.ports import Capabilities, StreamVitals
from core.types import (
    ZERO,
    Channel,
    ClientOrderId,
    FeedState,
    Fees,
    Level,
    Liquidity,
    OrderState,
    Side,
    Source,
    TimeInForce,
    TradeId,
    VenueId,
    VenueOrderId,
)
from simulator.exchange import AccountFill, Event, Exchange, FillEvent, OrderEvent, SimOrder

wall_s = time.time
"""The venues' clock is their own: a test may set the bot's."""
GRVT, BACKPACK = VenueId("grvt"), VenueId("backpack")
BOT, HOUSE, FLOW = "bot", "house", "flow"
GUARD_S = 60.0
"""A hang guard: nothing that is waited for takes anywhere near this long."""
BOUND_S = 0.4
"""These venues refuse a request that is older; a late one is executed well before."""
LATE_S = 0.2
BOOK_EVERY_S = 0.02
TAKER_EVERY_S = 0.05
"""Slow enough for a run of half a minute to stay below the gate's limit of 600 orders a minute."""
CENT = Decimal("0.01")
FEES = Fees(ZERO, Decimal("0.0005"))
STATES = {
    "FILLED": OrderState.FILLED,
    "CANCELLED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
}
CAPABILITIES = Capabilities(
    native_oco=False,
    attached_tpsl=False,
    sibling_cancel_proven=False,
    dead_man_switch=True,
    cancel_by_client_id=True,
    query_by_client_id=True,
    amend=False,
    cancel_ttl_ms=0,
    submit_bound_s=BOUND_S,
)


def instrument(venue: VenueId) -> Instrument:
    return Instrument(
        venue=venue,
        symbol=f"ETH@{venue}",
        base="ETH",
        quote="USDT",
        tick_size=CENT,
        lot_size=CENT,
        min_quantity=CENT,
        min_notional=ZERO,
        contract_id="",
        base_decimals=0,
    )


class LocalStream:
    """Hands out what the venue says; ``None`` in the queue makes the next poll hang until ``abort``."""

    def __init__(self, venue: LocalVenue, channel: Channel) -> None:
        self.channel = channel
        self.frames: queue.Queue[Message | None] = queue.Queue()
        self.hanging, self.aborted = threading.Event(), threading.Event()
        self._venue = venue
        self.frames.put(_live(venue.name, channel))

    def poll(self, timeout_s: float) -> Sequence[Message]:
        is_market = self.channel is Channel.MARKET
        try:
            found = [self.frames.get(timeout=BOOK_EVERY_S)]
        except queue.Empty:
            return (self._venue.fetch_book(""),) if is_market else ()
        while not self.frames.empty():
            found.append(self.frames.get_nowait())
        if None in found:
            self.hanging.set()
            self.aborted.wait(GUARD_S)
        return [frame for frame in found if frame is not None]

    def resync(self, reason: str) -> None:
        pass

    def vitals(self) -> StreamVitals:
        return StreamVitals("LIVE", 0.0, 0, 0, 0, 0)

    def abort(self) -> None:
        self.aborted.set()

    def close(self) -> None:
        self._venue.leave(self)


def _live(venue: VenueId, channel: Channel) -> FeedChanged:
    return FeedChanged(venue=venue, channel=channel, state=FeedState.LIVE, source=Source.WS, reason="", at=time.monotonic())


class LocalVenue:
    """``core.ports.Venue`` and both of its lanes. ``faults`` strike the next orders, one each; ``broken_reads``, ``cancels_fail``: how
    many of the next calls fail; ``is_mute``: the account stream tells nothing, what happens meanwhile is lost to it.

    lose_request, lose_answer, late (executed after the answer was lost), refuse, refuse_for_good, not_sent,
    throttle; ``hold`` is executed,
    ``hold_and_lose`` is not, and neither returns before ``release``.
    """

    capabilities = CAPABILITIES

    def __init__(self, name: VenueId, spread: int) -> None:
        self.name = name
        self.instrument = instrument(name)
        self.symbol = self.instrument.symbol
        self.exchange = Exchange(name, [self.instrument], {BOT: FEES})
        self.exchange.subscribe(self._tell)
        self.lock = threading.RLock()
        self.setup: Any = self
        self.limits: dict[str, float] = {}
        self.faults: deque[str] = deque()
        self.broken_reads = 0
        self.reads_refused = 0
        self.is_mute = False
        self.offset_ms = 0.0
        self.retry_after_s: float | None = 0.05
        self.calls: list[str] = []
        self.cancels_fail = 0
        self.holding, self.release = threading.Event(), threading.Event()
        self.sent: list[PlaceOrder] = []
        self.streams: list[LocalStream] = []
        self.dead_man_s: list[float] = []
        self._spread = spread
        self._mid = Decimal(3000)
        self._house: dict[tuple[Side, int], int] = {}
        self.requote()

    # ---- the house -----------------------------------------------------------------------------------------------------------

    def requote(self) -> None:
        """Three levels a side around the mid, each put back where takers left a gap."""
        with self.lock:
            self.exchange.advance(wall_s())
            for side in Side:
                for depth in range(3):
                    if not self.exchange.leaves(self._house.get((side, depth), 0)):
                        price = self._mid - side.sign * CENT * (self._spread + depth)
                        placed = self.exchange.place(HOUSE, self.symbol, side, Decimal(5), price)
                        self._house[side, depth] = placed.order_id

    def shift(self, by: int) -> None:
        """The whole book moves by that much money."""
        with self.lock:
            self._mid += by
            for order_id in self._house.values():
                self.exchange.cancel(order_id, "HOUSE")
            self.requote()

    def hit(self, quote: SimOrder, share: Decimal = Decimal(1)) -> None:
        """Take that share of a quote of the bot, and all that is ahead of it."""
        with self.lock:
            side = quote.side.opposite
            ahead = dict(self.exchange.book(self.symbol, 50)[0 if quote.side is Side.BUY else 1]).get(quote.price, quote.leaves)
            wanted = max(CENT, (quote.leaves * share).quantize(CENT))
            self.exchange.place(FLOW, self.symbol, side, ahead - quote.leaves + wanted, quote.price, tif="IOC")
            self.requote()

    # ---- truth ---------------------------------------------------------------------------------------------------------------

    @property
    def open_orders(self) -> list[SimOrder]:
        with self.lock:
            return self.exchange.open_orders(BOT)

    @property
    def position(self) -> Decimal:
        with self.lock:
            return self.exchange.position(BOT, self.symbol)

    @property
    def fills(self) -> list[AccountFill]:
        with self.lock:
            return self.exchange.fills(BOT)

    @property
    def volume(self) -> Decimal:
        return sum((fill.quantity for fill in self.fills), ZERO)

    # ---- streams -------------------------------------------------------------------------------------------------------------

    def market_stream(self, instrument: Instrument) -> LocalStream:
        return self._open(Channel.MARKET)

    def account_stream(self, instrument: Instrument) -> LocalStream:
        return self._open(Channel.ACCOUNT)

    def _open(self, channel: Channel) -> LocalStream:
        stream = LocalStream(self, channel)
        with self.lock:
            self.streams.append(stream)
        return stream

    def leave(self, stream: LocalStream) -> None:
        with self.lock:
            if stream in self.streams:
                self.streams.remove(stream)

    def stream(self, channel: Channel) -> LocalStream:
        """The one opened last."""
        with self.lock:
            return [stream for stream in self.streams if stream.channel is channel][-1]

    def _tell(self, event: Event) -> None:
        if isinstance(event, OrderEvent):
            self._push(self._report(event.order, Source.WS))
        elif isinstance(event, FillEvent):
            self._push(self._fill(event.fill, Source.WS))
            self._push(self._report(event.order, Source.WS))

    def _push(self, message: Message) -> None:
        for stream in self.streams:
            if stream.channel is Channel.ACCOUNT and not self.is_mute:
                stream.frames.put(message)

    # ---- trade lane ----------------------------------------------------------------------------------------------------------

    def resolve(self, ticker: str) -> Instrument:
        return self.instrument

    def clock_offset_ms(self) -> float:
        return self.offset_ms

    def trade_lane(self, instrument: Instrument) -> LocalVenue:
        return self

    def place(self, order: PlaceOrder) -> tuple[Message, ...]:
        self.sent.append(order)
        self.calls.append("place")
        venue, number, now = self.name, order.client_order_id, time.monotonic()
        unknown = SubmitUnknown(venue=venue, client_order_id=number, reason="planted", at=now)
        match self.faults.popleft() if self.faults else "":
            case "lose_request":
                return (unknown,)
            case "lose_answer":
                self._execute(order)
                return (unknown,)
            case "late":
                timer = threading.Timer(LATE_S, self._execute, (order,))
                timer.daemon = True
                timer.start()
                return (unknown,)
            case "not_sent":
                return (SubmitNotSent(venue=venue, client_order_id=number, reason="planted", at=now),)
            case ("refuse" | "refuse_for_good") as fault:
                return (self._refusal(order, "planted", permanent=fault == "refuse_for_good"),)
            case "throttle":
                limited = RateLimited(venue=venue, reason="planted", retry_after_s=self.retry_after_s, at=now)
                return (self._refusal(order, "429", is_throttled=True), limited)
            case ("hold" | "hold_and_lose") as fault:
                self.holding.set()
                if fault == "hold":
                    self._execute(order)
                self.release.wait(GUARD_S)
                return (unknown,)
            case _:
                return (self._execute(order),)

    def place_oco(self, pair: PlaceOco) -> tuple[Message, ...]:
        return (*self.place(pair.stop), *self.place(pair.take_profit))

    def _refusal(self, order: PlaceOrder, reason: str, *, is_throttled: bool = False, permanent: bool = False) -> OrderRejected:
        return OrderRejected(
            venue=self.name,
            client_order_id=order.client_order_id,
            reason=reason,
            code=reason,
            permanent=permanent,
            at=time.monotonic(),
            is_throttled=is_throttled,
        )

    def _execute(self, order: PlaceOrder) -> OrderAccepted:
        with self.lock:
            self.exchange.advance(wall_s())
            placed = self.exchange.place(
                BOT,
                self.symbol,
                order.side,
                order.quantity,
                order.price,
                tif="IOC" if order.time_in_force is TimeInForce.IOC else "GTC",
                post_only=order.post_only,
                reduce_only=order.reduce_only,
                client_id=str(order.client_order_id),
            )
            self.requote()
        return OrderAccepted(
            venue=self.name,
            client_order_id=order.client_order_id,
            venue_order_id=VenueOrderId(str(placed.order_id)),
            at=time.monotonic(),
        )

    def cancel(self, command: CancelOrder) -> tuple[Message, ...]:
        now, number = time.monotonic(), command.client_order_id
        self.calls.append("cancel")
        if self.cancels_fail > 0:
            self.cancels_fail -= 1
            return (CancelFailed(venue=self.name, client_order_id=number, reason="planted", kind="unknown", at=now),)
        with self.lock:
            order = self.exchange.by_client_id(BOT, str(number))
            cancelled = self.exchange.cancel(order.order_id, "USER") if order is not None else None
        if cancelled is None:
            return (CancelFailed(venue=self.name, client_order_id=number, reason="not open", kind="refused", at=now),)
        return (CancelAcknowledged(venue=self.name, client_order_id=number, at=now),)

    def cancel_all(self, command: CancelAll) -> tuple[Message, ...]:
        with self.lock:
            self.exchange.cancel_all(BOT, command.symbol, "USER")
        return ()

    def renew_dead_man(self, command: RenewDeadMan) -> tuple[Message, ...]:
        self.dead_man_s.append(command.countdown_s)
        return ()

    # ---- query lane ----------------------------------------------------------------------------------------------------------

    def query_lane(self, instrument: Instrument) -> LocalVenue:
        return self

    def query_order(self, command: QueryOrder) -> tuple[Message, ...]:
        now, number = time.monotonic(), command.client_order_id
        if self._is_read_broken():
            return (self._unread(command, number),)
        with self.lock:
            order = self.exchange.by_client_id(BOT, str(number))
        if order is None:
            return (OrderNotFound(venue=self.name, client_order_id=number, asked_at=now, received_at=time.monotonic()),)
        return (self._report(order, Source.REST),)

    def fetch_open_orders(self, command: FetchOpenOrders) -> tuple[Message, ...]:
        now = time.monotonic()
        if self._is_read_broken():
            return (self._unread(command),)
        orders = tuple(self._report(order, Source.REST) for order in self.open_orders)
        return (
            OpenOrdersFetched(venue=self.name, symbol=self.symbol, orders=orders, asked_at=now, received_at=time.monotonic()),
        )

    def fetch_fills(self, command: FetchFills) -> tuple[Message, ...]:
        now, since = time.monotonic(), wall_s() - command.lookback_s
        if self._is_read_broken():
            return (self._unread(command),)
        fills = tuple(self._fill(fill, Source.REST) for fill in self.fills if fill.time >= since)
        answer = FillsFetched(
            venue=self.name,
            symbol=self.symbol,
            fills=fills,
            lookback_s=command.lookback_s,
            asked_at=now,
            received_at=time.monotonic(),
        )
        return (answer,)

    def fetch_position(self, command: FetchPosition) -> tuple[Message, ...]:
        if self._is_read_broken():
            return (self._unread(command),)
        answer = PositionReported(
            venue=self.name, symbol=self.symbol, quantity=self.position, source=Source.REST, received_at=time.monotonic()
        )
        return (answer,)

    def fetch_book(self, symbol: str) -> BookUpdated:
        with self.lock:
            bids, asks = ([Level(*level) for level in side] for side in self.exchange.book(self.symbol, 20))
        return BookUpdated(venue=self.name, symbol=self.symbol, bids=tuple(bids), asks=tuple(asks), received_at=time.monotonic())

    def _is_read_broken(self) -> bool:
        self.calls.append("read")
        if self.broken_reads == 0:
            return False
        self.broken_reads -= 1
        self.reads_refused += 1
        return True

    def _unread(self, command: Message, number: ClientOrderId | None = None) -> QueryFailed:
        return QueryFailed(
            venue=self.name, query=type(command).__name__, reason="planted", at=time.monotonic(), client_order_id=number
        )

    def close(self) -> None:
        pass

    # ---- words ---------------------------------------------------------------------------------------------------------------

    def _report(self, order: SimOrder, source: Source) -> OrderReported:
        resting = OrderState.PARTIALLY_FILLED if order.filled else OrderState.ACCEPTED
        return OrderReported(
            venue=self.name,
            symbol=self.symbol,
            client_order_id=ClientOrderId(int(order.client_id)),
            venue_order_id=VenueOrderId(str(order.order_id)),
            state=STATES.get(order.status, resting),
            filled_quantity=order.filled,
            source=source,
            received_at=time.monotonic(),
            side=order.side,
            price=order.price,
            quantity=order.quantity,
            reason=order.reason,
        )

    def _fill(self, fill: AccountFill, source: Source) -> FillReported:
        return FillReported(
            venue=self.name,
            symbol=self.symbol,
            trade_id=TradeId(str(fill.trade_id)),
            client_order_id=ClientOrderId(int(fill.client_id)),
            venue_order_id=VenueOrderId(str(fill.order_id)),
            side=fill.side,
            price=fill.price,
            quantity=fill.quantity,
            fee=fill.fee,
            fee_currency=fill.fee_currency,
            liquidity=Liquidity.MAKER if fill.is_maker else Liquidity.TAKER,
            venue_time_ms=int(fill.time * 1000),
            source=source,
            received_at=time.monotonic(),
        )


class House:
    """Both venues. Truth survives any number of runs of the bot."""

    def __init__(self) -> None:
        self.maker, self.hedge = LocalVenue(GRVT, 2), LocalVenue(BACKPACK, 1)

    @property
    def venues(self) -> tuple[LocalVenue, LocalVenue]:
        return self.maker, self.hedge

    @property
    def net(self) -> Decimal:
        return self.maker.position + self.hedge.position

    @property
    def reused_client_ids(self) -> list[int]:
        times = Counter(int(order.client_order_id) for venue in self.venues for order in list(venue.sent))
        return [number for number, count in times.items() if count > 1]

    def unblock(self) -> None:
        """Nothing hangs any more."""
        for venue in self.venues:
            venue.release.set()
            with venue.lock:
                for stream in venue.streams:
                    stream.abort()

    @contextmanager
    def takers(self) -> Iterator[None]:
        """Somebody takes every quote of the bot, now in whole and now in part."""
        is_over = threading.Event()

        def take() -> None:
            shares = [Decimal("0.3"), Decimal(1)]
            while not is_over.wait(TAKER_EVERY_S):
                for quote in self.maker.open_orders:
                    shares.reverse()
                    self.maker.hit(quote, shares[0])

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join(GUARD_S)
