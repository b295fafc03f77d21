"""ACTIVE, REDUCING, HALTED: moves down by itself, moves up only when everything is known to be well, out of HALTED never.

It judges; it sends nothing to a venue.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from core.exposure import ExposureLedger
from core.messages import (
    Alert,
    CycleFinished,
    FeedChanged,
    ForeignActivity,
    HedgeStalled,
    LedgerRequested,
    Message,
    OrderChanged,
    PairClosed,
    PositionMismatch,
    RateLimited,
    Stop,
    Tick,
    TradingStateChanged,
    VenueReconciled,
)
from core.types import Channel, ClientOrderId, FeedState, OrderState, Role, Source, TradingState, VenueId

QUIET_S = 60.0
"""How long nothing foreign and no stalled hedge must have happened before the way up is open again."""
FOREIGN_ORDERS_BEFORE_HALT = 3
FOREIGN_WINDOW_S = 10.0
"""A hand does not place so many orders in so short a time. A second bot does, and it hedges our hedges as we would hedge its own, for ever."""
STALLS_BEFORE_HALT = 3
STALL_WINDOW_S = 600.0
REFUSALS_MAX = 3
"""A stream refused so often in a row needs a person: every attempt had logged in anew."""
THROTTLES_BEFORE_REST = 3
THROTTLE_WINDOW_S = 60.0
"""A venue that refuses so often for the rate gets no quotes until fewer of its refusals are as young: what is left is for hedges."""
LOSS_WINDOW_S = 86_400.0
HALTING_ALERTS = frozenset({"overfill", "fat-finger", "halt"})
"""Facts that no state of the market explains: only a person may go on from there."""
HALTING_WHEN_FLAT = frozenset({"clock", "instrument"})
"""Critical ones of these make every further order doubtful, but what was filled is hedged first."""


class Result(NamedTuple):
    """``net`` quote currency, negative = lost; ``at`` monotonic seconds, before the start of the process for an earlier life's."""

    net: Decimal
    at: float


class TradingStateMachine:
    """``handle(message, now)`` returns a TradingStateChanged whenever the state moves, with the reason a person reads."""

    def __init__(
        self,
        venues: Iterable[VenueId],
        lot: Decimal,
        max_daily_loss: Decimal,
        *,
        results: Iterable[Result] = (),
        epoch: int = 0,
        owner: str = "risk",
    ) -> None:
        """``results``: what earlier lives, and this one before a restart of its judge, have earned or lost; oldest first."""
        self._venues = tuple(venues)
        self._streams = tuple((venue, channel) for venue in self._venues for channel in Channel)
        self._lot = lot
        self._max_daily_loss = max_daily_loss
        self._epoch = epoch
        self.ledger = ExposureLedger(owner)
        self.state = TradingState.STARTING
        self.reason = "starting"
        self._reconciled: set[VenueId] = set()
        self._mismatched: set[VenueId] = set()
        self._feeds: dict[tuple[VenueId, Channel], FeedState] = {}
        self._refusals: Counter[tuple[VenueId, Channel]] = Counter()
        self._foreign: dict[tuple[VenueId, str], float] = {}
        """The strangers' orders of the last ten seconds, and when each was first heard of."""
        self._foreign_at: float | None = None
        self._stalls: deque[float] = deque(maxlen=STALLS_BEFORE_HALT)
        self._throttled: dict[VenueId, deque[float]] = defaultdict(lambda: deque(maxlen=THROTTLES_BEFORE_REST))
        self._journal_failed_at: float | None = None
        self._given_up: str | None = None
        self._halt_reason: str | None = None
        self._results = deque(results)
        self._net = sum((result.net for result in self._results), Decimal(0))
        self._refused: OrderedDict[ClientOrderId, float] = OrderedDict()
        """The last quotes that were refused for good, and when each was first heard of."""

    def start(self, now: float) -> tuple[Message, ...]:
        return self.ledger.ask(self._epoch, now)

    def halt(self, reason: str, now: float) -> tuple[Message, ...]:
        """Kill switch, failed part, overfill: only cancels from now on, for good."""
        return self._move(TradingState.HALTED, reason, now)

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:  # noqa: C901  one arm a message type
        self.ledger.apply(message)
        match message:
            case FeedChanged() if message.source is Source.WS:
                return self._feed(message, now) + self.ledger.ask(self._epoch, now) + self._judge(now)
            case VenueReconciled():
                self._reconciled.add(message.venue)
                self._mismatched.discard(message.venue)
            case PositionMismatch():
                self._mismatched.add(message.venue)
            case ForeignActivity():
                self._met_stranger(message, now)
                if self._is_rivalled:
                    return self.halt("another program trades this account", now)
            case HedgeStalled():
                self._stalls.append(now)
                if message.is_permanent:
                    self._halt_reason = message.reason
            case RateLimited():
                self._throttled[message.venue].append(now)
            case OrderChanged():
                self._order(message, now)
            case PairClosed():
                self._results.append(Result(message.net, message.at))
                self._net += message.net
            case Alert() if message.key == "reduce":
                self._given_up = message.text
            case Alert() if message.key == "journal":
                self._journal_failed_at = now
            case Alert() if message.key in HALTING_WHEN_FLAT and message.level == "critical":
                self._halt_reason = message.text
            case Alert() if message.key in HALTING_ALERTS:
                return self.halt(message.text, now)
            case LedgerRequested():
                return self._tell_again(message, now)
            case Stop():
                return self._move(TradingState.STOPPING, message.reason, now)
            case Tick() | CycleFinished():
                pass
            case _:
                return ()
        return self.ledger.ask(self._epoch, now) + self._judge(now)

    def _tell_again(self, message: LedgerRequested, now: float) -> tuple[Message, ...]:
        """Somebody else was built anew and knows no state."""
        if message.owner == self.ledger.owner or self.state is TradingState.STARTING:
            return ()
        return (TradingStateChanged(state=self.state, reason=self.reason, at=now),)

    def _feed(self, message: FeedChanged, now: float) -> tuple[Message, ...]:
        """What was read before the account feed's last change of state describes the past, and may have been told late. The first word of a
        live feed is no change: a judge that was built anew may hear of a reconciliation before it."""
        key = (message.venue, message.channel)
        known = self._feeds.get(key, FeedState.LIVE)
        if message.channel is Channel.ACCOUNT and known is not message.state:
            self._reconciled.discard(message.venue)
        self._feeds[key] = message.state
        if message.state is FeedState.LIVE:
            self._refusals[key] = 0
        if not message.is_refused:
            return ()
        self._refusals[key] += 1
        if self._refusals[key] != REFUSALS_MAX:
            return ()
        name = f"{message.venue} {message.channel.value}"
        text = f"{name} stream: refused {REFUSALS_MAX} times in a row: {message.reason}"
        return (Alert(level="critical", key=f"refused {name}", text=text, at=now),)

    def _met_stranger(self, message: ForeignActivity, now: float) -> None:
        self._foreign_at = now
        self._foreign = {key: at for key, at in self._foreign.items() if now - at < FOREIGN_WINDOW_S}
        self._foreign.setdefault((message.venue, message.order), now)

    @property
    def _is_rivalled(self) -> bool:
        return len(self._foreign) >= FOREIGN_ORDERS_BEFORE_HALT

    def _order(self, message: OrderChanged, now: float) -> None:
        order = message.order
        if order.role is Role.MAKER and order.state is OrderState.REJECTED and order.permanent:
            self._refused.setdefault(order.client_order_id, now)
            if len(self._refused) > STALLS_BEFORE_HALT:
                self._refused.popitem(last=False)

    def _judge(self, now: float) -> tuple[Message, ...]:
        """Down at once, up only from here. Failed hedges halt once delta is flat: HALTED would strand the unwind half-way."""
        if self.state in (TradingState.HALTED, TradingState.STOPPING):
            return ()
        if _recent(self._stalls, now) >= STALLS_BEFORE_HALT:
            self._halt_reason = "hedges failed three times in ten minutes"
        if _recent(self._refused.values(), now) >= STALLS_BEFORE_HALT:
            self._halt_reason = "the maker venue refused three quotes for good in ten minutes"
        if self._halt_reason is not None and self.ledger.is_synced and abs(self.ledger.net) < self._lot:
            return self.halt(self._halt_reason, now)
        reason = self._worry(now)
        if reason is None:
            return self._move(TradingState.ACTIVE, "all feeds live, reconciled, flat delta", now) if self._may_rise() else ()
        return self._move(TradingState.REDUCING, reason, now)

    def _worry(self, now: float) -> str | None:
        """What forbids quoting; None = nothing does."""
        if self._given_up is not None:
            return self._given_up
        if self._halt_reason is not None:
            return self._halt_reason
        if self._mismatched:
            return f"{', '.join(sorted(self._mismatched))} reports a position that our fills do not explain"
        if any(times >= REFUSALS_MAX for times in self._refusals.values()):
            return "a stream is refused again and again"
        if self._foreign_at is not None and now - self._foreign_at < QUIET_S:
            return "somebody else trades this account"
        if self._stalls and now - self._stalls[-1] < QUIET_S:
            return "the hedge was stalled"
        if self._refused and now - max(self._refused.values()) < QUIET_S:
            return "the maker venue refused a quote for good"
        throttled = [venue for venue, times in self._throttled.items() if _is_full_of(times, now)]
        if throttled:
            return f"{', '.join(sorted(throttled))} has refused {THROTTLES_BEFORE_REST} requests for the rate within a minute"
        if self._journal_failed_at is not None and now - self._journal_failed_at < QUIET_S:
            return "the journal cannot be written"
        if self._daily_loss(now) >= self._max_daily_loss:
            return f"daily loss limit {self._max_daily_loss} reached"
        return None

    def _daily_loss(self, now: float) -> Decimal:
        while self._results and now - self._results[0].at >= LOSS_WINDOW_S:
            self._net -= self._results.popleft().net
        return -self._net

    def _may_rise(self) -> bool:
        """Both venues' streams live and reconciled, delta below a lot, no unknown order."""
        return (
            self._reconciled >= set(self._venues)
            and all(self._feeds.get(stream) is FeedState.LIVE for stream in self._streams)
            and self.ledger.is_synced
            and abs(self.ledger.net) < self._lot
            and not self.ledger.has_unknown
        )

    def _move(self, state: TradingState, reason: str, now: float) -> tuple[Message, ...]:
        if state is self.state or self.state is TradingState.HALTED:
            return ()
        self.state, self.reason = state, reason
        return (TradingStateChanged(state=state, reason=reason, at=now),)

    def deadline(self, now: float) -> float | None:
        """When a quiet period may have ended."""
        return now + 1.0 if self.state in (TradingState.REDUCING, TradingState.STARTING) else None


def _recent(times: Iterable[float], now: float) -> int:
    return len([at for at in times if now - at < STALL_WINDOW_S])


def _is_full_of(times: deque[float], now: float) -> bool:
    """Whether as many refusals as it holds are all young."""
    return len(times) == THROTTLES_BEFORE_REST and now - times[0] < THROTTLE_WINDOW_S
