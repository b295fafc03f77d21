"""Keeps the books of the run: journal notes, CSV rows, pairs and totals, the person's view, the log. Nothing trades on what it does.

If it dies, trading goes on; what it missed is in the venue's own records and, for fills and orders, in the journal (the tracker notes those).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol

from actors.base import Actor, Identity
from core.exposure import ExposureLedger
from core.fee_watch import FeeWatch
from core.journal_state import BooksOpened, FillBooked, FillKey, JournalState, fill_key
from core.messages import (
    Alert,
    AttemptFinished,
    AttemptStarted,
    BookLost,
    BookUpdated,
    CycleFinished,
    FeedChanged,
    FillRecorded,
    LedgerSnapshot,
    Message,
    OrderChanged,
    OrderSubmitted,
    PairClosed,
    PairStateChanged,
    RateLimited,
    Tick,
    TradingStateChanged,
)
from core.pairing import PairLedger, PairRow
from core.ports import Journal, JournalFailed
from core.totals import RunStatus, RunTotals
from core.types import ZERO, Channel, FeedState, Source, TradingState, VenueId

DisplayEvent = PairRow | CycleFinished | Alert | TradingStateChanged | FeedChanged
SHOWN = (CycleFinished, Alert, TradingStateChanged, FeedChanged)
FLUSH_S = 0.25
PAUSE_S = 0.05
"""It lets a burst pass before it begins: its work on a fill must not compete with the fill's hedge for the interpreter."""
STATUS_S = 0.5


class Files(Protocol):
    """The CSV files of the state directory; a line that cannot be written is counted, not raised. ``pairs``: lines of pairs so far."""

    pairs: int

    def fill(self, event: FillRecorded) -> None: ...

    def pair(self, pair: PairRow) -> None: ...

    def cycle(self, cycle: CycleFinished, *, hedged: Decimal, carried: Decimal, api_calls: int, n429: int) -> None: ...


class View(Protocol):
    """What a person at the terminal sees."""

    def show(self, event: DisplayEvent) -> None: ...

    def status(self, status: RunStatus) -> None: ...


class Recorder(Actor):
    """``calls`` counts the requests granted to all venues so far; ``log`` writes one structured line."""

    def __init__(
        self,
        identity: Identity,
        journal: Journal,
        files: Files,
        view: View,
        log: Callable[[Message], None],
        pairs: PairLedger,
        totals: RunTotals,
        calls: Callable[[], int],
        route: Callable[[Message], None],
        read_journal: Callable[[], JournalState],
        fees: FeeWatch,
        *,
        is_successor: bool = False,
    ) -> None:
        """Fills in the journal that no recorder has booked are booked here and now, on the starter's thread: the judge of the daily loss reads
        the journal next. A successor does it on its own thread: who was before it may still hang in the same files."""
        super().__init__(identity)
        self._journal = journal
        self._files = files
        self._view = view
        self._log = log
        self._pairs = pairs
        self._totals = totals
        self._calls = calls
        self._route = route
        self._ledger = ExposureLedger(identity.name)
        self._state = TradingState.STARTING
        self._cycle_id = 0
        self._calls_before = 0
        self._n429 = 0
        self._status_at = 0.0
        self._feeds: dict[tuple[VenueId, Channel, Source], FeedState] = {}
        self._is_rested = False
        self._read_journal = read_journal
        self._fees = fees
        self._is_successor = is_successor
        self._made_good: frozenset[FillKey] = frozenset()
        """Some of them may still be told: they were on their way when the journal was read."""
        self._pairs_written = 0
        """Lines of pairs that were written and not booked: the first pairs that the unbooked fills complete."""
        if not is_successor:
            self._make_good()

    def started(self) -> None:
        if self._is_successor:
            self._make_good()
        self._arm()

    def stopped(self) -> None:
        self._flush()

    def handle(self, message: Message) -> None:
        if not self._is_rested:
            time.sleep(PAUSE_S)
        if isinstance(message, (BookUpdated, BookLost)):
            self._pairs.handle(message)
        elif isinstance(message, Tick):
            self._tick()
        else:
            self._record(message)
        self._arm()
        self._is_rested = not self.inbox.empty()

    def _arm(self) -> None:
        if self.inbox.wake_at is None:
            self.inbox.wake_at = time.monotonic() + FLUSH_S

    def _flush(self) -> None:
        """Notes that cannot be written stay queued; trading goes on reducing until the disk takes them (RELIABILITY.md P6)."""
        try:
            self._journal.flush()
        except JournalFailed as error:
            text = f"the journal cannot be written: {error}"
            self._route(Alert(level="critical", key="journal", text=text, at=time.monotonic()))

    def _tick(self) -> None:
        self._flush()
        now = time.monotonic()
        for message in self._ledger.ask(self.identity.epoch, now):
            self._route(message)
        if now - self._status_at >= STATUS_S:
            self._status_at = now
            self._view.status(self.run_status())

    def _record(self, message: Message) -> None:
        if isinstance(message, FeedChanged) and self._is_old_news(message):
            return
        self._ledger.apply(message)
        if not isinstance(message, LedgerSnapshot):
            self._log(message)
            if isinstance(message, SHOWN):
                self._view.show(message)
        match message:
            case FillRecorded():
                if fill_key(message.fill) not in self._made_good:
                    self._book(message)
                for alert in self._fees.judge(message.fill, time.monotonic()):
                    self._route(alert)
            case OrderSubmitted():
                self._pairs.handle(message)
            case AttemptStarted():
                self._cycle_id = message.cycle_id
                self._journal.note(message)
                self._pairs.handle(message)
                self._totals.handle(message)
            case AttemptFinished():
                self._journal.note(message)
                self._totals.handle(message)
            case CycleFinished():
                self._finish_cycle(message)
            case PairStateChanged():
                self._journal.note(message)
            case TradingStateChanged():
                self._state = message.state
            case RateLimited():
                self._n429 += 1
            case OrderChanged() | _:
                pass

    def _is_old_news(self, message: FeedChanged) -> bool:
        """A feed tells its state again to whoever was built anew; that is nothing to write down."""
        key = (message.venue, message.channel, message.source)
        before, self._feeds[key] = self._feeds.get(key), message.state
        return before is message.state

    def _make_good(self) -> None:
        """What a kill, or a crash of the recorder, cut off between the journal and the files; no line is written twice."""
        state = self._read_journal()
        self._made_good = state.unbooked
        self._pairs_written = 0 if state.pairs_booked is None else max(self._files.pairs - state.pairs_booked, 0)
        for event in state.recent_fills:
            self._files.fill(event)
        self._pairs.resume(state.booked_fills)
        for event in state.unbooked_fills:
            self._book(event)
        self._pairs_written = 0
        self._journal.note(BooksOpened(pairs=self._files.pairs))

    def _book(self, event: FillRecorded) -> None:
        """Note last that it is in the books: whatever ends this actor before, the next one does it. One that hung in a file until it was
        replaced leaves all the rest to its successor."""
        self._files.fill(event)
        if self.is_revoked:
            return
        rows = self._pairs.handle(event)
        if not self._write(rows):
            return
        self._totals.handle(event)
        for row in rows:
            self._totals.handle(row)
            self._view.show(row)
            self._route(PairClosed(cycle_id=row.cycle_id, net=row.net_usd, at=row.at))
        net = sum((row.net_usd for row in rows), ZERO)
        fill = event.fill
        self._journal.note(FillBooked(venue=fill.venue, trade_id=fill.trade_id, net=net, pairs=self._files.pairs))

    def _write(self, rows: tuple[PairRow, ...]) -> bool:
        """False where it was replaced meanwhile."""
        for row in rows:
            if self._pairs_written:
                self._pairs_written -= 1
            else:
                self._files.pair(row)
        return not self.is_revoked

    def _finish_cycle(self, cycle: CycleFinished) -> None:
        self._journal.note(cycle)
        self._totals.handle(cycle)
        hedged, carried = self._totals.cycle_quantities(cycle.cycle_id)
        calls = self._calls()
        self._files.cycle(cycle, hedged=hedged, carried=carried, api_calls=calls - self._calls_before, n429=self._n429)
        self._calls_before, self._n429 = calls, 0

    def run_status(self) -> RunStatus:
        return RunStatus(
            state=self._state,
            cycle_id=self._cycle_id,
            positions=tuple(self._ledger.positions.items()),
            net_delta=self._ledger.net,
            summary=self._totals.summary(),
        )

    def health(self) -> Mapping[str, object]:
        return {"status": self.run_status()}
