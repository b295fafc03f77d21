"""Small stand-ins for the ports, and ways to wait for what an actor does. Nothing here sleeps and hopes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from actors.base import Identity, Report
from core.instrument import Instrument
from core.messages import (
    BookUpdated,
    CancelAll,
    CancelOrder,
    FeedChanged,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    Message,
    PlaceOco,
    PlaceOrder,
    QueryOrder,
    RenewDeadMan,
)
from core.ports import Capabilities, JournalFailed, StreamVitals
from core.types import Channel, ClientOrderId, FeedState, Level, Priority, Role, Side, TimeInForce, VenueId

GUARD_S = 20.0
"""A hang guard for every wait."""
GRVT, BACKPACK = VenueId("grvt"), VenueId("backpack")
M = TypeVar("M", bound=Message)


class Routed:
    """What an actor routed, in order, and what its journal or lane did in between (``note``)."""

    def __init__(self) -> None:
        self.queue: queue.Queue[Any] = queue.Queue()

    def __call__(self, message: Message) -> None:
        self.queue.put(message)

    def note(self, what: str) -> None:
        self.queue.put(what)

    def next(self) -> Any:
        return self.queue.get(timeout=GUARD_S)

    def until(self, kind: type[M], fits: Callable[[M], bool] = lambda message: True) -> M:
        """The next message of that kind that fits; what comes before is dropped."""
        while True:
            message = self.next()
            if isinstance(message, kind) and fits(message):
                return message

    def left(self) -> list[Any]:
        """What is there now."""
        found = []
        while not self.queue.empty():
            found.append(self.queue.get_nowait())
        return found


def identity(name: str, reports: queue.Queue[Report] | None = None, *, epoch: int = 1) -> Identity:
    return Identity(name, name.partition(".")[0], epoch, reports.put if reports is not None else lambda _: None)


def instrument(venue: VenueId) -> Instrument:
    lot = Decimal("0.01")
    return Instrument(
        venue=venue,
        symbol=f"ETH@{venue}",
        base="ETH",
        quote="USDT",
        tick_size=lot,
        lot_size=lot,
        min_quantity=lot,
        min_notional=Decimal(0),
        contract_id="",
        base_decimals=0,
    )


def order(number: int = 1, role: Role = Role.HEDGE, quantity: str = "0.1", price: str = "3000") -> PlaceOrder:
    return PlaceOrder(
        client_order_id=ClientOrderId(number),
        venue=GRVT,
        symbol=f"ETH@{GRVT}",
        side=Side.SELL,
        quantity=Decimal(quantity),
        price=Decimal(price),
        time_in_force=TimeInForce.IOC,
        role=role,
        cycle_id=1,
        reference_price=Decimal("3000"),
        priority=Priority.P0,
    )


def cancel(number: int = 1) -> CancelOrder:
    return CancelOrder(venue=GRVT, symbol=f"ETH@{GRVT}", client_order_id=ClientOrderId(number), reason="test")


def book(bid: str = "2999", venue: VenueId = GRVT) -> BookUpdated:
    level = Level(Decimal(bid), Decimal(1))
    return BookUpdated(
        venue=venue, symbol=f"ETH@{venue}", bids=(level,), asks=(Level(Decimal("3001"), Decimal(1)),), received_at=0.0
    )


class FakeJournal:
    """Keeps everything in memory; ``fails`` makes every write raise, ``takes`` is what an intent waits for."""

    def __init__(self, routed: Routed) -> None:
        self._routed = routed
        self.fails = False
        self.takes: Callable[[], None] = lambda: None
        self.notes: list[Message] = []

    def record_intent(self, order: PlaceOrder, epoch: int) -> None:
        self._check()
        self.takes()
        self._routed.note(f"intent {order.client_order_id} of epoch {epoch}")

    def note(self, message: Message) -> None:
        self.notes.append(message)
        self._routed.note(f"noted {type(message).__name__}")

    def flush(self) -> None:
        self._check()

    def lease_client_ids(self, count: int) -> tuple[int, int]:
        self._check()
        return 1, 1 + count

    def _check(self) -> None:
        if self.fails:
            raise JournalFailed("disk full")


CAPABILITIES = Capabilities(
    native_oco=False,
    attached_tpsl=False,
    sibling_cancel_proven=False,
    dead_man_switch=True,
    cancel_by_client_id=True,
    query_by_client_id=True,
    amend=False,
    cancel_ttl_ms=0,
    submit_bound_s=5.0,
)


class FakeTradeLane:
    """Notes each call and answers with what it was given; ``hold`` keeps a call until ``release``."""

    capabilities = CAPABILITIES

    def __init__(self, routed: Routed, answer: tuple[Message, ...] = ()) -> None:
        self._routed = routed
        self._answer = answer
        self.closed = threading.Event()

    def place(self, order: PlaceOrder) -> tuple[Message, ...]:
        return self._call(f"place {order.client_order_id}")

    def place_oco(self, pair: PlaceOco) -> tuple[Message, ...]:
        return self._call(f"place {pair.stop.client_order_id} and {pair.take_profit.client_order_id}")

    def cancel(self, command: CancelOrder) -> tuple[Message, ...]:
        return self._call(f"cancel {command.client_order_id}")

    def cancel_all(self, command: CancelAll) -> tuple[Message, ...]:
        return self._call("cancel all")

    def renew_dead_man(self, command: RenewDeadMan) -> tuple[Message, ...]:
        return self._call(f"dead man {command.countdown_s:g}")

    def close(self) -> None:
        self.closed.set()

    def _call(self, what: str) -> tuple[Message, ...]:
        self._routed.note(what)
        return self._answer


class FakeQueryLane:
    """Answers each read with its name as a note and with ``answer``; ``book`` for the book."""

    def __init__(self, routed: Routed, answer: tuple[Message, ...] = (), *, book: BookUpdated | None = None) -> None:
        self._routed = routed
        self._answer = answer
        self._book = book
        self.closed = threading.Event()
        self.breaks = False

    def query_order(self, command: QueryOrder) -> tuple[Message, ...]:
        return self._call("order")

    def fetch_open_orders(self, command: FetchOpenOrders) -> tuple[Message, ...]:
        return self._call("open orders")

    def fetch_fills(self, command: FetchFills) -> tuple[Message, ...]:
        return self._call("fills")

    def fetch_position(self, command: FetchPosition) -> tuple[Message, ...]:
        return self._call("position")

    def fetch_book(self, symbol: str) -> BookUpdated | None:
        self._call("book")
        return self._book

    def close(self) -> None:
        self.closed.set()

    def _call(self, what: str) -> tuple[Message, ...]:
        if self.breaks:
            raise RuntimeError("planted")
        self._routed.note(what)
        return self._answer


class FakeStream:
    """Hands out the batches put into ``batches``; an exception in the place of a batch is raised; ``abort`` ends a poll that hangs."""

    def __init__(self, channel: Channel = Channel.ACCOUNT) -> None:
        self.channel = channel
        self.batches: queue.Queue[Sequence[Message] | Exception | None] = queue.Queue()
        self.resyncs: queue.Queue[str] = queue.Queue()
        self.aborted, self.closed, self.hanging = threading.Event(), threading.Event(), threading.Event()
        self.state = FeedState.DOWN

    def poll(self, timeout_s: float) -> Sequence[Message]:
        try:
            batch = self.batches.get(timeout=timeout_s)
        except queue.Empty:
            return ()
        if isinstance(batch, Exception):
            raise batch
        if batch is None:
            self.hanging.set()
            self.aborted.wait(GUARD_S)
            return ()
        for event in batch:
            self.state = event.state if isinstance(event, FeedChanged) else self.state
        return batch

    def resync(self, reason: str) -> None:
        self.resyncs.put(reason)

    def vitals(self) -> StreamVitals:
        return StreamVitals(self.state.value, 0.0, 2, 1, 10, 0)

    def abort(self) -> None:
        self.aborted.set()

    def close(self) -> None:
        self.closed.set()
