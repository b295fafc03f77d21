"""Venue report against own state: has everything been read since the feed came back, and do the positions agree?

It never turns a difference into a trade; it only says that there is one.
"""

from __future__ import annotations

from decimal import Decimal

from core.messages import Alert, Message, PositionMismatch, VenueReconciled
from core.types import VenueId

MISMATCH_TOLERANCE_S = 10.0
"""A position report may lag our fills by this long before the difference is an alarm (STRATEGY.md D12 allows 20)."""

READS = frozenset({"fills", "orders", "position"})


class VenueAudit:
    """Reconciliation of one venue: a round is complete when fills, open orders and position were all asked for after it began."""

    def __init__(self, venue: VenueId, lot_size: Decimal) -> None:
        self.venue = venue
        self._lot = lot_size
        self._round_since: float | None = None
        self._fetched: set[str] = set()
        self._reported: Decimal | None = None
        self._differs_since: float | None = None
        self._alarmed = False

    def begin(self, now: float) -> None:
        """A new round: answers to questions asked before ``now`` do not count."""
        self._round_since = now
        self._fetched.clear()

    def cancel(self) -> None:
        """The feed is gone: whatever was read describes the past."""
        self._round_since = None

    @property
    def is_open(self) -> bool:
        return self._round_since is not None

    @property
    def missing(self) -> frozenset[str]:
        """What the running round has not read yet."""
        return READS - self._fetched

    def fetched(self, what: str, asked_at: float) -> None:
        if self._round_since is not None and asked_at >= self._round_since:
            self._fetched.add(what)

    def reported(self, quantity: Decimal, *, asked_at: float | None) -> None:
        """The venue's word on the position; ``asked_at`` None for a stream frame."""
        self._reported = quantity
        if asked_at is not None:
            self.fetched("position", asked_at)

    def judge(self, expected: Decimal, now: float) -> tuple[Message, ...]:
        """Compare with the sum of our fills. PositionMismatch and its alarm once an episode; VenueReconciled when a round is complete."""
        if self._reported is None:
            return ()
        if abs(self._reported - expected) >= self._lot:
            return self._differing(expected, now)
        self._differs_since, self._alarmed = None, False
        if self._round_since is not None and not self.missing:
            self._round_since = None
            return (VenueReconciled(venue=self.venue, at=now),)
        return ()

    def _differing(self, expected: Decimal, now: float) -> tuple[Message, ...]:
        self._differs_since = now if self._differs_since is None else self._differs_since
        if self._alarmed or now - self._differs_since < MISMATCH_TOLERANCE_S:
            return ()
        self._alarmed = True
        assert self._reported is not None
        text = f"{self.venue} reports a position of {self._reported}, our fills add up to {expected}; nothing is traded on that"
        mismatch = PositionMismatch(venue=self.venue, reported=self._reported, expected=expected, at=now)
        return (mismatch, Alert(level="critical", key="position", text=text, at=now))

    @property
    def has_alarmed(self) -> bool:
        """Whether the running difference has been told as a mismatch."""
        return self._alarmed

    @property
    def differs_since(self) -> float | None:
        return self._differs_since

    def deadline(self) -> float | None:
        """When a difference becomes an alarm."""
        return None if self._differs_since is None or self._alarmed else self._differs_since + MISMATCH_TOLERANCE_S
