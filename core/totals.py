"""The run in numbers: volume, fees, result, fill rates (STRATEGY: fill rate and throughput). Reports only; nothing trades on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import msgspec

from core.messages import AttemptFinished, AttemptStarted, CycleFinished, FillRecorded
from core.metrics import Histogram
from core.pairing import PairRow
from core.types import ZERO, Role, Side, TradingState, VenueId

TotalsEvent = AttemptStarted | AttemptFinished | CycleFinished | FillRecorded | PairRow

_ATTEMPTS_REMEMBERED = 100
_MILLION = Decimal(1_000_000)


class VenueTotals(NamedTuple):
    """Traded value and signed fees of one venue, both in the maker venue's quote currency."""

    venue: VenueId
    volume: Decimal
    fees: Decimal


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """``attempts`` are the finished ones, and ``intended`` and ``filled_of_intended`` theirs. ``filled``: by all maker orders and entries, also
    those of an attempt that a stop ended or an earlier life began. Quantities base; ``net_usd`` counts covered fills only; times in seconds.

    ``cost_per_million`` is USD lost per $1M traded on both venues together, negative = gained.
    """

    venues: tuple[VenueTotals, ...] = ()
    cycles: int = 0
    attempts: int = 0
    attempts_filled: int = 0
    attempts_hedged: int = 0
    intended: Decimal = ZERO
    filled_of_intended: Decimal = ZERO
    filled: Decimal = ZERO
    hedged: Decimal = ZERO
    net_usd: Decimal = ZERO
    first_fill_p50_s: float | None = None
    first_fill_p90_s: float | None = None

    @property
    def volume(self) -> Decimal:
        return sum((venue.volume for venue in self.venues), ZERO)

    @property
    def fees(self) -> Decimal:
        return sum((venue.fees for venue in self.venues), ZERO)

    @property
    def cost_per_million(self) -> Decimal | None:
        return -self.net_usd / self.volume * _MILLION if self.volume else None

    @property
    def fill_rate_count(self) -> Decimal | None:
        """Share of attempts that filled at all and were hedged in full."""
        return Decimal(self.attempts_hedged) / self.attempts if self.attempts else None

    @property
    def fill_rate_quantity(self) -> Decimal | None:
        return self.filled_of_intended / self.intended if self.intended else None

    @property
    def pair_rate(self) -> Decimal | None:
        """Share of the attempts with any fill that were hedged in full; the goal is 1."""
        return Decimal(self.attempts_hedged) / self.attempts_filled if self.attempts_filled else None


class RunStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sees at a glance. ``positions``: signed base quantity by venue."""

    state: TradingState
    cycle_id: int
    positions: tuple[tuple[VenueId, Decimal], ...]
    net_delta: Decimal
    summary: RunSummary


@dataclass(slots=True)
class _Attempt:
    started_at: float
    filled: Decimal = ZERO
    covered: Decimal = ZERO
    is_finished: bool = False

    @property
    def is_hedged(self) -> bool:
        return ZERO < self.filled <= self.covered


class RunTotals:
    """``fx``: maker venue's quote per quote of each venue that has another one."""

    def __init__(self, fx: Mapping[VenueId, Decimal] | None = None) -> None:
        self._fx = dict(fx or {})
        self._venues: dict[VenueId, VenueTotals] = {}
        # A late fill or hedge may still change an attempt, so the latest stay apart and only older ones are mere counts.
        self._attempts: dict[tuple[int, Side], _Attempt] = {}
        self._settled = self._settled_filled = self._settled_hedged = 0
        self._cycles = 0
        self._intended = self._filled = self._filled_in_attempts = self._hedged = self._net = ZERO
        self._first_fills = Histogram()

    def handle(self, event: TotalsEvent) -> None:
        match event:
            case AttemptStarted():
                self._start(event)
            case AttemptFinished():
                self._finish(event)
            case CycleFinished():
                self._cycles += 1
            case FillRecorded():
                self._fill(event)
            case PairRow():
                self._pair(event)

    def summary(self) -> RunSummary:
        finished = [attempt for attempt in self._attempts.values() if attempt.is_finished]
        underway = sum((attempt.filled for attempt in self._attempts.values() if not attempt.is_finished), ZERO)
        return RunSummary(
            venues=tuple(totals for _, totals in sorted(self._venues.items())),
            cycles=self._cycles,
            attempts=self._settled + len(finished),
            attempts_filled=self._settled_filled + sum(attempt.filled > 0 for attempt in finished),
            attempts_hedged=self._settled_hedged + sum(attempt.is_hedged for attempt in finished),
            intended=self._intended,
            filled_of_intended=self._filled_in_attempts - underway,
            filled=self._filled,
            hedged=self._hedged,
            net_usd=self._net,
            first_fill_p50_s=self._first_fills.quantile_s(0.5),
            first_fill_p90_s=self._first_fills.quantile_s(0.9),
        )

    def cycle_quantities(self, cycle_id: int) -> tuple[Decimal, Decimal]:
        """Base quantity of the cycle's maker fills that is covered, and that is still open (one of the latest cycles)."""
        attempts = [attempt for (cycle, _), attempt in self._attempts.items() if cycle == cycle_id]
        covered = sum((attempt.covered for attempt in attempts), ZERO)
        return covered, sum((attempt.filled for attempt in attempts), ZERO) - covered

    def _start(self, event: AttemptStarted) -> None:
        key = (event.cycle_id, event.side)
        previous = self._attempts.pop(key, None)
        if previous is not None:
            self._settle(previous)
        self._attempts[key] = _Attempt(event.at)
        if len(self._attempts) > _ATTEMPTS_REMEMBERED:
            self._settle(self._attempts.pop(next(iter(self._attempts))))

    def _finish(self, event: AttemptFinished) -> None:
        self._intended += event.intended
        for (cycle_id, _), attempt in reversed(self._attempts.items()):
            if cycle_id == event.cycle_id and not attempt.is_finished:
                attempt.is_finished = True
                return

    def _settle(self, attempt: _Attempt) -> None:
        self._settled += 1
        self._settled_filled += attempt.filled > 0
        self._settled_hedged += attempt.is_hedged

    def _fill(self, event: FillRecorded) -> None:
        fill, order = event.fill, event.order
        if order is None:
            return
        fx = self._fx.get(fill.venue, Decimal(1))
        known = self._venues.get(fill.venue, VenueTotals(fill.venue, ZERO, ZERO))
        self._venues[fill.venue] = known._replace(
            volume=known.volume + fill.price * fill.quantity * fx, fees=known.fees + fill.fee * fx
        )
        if order.role not in (Role.MAKER, Role.ENTRY):
            return
        self._filled += fill.quantity
        attempt = self._attempts.get((order.cycle_id, fill.side))
        if attempt is not None:
            if not attempt.filled:
                self._first_fills = self._first_fills.with_sample(fill.received_at - attempt.started_at)
            attempt.filled += fill.quantity
            self._filled_in_attempts += fill.quantity

    def _pair(self, pair: PairRow) -> None:
        self._net += pair.net_usd
        if pair.phase not in ("REPAIR", "STRANGER"):
            self._cover((pair.cycle_id, pair.side), pair.quantity)
        if pair.cover_role is Role.MAKER:
            self._cover((pair.cover_cycle_id, pair.side.opposite), pair.quantity)

    def _cover(self, key: tuple[int, Side], quantity: Decimal) -> None:
        self._hedged += quantity
        attempt = self._attempts.get(key)
        if attempt is not None:
            attempt.covered += quantity
