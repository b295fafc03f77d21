"""When to read one venue by REST: after a reconnect or a refused frame, on a schedule while orders live, and while fills are missing.

It holds the position as the sum of our fills and the audit of it against the venue's word; it never changes an order.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from core.messages import Alert, FetchFills, FetchOpenOrders, FetchPosition, Message
from core.reconciliation import VenueAudit
from core.types import ZERO, Priority, VenueId

FILL_FETCH_DELAY_S = 0.3
FILL_FETCH_RETRY_S = 1.0
FILL_FETCH_SLOW_S = 5.0
"""Once a person has been told: what no history of the last minutes shows takes longer to read."""
FILLS_MISSING_ALARM_S = 5.0
ORDERS_AUDIT_S = 15.0
BRACKET_AUDIT_S = 10.0
"""Where a position stands on its legs: a leg that is gone unheard leaves it without a stop."""
FILLS_AUDIT_S = 12.0
FILLS_LOOKBACK_S = 60.0
"""A read goes back so far behind the last complete one: histories show late."""
FILLS_LOOKBACK_MAX_S = 7 * 86_400.0
ROUND_ALARM_S = 60.0
POSITION_AUDIT_S = 30.0
RECONCILE_RETRY_S = 2.0
SECOND_ROUND_S = 1.0
"""A feed that came back is reconciled twice, so that continuity is shown and not assumed (core/fallback.py)."""
REREAD_PAUSE_S = 5.0
"""Between two rounds that refused frames begin: a stream of garbage makes no storm of reads."""
UNKNOWN_WORDS_KEPT = 100


class VenuePolicy(NamedTuple):
    """What the tracker must know of a venue: from its Capabilities and Instrument."""

    symbol: str
    lot_size: Decimal
    cancel_ttl_ms: int
    submit_bound_s: float
    audit_s: float | None = None
    """How often open orders and fills are read while orders live; None: each at its own pace."""


class VenueWatch:
    """One venue as the tracker sees it. ``tick`` and ``begin_round`` return the reads that are due."""

    def __init__(self, venue: VenueId, policy: VenuePolicy, position: Decimal = ZERO) -> None:
        self.venue = venue
        self.policy = policy
        self.audit = VenueAudit(venue, policy.lot_size)
        self.position = position
        self.is_live = False
        self.is_busy = False
        """Set by the tracker: some order of this venue is open, or one was placed in this run."""
        self._read_until = 0.0
        """Every fill up to here has been asked for, by a read that was answered."""
        self._unreconciled_since: float | None = None
        self._has_told_round = False
        self._fills_due_at: float | None = None
        self._missing_since: float | None = None
        self._missing_lookback_s = FILLS_LOOKBACK_S
        self._alarmed = False
        self._orders_audit_at = 0.0
        self._fills_audit_at = 0.0
        self._position_audit_at = 0.0
        self._round_retry_at = 0.0
        self._second_round_at: float | None = None
        self._reread_at: float | None = None
        self._reread_again_at = 0.0
        self._unknown_words: set[str] = set()

    def judge(self, now: float) -> tuple[Message, ...]:
        """Compare the position with the venue's last word on it; a mismatch that has gone is shown to be over by a new round."""
        had_alarmed = self.audit.has_alarmed
        out = self.audit.judge(self.position, now)
        if had_alarmed and not self.audit.has_alarmed and self.is_live and not self.audit.is_open:
            self.audit.begin(now)
            self._round_retry_at = now
        return out

    def unread_since(self, at: float) -> None:
        """A life begins with what happened before it."""
        self._read_until = at + FILLS_LOOKBACK_S

    def fills_read(self, asked_at: float, lookback_s: float) -> None:
        """Only a read that begins before the last complete one ended leaves no gap; any other has shown nothing but some fills."""
        if asked_at - lookback_s <= self._read_until:
            self._read_until = max(self._read_until, asked_at)
            self.audit.fetched("fills", asked_at)

    def came_back(self, now: float) -> tuple[Message, ...]:
        """The account feed is live again after an outage of unknown content."""
        self._second_round_at = now + SECOND_ROUND_S
        return self.begin_round(now)

    def went_away(self, now: float) -> None:
        """The account feed is not live any more: whatever was read describes the past."""
        self._second_round_at = self._reread_at = None
        self.audit.cancel()

    def frame_rejected(self, now: float) -> tuple[Message, ...]:
        """A frame of the account feed was refused and may have been the only word of a fill: read everything, at once where the last such
        round is long enough ago. A feed that is not live is read on its return."""
        if not self.is_live:
            return ()
        if self._reread_at is None:
            self._reread_at = max(now, self._reread_again_at)
        return self._reread(now)

    def _reread(self, now: float) -> tuple[Message, ...]:
        """Twice, as after a return: what the frame said may not be in the history yet."""
        if self._reread_at is None or now < self._reread_at or self.audit.is_open:
            return ()
        self._reread_at, self._reread_again_at = None, now + REREAD_PAUSE_S
        self._second_round_at = now + SECOND_ROUND_S
        return self.begin_round(now)

    def begin_round(self, now: float) -> tuple[Message, ...]:
        """Read everything anew: fills from where the last complete read ended, open orders, position."""
        self.audit.begin(now)
        self._round_retry_at = now + RECONCILE_RETRY_S
        self._orders_audit_at = self._fills_audit_at = self._position_audit_at = now
        return self._ask(self.audit.missing, now)

    def _lookback_s(self, now: float) -> float:
        return now - self._read_until + FILLS_LOOKBACK_S

    def _ask(self, missing: frozenset[str], now: float) -> tuple[Message, ...]:
        symbol = self.policy.symbol
        reads: dict[str, Message] = {
            "fills": FetchFills(venue=self.venue, symbol=symbol, lookback_s=self._lookback_s(now), priority=Priority.P1),
            "orders": FetchOpenOrders(venue=self.venue, symbol=symbol),
            "position": FetchPosition(venue=self.venue, symbol=symbol),
        }
        return tuple(read for what, read in reads.items() if what in missing)

    def _ask_again(self, now: float) -> tuple[Message, ...]:
        """The round is not over. Reads that a throttled venue has not answered yet are repeated alone, so that every round ends; a round
        that has read everything and still disagrees starts over."""
        if not self.audit.missing:
            return self.begin_round(now)
        self._round_retry_at = now + RECONCILE_RETRY_S
        return self._ask(self.audit.missing, now)

    def read_failed(self, query: str, now: float) -> None:
        """A read got no answer: a running round asks again soon, and an audit does not wait for its next turn."""
        self._round_retry_at = min(self._round_retry_at, now + RECONCILE_RETRY_S)
        if query == "FetchOpenOrders":
            self._orders_audit_at = min(self._orders_audit_at, now + RECONCILE_RETRY_S - self._orders_audit_s)
        elif query == "FetchFills":
            self._fills_audit_at = min(self._fills_audit_at, now + RECONCILE_RETRY_S - self._fills_audit_s)

    def expect_fills(self, now: float) -> None:
        """The venue told of more filled quantity than the fills seen add up to: fetch them unless the stream brings them first."""
        if self._fills_due_at is None:
            self._fills_due_at = now + FILL_FETCH_DELAY_S

    def tick(self, now: float, *, owes_fills: bool, has_open: bool) -> tuple[Message, ...]:
        """Everything due at ``now``. ``owes_fills``: some order's filled quantity is above its recorded fills."""
        judged = self.judge(now) + self._long_round(now)
        if self.audit.is_open and now >= self._round_retry_at:
            return judged + self._ask_again(now)
        if self._second_round_at is not None and now >= self._second_round_at and not self.audit.is_open:
            self._second_round_at = None
            return judged + self.begin_round(now)
        out = judged + self._reread(now) + self._missing_fills(now, owes_fills=owes_fills)
        if not self.is_live:
            return out
        symbol = self.policy.symbol
        if has_open and now - self._orders_audit_at >= self._orders_audit_s:
            self._orders_audit_at = now
            out += (FetchOpenOrders(venue=self.venue, symbol=symbol),)
        if self.is_busy and now - self._fills_audit_at >= self._fills_audit_s:
            self._fills_audit_at = now
            out += (FetchFills(venue=self.venue, symbol=symbol, lookback_s=self._lookback_s(now)),)
        if now >= self._position_due_at:
            self._position_audit_at = now
            out += (FetchPosition(venue=self.venue, symbol=symbol),)
        return out

    def _long_round(self, now: float) -> tuple[Message, ...]:
        """A round that does not end keeps the quotes away: a person is told why, once."""
        if not self.audit.is_open:
            self._unreconciled_since, self._has_told_round = None, False
            return ()
        self._unreconciled_since = now if self._unreconciled_since is None else self._unreconciled_since
        if self._has_told_round or now - self._unreconciled_since < ROUND_ALARM_S:
            return ()
        self._has_told_round = True
        lacking = ", ".join(sorted(self.audit.missing)) or "a position that agrees"
        text = f"{self.venue} has not been reconciled for {ROUND_ALARM_S:.0f} s; still without: {lacking}"
        return (Alert(level="warning", key=f"unreconciled-{self.venue}", text=text, at=now),)

    def _missing_fills(self, now: float, *, owes_fills: bool) -> tuple[Message, ...]:
        """A venue that says "filled" and shows no fills: nothing is invented, it is asked again and ever farther back, for our clocks may
        have stood still while it traded, and a person is told."""
        if not owes_fills:
            self._fills_due_at = self._missing_since = None
            self._missing_lookback_s = FILLS_LOOKBACK_S
            self._alarmed = False
            return ()
        if self._fills_due_at is None or now < self._fills_due_at:
            return ()
        self._fills_due_at = now + (FILL_FETCH_SLOW_S if self._alarmed else FILL_FETCH_RETRY_S)
        self._missing_since = now if self._missing_since is None else self._missing_since
        lookback_s = max(self._missing_lookback_s, self._lookback_s(now))
        if self._alarmed:
            self._missing_lookback_s = min(2 * self._missing_lookback_s, FILLS_LOOKBACK_MAX_S)
        fetch = FetchFills(venue=self.venue, symbol=self.policy.symbol, lookback_s=lookback_s, priority=Priority.P1)
        if self._alarmed or now - self._missing_since < FILLS_MISSING_ALARM_S:
            return (fetch,)
        self._alarmed = True
        text = f"{self.venue} reports filled quantity without showing the fills"
        return (fetch, Alert(level="warning", key=f"fills-missing-{self.venue}", text=text, at=now))

    def unknown_word(self, word: str, now: float) -> tuple[Message, ...]:
        """The venue told of an order state that no rule knows; a person hears of each such word once."""
        if word in self._unknown_words or len(self._unknown_words) >= UNKNOWN_WORDS_KEPT:
            return ()
        self._unknown_words.add(word)
        text = f"{self.venue} reports an order in a state that is not understood: {word}"
        return (Alert(level="warning", key=f"unknown-state-{self.venue}", text=text, at=now),)

    @property
    def _orders_audit_s(self) -> float:
        return self.policy.audit_s or ORDERS_AUDIT_S

    @property
    def _fills_audit_s(self) -> float:
        return self.policy.audit_s or FILLS_AUDIT_S

    @property
    def _position_due_at(self) -> float:
        """Sooner while it differs, once that has lasted: every fill makes the two differ until the stream has told of both."""
        routine, since = self._position_audit_at + POSITION_AUDIT_S, self.audit.differs_since
        return routine if since is None else min(routine, max(self._position_audit_at, since) + RECONCILE_RETRY_S)

    def deadline(self, *, has_open: bool) -> float | None:
        """Earliest moment at which ``tick`` would return something."""
        due = [at for at in (self._fills_due_at, self.audit.deadline()) if at is not None]
        if self.audit.is_open:
            due.append(self._round_retry_at)
        else:
            due += [at for at in (self._second_round_at, self._reread_at) if at is not None]
        if self.is_live:
            due.append(self._position_due_at)
            due += [self._fills_audit_at + self._fills_audit_s] * self.is_busy
            due += [self._orders_audit_at + self._orders_audit_s] * has_open
        return min(due, default=None)
