"""The write-ahead record of the simulated process: what is durable survives a kill, queued notes survive by chance only.

Same order of events as adapters/journal.py: a commit writes all queued notes first, then its own record.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from core.journal_state import Fence, Intent, JournalFold, JournalState, Lease, Stopped
from core.messages import Message, PlaceOrder
from core.ports import JournalFailed
from core.types import ClientOrderId


class SimJournal:
    """``core.ports.Journal`` in memory. ``records`` are durable, in order, with the wall time of their writing.

    While ``is_full`` nothing can be written: what is queued stays queued, everything else raises JournalFailed.
    """

    def __init__(self, wall_ms: Callable[[], int], first_client_id: int = 1) -> None:
        self._wall_ms = wall_ms
        self._queued: list[tuple[Message, int]] = []
        self._fold = JournalFold()
        self.records: list[tuple[Message, int]] = []
        self.intents: set[ClientOrderId] = set()
        self.is_full = False
        self._first_client_id = first_client_id

    def begin_epoch(self) -> int:
        epoch = self._fold.epoch + 1
        self._commit(Fence(epoch=epoch))
        return epoch

    def record_intent(self, order: PlaceOrder, epoch: int) -> None:
        self._commit(Intent(order=order, epoch=epoch))
        self.intents.add(order.client_order_id)

    def note(self, message: Message) -> None:
        self._queued.append((message, self._wall_ms()))

    @property
    def has_queued(self) -> bool:
        return bool(self._queued)

    def flush(self) -> None:
        if self._queued:
            self._check_room()
        for record in self._queued:
            self._append(*record)
        self._queued.clear()

    def lease_client_ids(self, count: int) -> tuple[int, int]:
        start = max(self._fold.next_client_id, self._first_client_id)
        self._commit(Lease(end=start + count))
        return start, start + count

    def fold(self) -> JournalState:
        return self._fold.state()

    def stop(self) -> None:
        self._commit(Stopped())

    def kill(self, chance: random.Random) -> None:
        """The process dies: the newest queued notes are lost, the older ones had their flush."""
        kept = chance.randint(0, len(self._queued)) if not self.is_full else 0
        for record in self._queued[:kept]:
            self._append(*record)
        self._queued.clear()

    def _check_room(self) -> None:
        if self.is_full:
            raise JournalFailed("disk full")

    def _commit(self, record: Message) -> None:
        self._check_room()
        self.flush()
        self._append(record, self._wall_ms())

    def _append(self, record: Message, wall_ms: int) -> None:
        self._fold.apply(record, wall_ms)
        self.records.append((record, wall_ms))
