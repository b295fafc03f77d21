"""Client order ids handed out from ranges that the journal has leased durably; a crash skips the rest of a range."""

from __future__ import annotations

from core.messages import ClientIdsLeased, LeaseClientIds, Message
from core.types import ClientOrderId

LOW_WATER = 200
LEASE_SIZE = 2_000
ASK_AGAIN_S = 1.0


class OutOfClientIds(Exception):
    """No leased id is left: nothing may be placed until the next lease arrives."""


class ClientIds:
    """Rising ids of one owner; ``ask`` wants more well before the range ends."""

    def __init__(self, owner: str, start: int = 0, end: int = 0) -> None:
        self.owner = owner
        self._ranges = [(start, end)] if end > start else []
        self._asked_at = float("-inf")

    def take(self) -> ClientOrderId:
        """The next id, never given twice. Raises OutOfClientIds."""
        if not self._ranges:
            raise OutOfClientIds(self.owner)
        start, end = self._ranges[0]
        if start + 1 < end:
            self._ranges[0] = (start + 1, end)
        else:
            del self._ranges[0]
        return ClientOrderId(start)

    @property
    def left(self) -> int:
        return sum(end - start for start, end in self._ranges)

    def ask(self, now: float) -> tuple[Message, ...]:
        """A request for more ids when they run low; repeated while none arrives, since an answer may be lost with its actor."""
        if self.left > LOW_WATER or now - self._asked_at < ASK_AGAIN_S:
            return ()
        self._asked_at = now
        return (LeaseClientIds(owner=self.owner),)

    def add(self, lease: ClientIdsLeased) -> None:
        if lease.owner == self.owner:
            self._ranges.append((lease.start, lease.end))
            self._asked_at = float("-inf")
