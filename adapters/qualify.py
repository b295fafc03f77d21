"""``qualify``: what a venue really does, measured through its own adapter: cancel reliability, status flow, latencies, fallback, reconnection.

Its orders rest where they cannot fill, are written to the journal first, and are all seen to end. It judges nothing: the report shows numbers.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from adapters.journal import SqliteJournal
from core.config import Config
from core.instrument import Instrument
from core.messages import (
    CancelAcknowledged,
    CancelAll,
    CancelOrder,
    FeedChanged,
    FetchOpenOrders,
    FetchPosition,
    Message,
    OpenOrdersFetched,
    OrderAccepted,
    OrderChanged,
    OrderRejected,
    OrderReported,
    PlaceOrder,
    PositionReported,
    QueryOrder,
    SubmitNotSent,
)
from core.order import CLOSED, TrackedOrder
from core.ports import QueryLane, Stream, TradeLane, Venue, VenueRefused
from core.types import ClientOrderId, FeedState, OrderState, Role, Side, TimeInForce

AWAY = Decimal("0.03")
"""Orders rest this far below the bid: out of reach, and still inside the venues' price bands."""
EVENT_LIMIT_S = 5.0
LIVE_LIMIT_S = 20.0
PACE_S = 0.12
"""Pause between pairs: two requests each, well below every published limit."""


class Row(NamedTuple):
    """One line of the report."""

    question: str
    answer: str


class _Seen(NamedTuple):
    state: OrderState
    at: float


class _Pair(NamedTuple):
    """One place-and-cancel. Times in seconds; None = never seen."""

    accepted: bool
    may_exist: bool
    """Unless the venue refused it or it never left: an order of unknown outcome must be seen to end like an accepted one."""
    end: OrderState | None
    event_s: float | None
    was_event_first: bool
    terminal_s: float | None
    flow: tuple[str, ...]


class _Ear:
    """Polls a stream on a thread of its own and remembers what it said of each order."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._told = threading.Condition()
        self._orders: dict[ClientOrderId, list[_Seen]] = {}
        self.feed_states: list[FeedState] = []
        self._ended = False
        self._wants_resync = False
        self._thread = threading.Thread(target=self._listen, name="qualify-ear", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._ended:
            if self._wants_resync:
                self._wants_resync = False
                self._stream.resync("qualify asks for it")
            events = self._stream.poll(0.1)
            with self._told:
                for event in events:
                    self._take(event)
                self._told.notify_all()
        self._stream.close()

    def _take(self, event: Message) -> None:
        if isinstance(event, FeedChanged):
            self.feed_states.append(event.state)
        if isinstance(event, OrderReported) and event.client_order_id is not None and not event.is_historical:
            self._orders.setdefault(event.client_order_id, []).append(_Seen(event.state, event.received_at))

    def wait(self, is_met: Callable[[], bool], limit_s: float) -> bool:
        with self._told:
            return self._told.wait_for(is_met, limit_s)

    def seen(self, client_order_id: ClientOrderId) -> list[_Seen]:
        return self._orders.get(client_order_id, [])

    def wait_live(self) -> bool:
        return self.wait(lambda: bool(self.feed_states) and self.feed_states[-1] is FeedState.LIVE, LIVE_LIMIT_S)

    def reconnect(self) -> float | None:
        """Seconds until LIVE again; None: not within the limit."""
        before, began = len(self.feed_states), time.monotonic()
        self._wants_resync = True
        is_back = self.wait(lambda: FeedState.LIVE in self.feed_states[before:], LIVE_LIMIT_S)
        return time.monotonic() - began if is_back else None

    def close(self) -> None:
        self._ended = True
        self._thread.join(2.0)


class _Bench(NamedTuple):
    """Everything one venue's qualification works with."""

    venue: Venue
    instrument: Instrument
    trade: TradeLane
    query: QueryLane
    ear: _Ear
    journal: SqliteJournal
    size: Decimal
    price: Decimal
    epoch: int


def qualify(config: Config, venue: Venue, journal: SqliteJournal, report: Path, *, pairs: int, say: Callable[[str], None]) -> int:
    """Measure, print and write the Markdown report; 0 when every order was seen to end unfilled, 3 otherwise. Raises VenueRefused where orders
    rest already."""
    if pairs < 1:
        raise VenueRefused(f"--pairs {pairs}; accepted: 1 or more")
    instrument = venue.setup.resolve(config.strategy.ticker)
    clock_offset_ms = venue.setup.clock_offset_ms()
    _spare_what_rests(venue, instrument)
    book = venue.setup.book(instrument)
    if not book.bids:
        raise VenueRefused(f"{venue.name}: the book has no bid to measure from")
    price = instrument.price_passive(book.bids[0].price * (1 - AWAY), Side.BUY)
    size = max(config.strategy.size, instrument.min_quantity)
    ear = _Ear(venue.account_stream(instrument))
    trade, query = venue.trade_lane(instrument), venue.query_lane(instrument)
    bench = _Bench(venue, instrument, trade, query, ear, journal, size, price, journal.begin_epoch())
    try:
        if not ear.wait_live():
            raise VenueRefused(f"{venue.name}: the account stream did not get ready within {LIVE_LIMIT_S:g} s")
        rows, is_clean = _measure(bench, pairs, say)
        rows.append(Row("venue clock minus ours", f"{clock_offset_ms:+.0f} ms"))
    finally:
        trade.cancel_all(CancelAll(venue=venue.name, symbol=instrument.symbol))
        ear.close()
        trade.close()
        query.close()
        journal.flush()
    for row in rows:
        say(f"{row.question}: {row.answer}")
    _write(report, venue.name, rows)
    say(f"report: {report}")
    return 0 if is_clean else 3


def _spare_what_rests(venue: Venue, instrument: Instrument) -> None:
    """All is cancelled at the end, and it may be the stop of a position whose bot has died. Raises VenueRefused."""
    resting = sum(isinstance(event, OrderReported) for event in venue.setup.open_orders(instrument))
    if resting:
        orders = f"{resting} open order{'' if resting == 1 else 's'}"
        raise VenueRefused(f"{venue.name}: {orders} of {instrument.symbol} would be cancelled; accepted: none (see run, flatten)")


def _measure(bench: _Bench, count: int, say: Callable[[str], None]) -> tuple[list[Row], bool]:
    rows = _standing_facts(bench)
    results = []
    for _ in range(count):
        results.append(_place_and_cancel(bench))
        time.sleep(PACE_S)
    rows += _pair_rows(results)
    agreement, end = _fallback(bench)
    rows.append(Row("REST fallback agrees with the stream", agreement))
    reconnected_s = bench.ear.reconnect()
    rows.append(
        Row("reconnection", "not within the limit" if reconnected_s is None else f"live again after {reconnected_s:.2f} s")
    )
    return rows, _is_over(end) and all(_is_over(result.end) for result in results if result.may_exist)


def _standing_facts(bench: _Bench) -> list[Row]:
    capabilities, instrument = bench.venue.capabilities, bench.instrument
    return [
        Row(
            "native OCO or bracket orders",
            f"OCO {_yes(capabilities.native_oco)}, attached TP/SL {_yes(capabilities.attached_tpsl)}",
        ),
        Row("sibling cancelled by the venue", "shown" if capabilities.sibling_cancel_proven else "not shown: the pair guards"),
        Row("dead-man switch", _yes(capabilities.dead_man_switch)),
        Row("own bound on a late order", f"{capabilities.submit_bound_s:g} s"),
        Row(
            "discovered instrument",
            f"{instrument.symbol}: tick {instrument.tick_size}, lot {instrument.lot_size}, "
            f"minimum {instrument.min_quantity} and {instrument.min_notional} {instrument.quote}",
        ),
    ]


def _place_and_cancel(bench: _Bench) -> _Pair:
    """One order out of reach, its event, its cancel, its end."""
    order = _order(bench)
    bench.journal.record_intent(order, bench.epoch)
    tracked = TrackedOrder(order, time.monotonic())
    began, key = time.monotonic(), order.client_order_id
    answer = bench.trade.place(order)
    answered = time.monotonic()
    accepted = any(isinstance(event, OrderAccepted) for event in answer)
    heard = accepted and bench.ear.wait(lambda: _has_opened(bench.ear.seen(key)), EVENT_LIMIT_S)
    first = bench.ear.seen(key)[0].at if bench.ear.seen(key) else None
    cancelled = time.monotonic()
    acknowledged = any(isinstance(event, CancelAcknowledged) for event in bench.trade.cancel(_cancel(order)))
    bench.ear.wait(lambda: _has_ended(bench.ear.seen(key)), EVENT_LIMIT_S if accepted or acknowledged else 0.0)
    end = _end_of(bench, order)
    _note(bench, tracked, end)
    return _Pair(
        accepted=accepted,
        may_exist=not any(isinstance(event, OrderRejected | SubmitNotSent) for event in answer),
        end=None if end is None else end.state,
        event_s=first - began if heard and first is not None else None,
        was_event_first=first is not None and first < answered,
        terminal_s=None if end is None else end.at - cancelled,
        flow=tuple(dict.fromkeys(each.state.value for each in bench.ear.seen(key))),
    )


def _order(bench: _Bench) -> PlaceOrder:
    start, _ = bench.journal.lease_client_ids(1)
    return PlaceOrder(
        client_order_id=ClientOrderId(start),
        venue=bench.venue.name,
        symbol=bench.instrument.symbol,
        side=Side.BUY,
        quantity=bench.size,
        price=bench.price,
        time_in_force=TimeInForce.GTC,
        role=Role.MAKER,
        cycle_id=0,
        reference_price=bench.price,
        post_only=True,
        lifetime_s=60.0,
        owner="qualify",
    )


def _cancel(order: PlaceOrder) -> CancelOrder:
    return CancelOrder(venue=order.venue, symbol=order.symbol, client_order_id=order.client_order_id, reason="qualify")


def _has_opened(seen: Sequence[_Seen]) -> bool:
    return any(each.state is not OrderState.SUBMITTED for each in seen)


def _has_ended(seen: Sequence[_Seen]) -> bool:
    return any(each.state in CLOSED for each in seen)


def _end_of(bench: _Bench, order: PlaceOrder) -> _Seen | None:
    """The first terminal state that the stream told of, else the venue's word by REST; absence is none."""
    query = QueryOrder(venue=order.venue, symbol=order.symbol, client_order_id=order.client_order_id)
    heard = [each for each in bench.ear.seen(order.client_order_id) if each.state in CLOSED]
    asked = [] if heard else [event for event in bench.query.query_order(query) if isinstance(event, OrderReported)]
    read = [_Seen(event.state, time.monotonic()) for event in asked if event.state in CLOSED]
    return next(iter(heard + read), None)


def _note(bench: _Bench, tracked: TrackedOrder, end: _Seen | None) -> None:
    if end is not None:
        tracked.move(end.state)
        bench.journal.note(OrderChanged(order=tracked.snapshot(), at=time.monotonic()))


def _is_over(end: OrderState | None) -> bool:
    """Seen to end, and nothing was bought."""
    return end is not None and end is not OrderState.FILLED


def _pair_rows(results: Sequence[_Pair]) -> list[Row]:
    accepted = [result for result in results if result.accepted]
    sent = [result for result in results if result.may_exist]
    ended = [result.terminal_s for result in sent if result.terminal_s is not None]
    flows = sorted({" > ".join(result.flow) for result in accepted})
    first = sum(result.was_event_first for result in accepted)
    return [
        Row("orders accepted", f"{len(accepted)} of {len(results)}"),
        Row("cancel reliability", f"{len(ended)} of {len(sent)} seen to end"),
        Row("order status flow seen", "; ".join(flows) or "none"),
        Row("place to event", _spread([result.event_s for result in accepted if result.event_s is not None])),
        Row("cancel to terminal state", _spread(ended)),
        Row("event before the REST answer", f"{first} of {len(accepted)}"),
    ]


def _fallback(bench: _Bench) -> tuple[str, OrderState | None]:
    """A living order as the stream, the single look-up and the list show it, and the position by REST; and the order's end, where seen."""
    order = _order(bench)
    bench.journal.record_intent(order, bench.epoch)
    bench.trade.place(order)
    key, symbol, venue = order.client_order_id, order.symbol, order.venue
    is_streamed = bench.ear.wait(lambda: _has_opened(bench.ear.seen(key)), EVENT_LIMIT_S)
    found = bench.query.query_order(QueryOrder(venue=venue, symbol=symbol, client_order_id=key))
    listed = bench.query.fetch_open_orders(FetchOpenOrders(venue=venue, symbol=symbol))
    position = bench.query.fetch_position(FetchPosition(venue=venue, symbol=symbol))
    bench.trade.cancel(_cancel(order))
    bench.ear.wait(lambda: _has_ended(bench.ear.seen(key)), EVENT_LIMIT_S)
    end = _end_of(bench, order)
    _note(bench, TrackedOrder(order, time.monotonic()), end)
    is_found = any(isinstance(event, OrderReported) and event.client_order_id == key for event in found)
    lists = [event for event in listed if isinstance(event, OpenOrdersFetched)]
    is_listed = any(each.client_order_id == key for event in lists for each in event.orders)
    is_read = any(isinstance(event, PositionReported) for event in position)
    answer = f"stream {_yes(is_streamed)}, look-up {_yes(is_found)}, list {_yes(is_listed)}, position read {_yes(is_read)}"
    return answer, None if end is None else end.state


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "never seen"
    ranked = sorted(seconds)
    p99 = ranked[min(int(len(ranked) * 0.99), len(ranked) - 1)]
    return f"p50 {statistics.median(ranked) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms ({len(ranked)} samples)"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _write(path: Path, venue: str, rows: Sequence[Row]) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    lines = [f"# Qualification of {venue}", "", f"Measured {when}.", "", "| question | answer |", "|---|---|"]
    lines += [f"| {row.question} | {row.answer.replace('|', '/')} |" for row in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def is_loopback(endpoints: Sequence[str]) -> bool:
    """Whether every URL stays on this computer; an empty list means the venue's own hosts."""
    hosts = [urlsplit(url).hostname for url in endpoints]
    return bool(hosts) and all(host in ("127.0.0.1", "localhost", "::1") for host in hosts)
