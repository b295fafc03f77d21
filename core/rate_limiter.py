"""Admission in front of one venue: token buckets by class, strict priorities, a reserve for hedges and cancels.

A cancel is never dropped and nothing is granted above ``rate x window + burst`` of its bucket and of the linked ``total``. This module
never sends: it answers with the commands that may leave now, oldest of the highest priority first.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from core.health import LimitHealth
from core.messages import (
    Alert,
    CancelAll,
    CancelOrder,
    FetchBook,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    Message,
    OrderDenied,
    PlaceOco,
    PlaceOrder,
    Query,
    QueryFailed,
    QueryOrder,
    RateLimited,
    RenewDeadMan,
    Tick,
    TradeCommand,
)
from core.types import Priority, VenueId

CLASSES = ("create", "cancel", "query", "other")
TOTAL = "total"
RAISE_EVERY_S = 30.0
RAISE_SHARE = 0.05
SLOWEST_SHARE = 1 / 16
FREEZE_DEFAULT_S = 1.0
FREEZE_MAX_S = 60.0
FREEZE_ALARM_S = 10.0
"""Frozen for so long, a venue cannot be read, and what its stream loses stays unknown: a person is told."""
# Float seconds of a long-lived clock are exact to about 1e-8 s; a wake-up this much later finds its token for certain.
_MARGIN_S = 1e-6
_EPSILON = 1e-6

Command = TradeCommand | Query

_CREATES = tuple((priority, "create") for priority in Priority)


class LimiterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one venue.

    ``rates``: requests per second by class (``CLASSES``) and, optionally, ``total`` for all of them together; a class that is not named
    has no bucket of its own. ``burst``: bucket size in requests, by the same names; the default is ``burst_s`` seconds' worth, at least 1.
    ``reserve_share`` of each bucket is for P0 only. ``queue_limit``: waiting commands by class; cancels have none.
    """

    venue: VenueId
    rates: Mapping[str, float]
    burst: Mapping[str, float] = {}
    burst_s: float = 1.0
    reserve_share: float = 0.3
    queue_limit: Mapping[str, int] = {}
    queue_limit_default: int = 100

    def __post_init__(self) -> None:
        for key in (*self.rates, *self.burst, *self.queue_limit):
            if key != TOTAL and key not in CLASSES:
                raise ValueError(f"limits of {self.venue}: {key!r} is not a class; accepted: {', '.join((*CLASSES, TOTAL))}")
        for key, rate in self.rates.items():
            if not 0 < rate < float("inf") or not 1 <= self.burst_of(key) < float("inf"):
                raise ValueError(f"limits of {self.venue}: {key} needs a rate above 0 and a burst of at least 1")
        if not 0 <= self.reserve_share < 1:
            raise ValueError(f"limits of {self.venue}: the reserve is a share of at least 0 and below 1")

    def burst_of(self, key: str) -> float:
        return self.burst.get(key, max(1.0, self.rates[key] * self.burst_s))


class TokenBucket:
    """Requests that may leave: refilled at ``rate``, which a venue's refusal halves and calm raises again (AIMD)."""

    def __init__(self, base_rate: float, capacity: float, reserve_share: float) -> None:
        self.base_rate = base_rate
        self.rate = base_rate
        self.capacity = capacity
        self.tokens = capacity
        # A reserve that leaves less than one request to the others would shut them out for ever.
        self._reserved = min(reserve_share * capacity, capacity - 1)
        self._filled_at: float | None = None
        self._raised_at = 0.0

    def refill(self, now: float) -> None:
        if self._filled_at is None:
            self._filled_at = self._raised_at = now
        while self.rate < self.base_rate and now - self._raised_at >= RAISE_EVERY_S:
            self._raised_at += RAISE_EVERY_S
            self._fill_to(self._raised_at)
            self.rate = min(self.base_rate, self.rate + RAISE_SHARE * self.base_rate)
        self._fill_to(now)

    def _fill_to(self, at: float) -> None:
        if self._filled_at is not None and at > self._filled_at:
            self.tokens = min(self.capacity, self.tokens + (at - self._filled_at) * self.rate)
            self._filled_at = at

    def slow_down(self, now: float) -> None:
        """Halve the rate, never below a sixteenth of the base; the raises start over."""
        self.refill(now)
        self.rate = max(self.rate / 2, self.base_rate * SLOWEST_SHARE)
        self._raised_at = now

    def missing(self, priority: Priority, cost: int = 1) -> float:
        """Tokens that must still flow in before a request of this priority may leave; 0 or less: now. One that costs more than the bucket
        holds leaves when it is full, and the rest is owed."""
        reserved = 0.0 if priority is Priority.P0 else self._reserved
        return min(float(cost), self.capacity - reserved) + reserved - self.tokens


class Budget:
    """What a venue still takes from us. It outlives the limiter that spends it, as the venue's own count does: ``frozen_until`` is the end
    of the pause that the venue asked for (monotonic seconds)."""

    def __init__(self, config: LimiterConfig) -> None:
        self.buckets = {key: TokenBucket(rate, config.burst_of(key), config.reserve_share) for key, rate in config.rates.items()}
        self.frozen_until = float("-inf")


class _Waiting(NamedTuple):
    sequence: int
    command: Command


class RateLimiter:
    """The admission queue of one venue; ``budget`` is that of its predecessor, where it had one."""

    def __init__(self, config: LimiterConfig, budget: Budget | None = None) -> None:
        self._config = config
        self._budget = budget if budget is not None else Budget(config)
        self._buckets = self._budget.buckets
        self._paying = {name: [self._buckets[key] for key in (name, TOTAL) if key in self._buckets] for name in CLASSES}
        # One queue per priority and class; a dict keeps arrival order and finds the duplicate of a read at once.
        self._queues: dict[tuple[Priority, str], dict[Hashable, _Waiting]] = {
            (priority, name): {} for priority in Priority for name in CLASSES
        }
        self._sequence = itertools.count()

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        """Commands that may leave now, refusals, an alarm for a long freeze. Other messages are none of the limiter's business.

        A command for another venue is a wiring error and raises ValueError.
        """
        match message:
            case RateLimited() if message.venue == self._config.venue:
                refused = self._slow_down(message, now)
            case Tick():
                refused = ()
            case _ if isinstance(message, Command):
                # By the union and not by name: a command that is added to it can be limited wrongly, but never vanish here.
                refused = self._admit(message, now)
            case _:
                return ()
        return (*refused, *self._drop_stale(now), *self._release(now))

    def deadline(self, now: float) -> float | None:
        """When the next Tick changes something (monotonic seconds); None: nothing waits."""
        due = [self._ready_at(priority, name, now) for (priority, name), queue in self._queues.items() if queue]
        due += [order.not_after + _MARGIN_S for _, _, order in self._waiting_orders() if order.not_after > 0]
        return min(due, default=None)

    def tokens(self, now: float) -> dict[str, LimitHealth]:
        """Every bucket by class, for the health dump."""
        for bucket in self._buckets.values():
            bucket.refill(now)
        frozen_s = max(0.0, self._budget.frozen_until - now)
        return {name: LimitHealth(tokens=bucket.tokens, frozen_s=frozen_s) for name, bucket in self._buckets.items()}

    # ---- arrival -------------------------------------------------------------------------------------------------------------

    def _admit(self, command: Command, now: float) -> tuple[Message, ...]:
        if command.venue != self._config.venue:
            raise ValueError(f"the limiter of {self._config.venue} was given a command for {command.venue}")
        refused = self._overtaken(command, now)
        name, priority = class_of(command), priority_of(command)
        queue = self._queues[priority, name]
        key = _duplicate_key(command)
        waiting = queue.get(key) if key is not None else None
        if waiting is not None:
            queue[key] = waiting._replace(command=_merged(waiting.command, command))
            return refused
        if self._is_full(name):
            evicted = self._evict(name, priority)
            if evicted is None:
                return (*refused, *_refusals(command, "limiter queue full", now))
            refused = (*refused, *_refusals(evicted, "limiter queue full", now))
        sequence = next(self._sequence)
        queue[key if key is not None else sequence] = _Waiting(sequence, command)
        return refused

    def _overtaken(self, command: Command, now: float) -> tuple[Message, ...]:
        """Deny waiting orders that this cancel means: it overtakes them, and sent after it they would rest unwanted."""
        match command:
            case CancelOrder():
                hit = [each for each in self._waiting_orders() if each[2].client_order_id == command.client_order_id]
            case CancelAll():
                hit = [
                    each for each in self._waiting_orders() if each[2].symbol == command.symbol and each[0][0] is not Priority.P0
                ]
            case _:
                return ()
        return self._deny(hit, "canceled in limiter", now)

    def _is_full(self, name: str) -> bool:
        if name == "cancel":
            return False
        limit = self._config.queue_limit.get(name, self._config.queue_limit_default)
        return sum(len(queue) for place, queue in self._queues.items() if place[1] == name) >= limit

    def _evict(self, name: str, priority: Priority) -> Command | None:
        """Make room: the newest waiting command of the least urgent priority that is less urgent than ``priority``."""
        for lower in reversed(Priority):
            queue = self._queues[lower, name]
            if lower > priority and queue:
                return queue.popitem()[1].command
        return None

    # ---- the venue's refusals ------------------------------------------------------------------------------------------------

    def _slow_down(self, refusal: RateLimited, now: float) -> tuple[Message, ...]:
        asked_s = FREEZE_DEFAULT_S if refusal.retry_after_s is None else refusal.retry_after_s
        # Requests in flight at a refusal are refused with it: one storm halves the rate once and only extends the freeze.
        if now >= self._budget.frozen_until:
            for bucket in self._buckets.values():
                bucket.slow_down(now)
        was_long = self._budget.frozen_until - now >= FREEZE_ALARM_S
        self._budget.frozen_until = max(self._budget.frozen_until, now + min(max(asked_s, 0.0), FREEZE_MAX_S))
        if was_long or self._budget.frozen_until - now < FREEZE_ALARM_S:
            return ()
        text = f"{refusal.venue} refuses requests: only hedges and cancels leave for {self._budget.frozen_until - now:.0f} s"
        return (Alert(level="warning", key="frozen", text=text, at=now),)

    # ---- departure -----------------------------------------------------------------------------------------------------------

    def _drop_stale(self, now: float) -> tuple[Message, ...]:
        stale = [each for each in self._waiting_orders() if 0 < each[2].not_after < now]
        return self._deny(stale, "stale in limiter", now)

    def _release(self, now: float) -> list[Message]:
        for bucket in self._buckets.values():
            bucket.refill(now)
        granted: list[Message] = []
        while (command := self._take_next(now)) is not None:
            granted.append(command)
        return granted

    def _take_next(self, now: float) -> Command | None:
        """The most urgent command whose buckets can pay; a class that waits does not hold up another class."""
        heads = [(place[0], next(iter(queue.values())).sequence, place) for place, queue in self._queues.items() if queue]
        for priority, _, place in sorted(heads):
            if priority is not Priority.P0 and now < self._budget.frozen_until:
                return None
            buckets, queue = self._paying[place[1]], self._queues[place]
            cost = _cost_of(next(iter(queue.values())).command)
            if all(bucket.missing(priority, cost) <= _EPSILON for bucket in buckets):
                for bucket in buckets:
                    bucket.tokens -= cost
                return queue.pop(next(iter(queue))).command
        return None

    def _ready_at(self, priority: Priority, name: str, now: float) -> float:
        for bucket in self._paying[name]:
            bucket.refill(now)
        cost = _cost_of(next(iter(self._queues[priority, name].values())).command)
        waits_s = [max(0.0, bucket.missing(priority, cost)) / bucket.rate for bucket in self._paying[name]]
        ready_at = now + max(waits_s, default=0.0)
        return (ready_at if priority is Priority.P0 else max(ready_at, self._budget.frozen_until)) + _MARGIN_S

    def _waiting_orders(self) -> Iterator[tuple[tuple[Priority, str], Hashable, PlaceOrder]]:
        for place in _CREATES:
            for key, waiting in self._queues[place].items():
                for order in _orders_of(waiting.command):
                    yield place, key, order

    def _deny(
        self, found: list[tuple[tuple[Priority, str], Hashable, PlaceOrder]], reason: str, now: float
    ) -> tuple[Message, ...]:
        """Whole commands: of a linked pair both orders, whichever was found."""
        taken = [self._queues[place].pop(key, None) for place, key, _ in found]
        return tuple(refusal for each in taken if each is not None for refusal in _refusals(each.command, reason, now))


def class_of(command: Command) -> str:
    """The bucket a command pays from."""
    match command:
        case PlaceOrder() | PlaceOco():
            return "create"
        case CancelOrder() | CancelAll():
            return "cancel"
        case QueryOrder():
            return "query"
        case FetchFills() | FetchOpenOrders() | FetchPosition() | FetchBook() | RenewDeadMan():
            return "other"


def priority_of(command: Command) -> Priority:
    match command:
        case PlaceOrder() | FetchFills():
            return command.priority
        case PlaceOco():
            return command.stop.priority
        case CancelOrder() | CancelAll():
            return Priority.P0
        case QueryOrder() | RenewDeadMan():
            return Priority.P1
        case FetchOpenOrders() | FetchPosition() | FetchBook():
            return Priority.P3


def _duplicate_key(command: Command) -> Hashable | None:
    """Two waiting commands of one key are one request; None: each is a request of its own."""
    match command:
        case QueryOrder():
            return ("QueryOrder", command.client_order_id)
        case FetchFills() | FetchOpenOrders() | FetchPosition() | FetchBook():
            return (type(command).__name__, command.symbol)
        case RenewDeadMan():
            return "RenewDeadMan"
        case _:
            return None


def _merged(old: Command, new: Command) -> Command:
    """The latest wins, but never looks back less far than the one it stands for."""
    if isinstance(old, FetchFills) and isinstance(new, FetchFills):
        return msgspec.structs.replace(new, lookback_s=max(old.lookback_s, new.lookback_s))
    return new


def _orders_of(command: Command) -> tuple[PlaceOrder, ...]:
    match command:
        case PlaceOrder():
            return (command,)
        case PlaceOco():
            return command.orders
        case _:
            return ()


def _cost_of(command: Command) -> int:
    """Tokens: each order of a bulk request costs as much as one alone (grvt.md §4)."""
    return max(1, len(_orders_of(command)))


def _refusals(command: Command, reason: str, now: float) -> tuple[Message, ...]:
    """The answer the asker gets instead of the venue's, one for each order."""
    if orders := _orders_of(command):
        return tuple(
            OrderDenied(venue=order.venue, client_order_id=order.client_order_id, role=order.role, reason=reason, at=now)
            for order in orders
        )
    client_order_id = command.client_order_id if isinstance(command, QueryOrder) else None
    failed = QueryFailed(
        venue=command.venue, query=type(command).__name__, reason=reason, at=now, client_order_id=client_order_id
    )
    return (failed,)
