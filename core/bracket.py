"""The directional pilot on one venue: entry, then an OCO pair until flat, once or repeated. The entry is a capped IOC.

It enters only from flat with nothing pending, and never again over a position; what protects and ends the position is the pair's business.
"""

from __future__ import annotations

from decimal import Decimal

from core.client_ids import ClientIds
from core.exposure import ExposureLedger
from core.instrument import Instrument
from core.journal_state import JournalState
from core.messages import (
    Alert,
    AttemptFinished,
    AttemptStarted,
    BookLost,
    BookUpdated,
    ClientIdsLeased,
    CycleFinished,
    FeedChanged,
    FillRecorded,
    LedgerSnapshot,
    Message,
    OrderChanged,
    OrderDenied,
    PlaceOrder,
    QuoteSkipped,
    RunFinished,
    Stop,
    Tick,
    TradingStateChanged,
)
from core.oco_pair import OcoPair, PairSettings, PairState
from core.types import BPS, ZERO, Channel, FeedState, Priority, Role, Source, TimeInForce, TradingState

ENTRY_PAUSES_S = (0.5, 1.0, 2.0, 5.0)
BOOK_AGE_MAX_S = 2.0
ENTRY_DEADLINE_S = 1.0


class Bracket:
    """``handle(message, now)``: one instrument's books, feeds, orders and fills in; entry, legs, cancels and the cycle's facts out."""

    def __init__(
        self,
        instrument: Instrument,
        settings: PairSettings,
        size: Decimal,
        ids: ClientIds,
        *,
        epoch: int = 0,
        iterations: int = 0,
        done: int = 0,
        last_cycle_id: int = 0,
        released_cycle_id: int = 0,
        entered: Decimal = ZERO,
        entry_value: Decimal = ZERO,
    ) -> None:
        """``done``: brackets that earlier lives of this actor finished in this run; ``released_cycle_id``: the last one whose position the
        user took over. ``entered``, ``entry_value``: quantity and value of an unfinished bracket's entry fills (``entry_of``)."""
        self._instrument = instrument
        self._settings = settings
        self._size = size
        self._ids = ids
        self._epoch = epoch
        self._iterations = iterations
        self.ledger = ExposureLedger(ids.owner)
        self.pair = OcoPair(instrument, settings, ids, self.ledger, epoch=epoch)
        self.pair.cycle_id = self._cycle_id = last_cycle_id
        self._book: BookUpdated | None = None
        self._feeds: dict[Channel, FeedState] = {}
        self._state = TradingState.STARTING
        self._done = done
        self._released_cycle_id = released_cycle_id
        self._started_at: float | None = None
        self._entered, self._entry_value = entered, entry_value
        if entered > 0:
            self.pair.entry_price = entry_value / entered
        self._entry_misses = 0
        self._enter_at = 0.0
        self._is_entry_refused = False
        self._skip_reason = ""
        self._is_stopping = False
        self._is_finished = False

    def start(self, now: float) -> tuple[Message, ...]:
        """Ask for the state of all orders; nothing is decided before it has come."""
        return self.ledger.ask(self._epoch, now) + self._ids.ask(now)

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        out: tuple[Message, ...] = ()
        was_synced = self.ledger.is_synced
        self.ledger.apply(message)
        match message:
            case BookUpdated():
                self._book = message
            case BookLost():
                self._book = None
            case FeedChanged() if message.source is Source.WS:
                self._feeds[message.channel] = message.state
            case FillRecorded():
                out = self._filled(message, now)
            case OrderChanged():
                out = self._follow(message, now)
            case OrderDenied() if message.role is Role.ENTRY:
                self._entry_missed(now)
            case OrderDenied():
                self.pair.denied(message, now)
            case TradingStateChanged():
                self._state = message.state
            case LedgerSnapshot() if not was_synced:
                self._adopt(message, now)
            case ClientIdsLeased():
                self._ids.add(message)
            case Stop():
                self._is_stopping = True
                self.pair.end()
            case Tick():
                pass
            case _:
                return ()
        if not self.ledger.is_synced:
            return self.ledger.ask(self._epoch, now)
        return out + self._ids.ask(now) + self._step(now)

    # ---- facts ---------------------------------------------------------------------------------------------------------------

    def _adopt(self, snapshot: LedgerSnapshot, now: float) -> None:
        if snapshot.owner != self._ids.owner:
            return
        self.pair.adopt(snapshot.orders, now)
        self._cycle_id = self.pair.cycle_id = max(self._cycle_id, self.pair.cycle_id)
        is_held = abs(self.ledger.position(self._instrument.venue)) >= self._instrument.lot_size
        if is_held or self._entered > 0:
            self._started_at = now
        if is_held and 0 < self._cycle_id == self._released_cycle_id:
            self.pair.release(now)
        elif is_held and self.pair.entry_price is None:
            self.pair.close("the price of its entry is not known any more", now)

    def _filled(self, message: FillRecorded, now: float) -> tuple[Message, ...]:
        order, fill = message.order, message.fill
        if order is None:
            return ()
        if order.role is Role.ENTRY:
            self._entered += fill.quantity
            self._entry_value += fill.quantity * fill.price
            self.pair.entry_price = self._entry_value / self._entered
            self._entry_misses = 0
            self._started_at = now if self._started_at is None else self._started_at
        return self.pair.follow(order, now)

    def _follow(self, message: OrderChanged, now: float) -> tuple[Message, ...]:
        order = message.order
        if order.role is not Role.ENTRY or not order.is_closed or order.filled_quantity > 0:
            return self.pair.follow(order, now)
        self._entry_missed(now)
        if not order.permanent or self._is_entry_refused:
            return ()
        self._is_entry_refused = True
        text = f"{order.venue} refuses the entry for good: {order.reason}"
        return (Alert(level="critical", key="reduce", text=text, at=now),)

    def _entry_missed(self, now: float) -> None:
        self._enter_at = now + ENTRY_PAUSES_S[min(self._entry_misses, len(ENTRY_PAUSES_S) - 1)]
        self._entry_misses += 1

    # ---- the decision --------------------------------------------------------------------------------------------------------

    def _step(self, now: float) -> tuple[Message, ...]:
        before = self.pair.state
        out = self.pair.step(self._book, now)
        if self.pair.state is PairState.RELEASED:
            return out + (self._release(now) if self.pair.is_settled else ())
        if self.pair.state is not PairState.IDLE:
            return out
        if before is not PairState.IDLE or (self._entered > 0 and not self._has_pending):
            out += self._finish(now)
        if not self._has_pending:
            out += self._run_finished(now)
        if self._is_stopping or self._is_finished or self._is_entry_refused or self._has_pending:
            return out
        return out + self._enter(now)

    @property
    def _has_pending(self) -> bool:
        return any(True for _ in self.ledger.pending(makers=False))

    def _pause_reason(self, now: float) -> str | None:
        if self._state is not TradingState.ACTIVE:
            return f"trading state is {self._state.value}"
        if any(self._feeds.get(channel) is not FeedState.LIVE for channel in Channel):
            return "a feed is not live"
        book = self._book
        if book is None or now - book.received_at > BOOK_AGE_MAX_S or not book.bids or not book.asks:
            return "no fresh two-sided book"
        return None

    def _enter(self, now: float) -> tuple[Message, ...]:
        """A capped IOC from flat; the pair takes over with its first fill."""
        pause = self._pause_reason(now)
        if pause is not None:
            return self._skip(pause, now)
        if now < self._enter_at or self._ids.left == 0:
            return ()
        assert self._book is not None
        side = self._settings.side
        touch = (self._book.asks if side.sign > 0 else self._book.bids)[0].price
        price = self._instrument.price_passive(touch * (1 + side.sign * self._settings.close_ladder_bps[0] * BPS), side)
        is_retry = self._started_at is not None
        if not is_retry:
            self._cycle_id += 1
            self._started_at = now
        self.pair.cycle_id = self._cycle_id
        self._skip_reason = ""
        order = self._entry(price, touch, now)
        self.ledger.register(order)
        if is_retry:
            return (order,)
        started = AttemptStarted(cycle_id=self._cycle_id, phase="BUILD", side=side, target=self._size, basis_bps=ZERO, at=now)
        return (started, order)

    def _entry(self, price: Decimal, touch: Decimal, now: float) -> PlaceOrder:
        return PlaceOrder(
            client_order_id=self._ids.take(),
            venue=self._instrument.venue,
            symbol=self._instrument.symbol,
            side=self._settings.side,
            quantity=self._size,
            price=price,
            time_in_force=TimeInForce.IOC,
            role=Role.ENTRY,
            cycle_id=self._cycle_id,
            reference_price=touch,
            not_after=now + ENTRY_DEADLINE_S,
            priority=Priority.P2,
            owner=self._ids.owner,
            epoch=self._epoch,
        )

    def _finish(self, now: float) -> tuple[Message, ...]:
        """Flat again: the cycle's facts, and the end of the run where it was the last."""
        if self._started_at is None:
            return ()
        entered = self._entered
        facts: tuple[Message, ...] = (
            AttemptFinished(
                cycle_id=self._cycle_id,
                phase="BUILD",
                intended=self._size,
                filled=entered,
                requotes=0,
                cancels=0,
                reason="flat",
                at=now,
            ),
            CycleFinished(
                cycle_id=self._cycle_id,
                started_at=self._started_at,
                result="done" if entered > 0 else "no_fill",
                intended=self._size,
                filled=entered,
                requotes=0,
                cancels=0,
                skips=0,
                at=now,
            ),
        )
        self._started_at = None
        self._entered = self._entry_value = ZERO
        self.pair.entry_price = None
        self._done += 1
        return facts

    def _run_finished(self, now: float) -> tuple[Message, ...]:
        """The configured number of brackets is done; told by a rebuilt actor too, whose predecessor may not have been heard."""
        if self._is_finished or not self._iterations or self._done < self._iterations:
            return ()
        self._is_finished = True
        return (RunFinished(cycles=self._done, at=now),)

    def _release(self, now: float) -> tuple[Message, ...]:
        """The user took the position over: this run is done with it."""
        if self._is_finished:
            return ()
        self._is_finished = True
        return (RunFinished(cycles=self._done, at=now),)

    def _skip(self, reason: str, now: float) -> tuple[Message, ...]:
        if reason == self._skip_reason:
            return ()
        self._skip_reason = reason
        return (QuoteSkipped(cycle_id=self._cycle_id + 1, phase="BUILD", reason=reason, at=now),)

    def deadline(self, now: float) -> float | None:
        """When a Tick may do something."""
        pair_at = self.pair.deadline(now)
        waits = [at for at in (pair_at, self._enter_at if self._enter_at > now else None) if at is not None]
        return min(waits, default=None)


def entry_of(state: JournalState) -> tuple[Decimal, Decimal]:
    """Base quantity and quote value of the entry fills of the bracket that an earlier life began and neither finished nor handed over.

    It may be flat by now: it is finished, and counted, only when its legs are seen to have ended.
    """
    cycle_id = state.last_cycle_id
    if cycle_id <= max(state.last_finished_cycle_id, state.last_released_cycle_id):
        return ZERO, ZERO
    known = {event.fill.trade_id: event for event in (*state.recent_fills, *state.fills_since_flat)}
    orders = ((event.fill, event.order) for event in known.values() if event.order is not None)
    fills = [fill for fill, order in orders if order.role is Role.ENTRY and order.cycle_id == cycle_id]
    return sum((fill.quantity for fill in fills), ZERO), sum((fill.quantity * fill.price for fill in fills), ZERO)
