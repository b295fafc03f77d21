"""What a planted bug is made of."""

from __future__ import annotations

from typing import NamedTuple

from core.journal_state import JournalState
from core.order_tracker import OrderTracker
from core.recovery import tracker_of
from core.types import VenueId
from core.venue_watch import VenuePolicy
from tests.sim.bot import Parts


class Mutant(NamedTuple):
    """``within``: it must be caught in so many seeds from ``since`` on; a rare one begins near where it is known to show."""

    bug: str
    parts: Parts
    within: int
    since: int = 0


def with_tracker(kind: type[OrderTracker]) -> Parts:
    """The real recovery, and then this kind of tracker."""

    def make(state: JournalState, policies: dict[VenueId, VenuePolicy], now: float, wall_ms: int, born_ms: int) -> OrderTracker:
        tracker = tracker_of(state, policies, now, wall_ms, born_ms)
        tracker.__class__ = kind
        return tracker

    return Parts(tracker=make)
