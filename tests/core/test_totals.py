"""Totals of a run: the definitions of STRATEGY's fill rate and cost per million."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.messages import AttemptFinished, FillRecorded
from core.pairing import PairLedger
from core.totals import RunSummary, RunTotals
from core.types import Role, Side, VenueId
from tests.core.test_pairing import BACKPACK, GRVT, fill, started

D = Decimal


class Run:
    """Feeds fills to a ledger and the totals as a recorder would."""

    def __init__(self, fx: str = "1") -> None:
        self.ledger = PairLedger(maker_venue=GRVT, hedge_venue=BACKPACK, fx=D(fx))
        self.totals = RunTotals({BACKPACK: D(fx)})

    def fill(self, event: FillRecorded) -> None:
        self.totals.handle(event)
        for row in self.ledger.handle(event):
            self.totals.handle(row)

    def attempt(
        self,
        cycle_id: int,
        *,
        filled: str = "0",
        hedged: str = "0",
        side: Side = Side.BUY,
        roles: tuple[Role, Role] = (Role.MAKER, Role.HEDGE),
    ) -> None:
        """One attempt at 0.10, from its start at 0 s to its end; fills come 2 s after the start."""
        begin = started(cycle_id, side)
        self.ledger.handle(begin)
        self.totals.handle(begin)
        if D(filled):
            self.fill(fill(roles[0], side, filled, "3000", cycle_id=cycle_id, at=2.0, fee="-0.01"))
        if D(hedged):
            self.fill(fill(roles[1], side.opposite, hedged, "3000", cycle_id=cycle_id, at=2.1, fee="0.16"))
        self.totals.handle(
            AttemptFinished(
                cycle_id=cycle_id,
                phase="BUILD",
                intended=D("0.10"),
                filled=D(filled),
                requotes=0,
                cancels=0,
                reason="",
                at=9.0,
            )
        )

    @property
    def summary(self) -> RunSummary:
        return self.totals.summary()


def test_empty_run_has_no_rates() -> None:
    """Nothing was tried, so nothing is claimed: no rate, no cost, and no division by zero."""
    summary = RunTotals().summary()
    assert (None, None, None, None) == (
        summary.fill_rate_count,
        summary.fill_rate_quantity,
        summary.pair_rate,
        summary.cost_per_million,
    )


@pytest.mark.parametrize("cycle_id", [2, 7])
def test_what_no_finished_attempt_intended_does_not_raise_the_fill_rate(cycle_id: int) -> None:
    """A stop ends the second attempt before it is finished; a fill of cycle 7 is of an earlier life. Both are in the volume all the same."""
    run = Run()
    run.attempt(1, filled="0.10", hedged="0.10")
    run.totals.handle(started(2, Side.BUY))
    run.fill(fill(Role.MAKER, Side.BUY, "0.10", "3000", cycle_id=cycle_id, at=2.0, fee="-0.01"))
    assert (1, D("0.20")) == (run.summary.fill_rate_quantity, run.summary.filled)


def test_an_entry_counts_as_filled_and_an_exit_as_its_cover() -> None:
    """A bracket trades no maker and no hedge: of two attempts one came to a position, which its stop closed."""
    run = Run()
    run.attempt(1)
    run.attempt(2, filled="0.10", hedged="0.10", roles=(Role.ENTRY, Role.SL))
    summary = run.summary
    assert (D("0.5"), D("0.5"), D(1)) == (summary.fill_rate_count, summary.fill_rate_quantity, summary.pair_rate)
    assert (D("0.10"), D(0)) == run.totals.cycle_quantities(2)


def test_fill_rate_counts_attempts_that_filled_and_were_hedged() -> None:
    """Of four attempts one stayed empty, one lacks part of its hedge, two are whole: one half."""
    run = Run()
    run.attempt(1)
    run.attempt(2, filled="0.10", hedged="0.10")
    run.attempt(3, filled="0.04", hedged="0.04")
    run.attempt(4, filled="0.10", hedged="0.06")
    assert (D("0.5"), D("0.6")) == (run.summary.fill_rate_count, run.summary.fill_rate_quantity)


def test_pair_rate_leaves_empty_attempts_out() -> None:
    """Only an attempt that filled can fail to be hedged."""
    run = Run()
    run.attempt(1)
    run.attempt(2, filled="0.10", hedged="0.10")
    run.attempt(3, filled="0.10")
    assert D("0.5") == run.summary.pair_rate


def test_late_hedge_still_counts_for_its_attempt() -> None:
    """An attempt that was short at its end is whole once the rest is hedged."""
    run = Run()
    run.attempt(1, filled="0.10", hedged="0.06")
    run.fill(fill(Role.HEDGE, Side.SELL, "0.04", "3000", cycle_id=1))
    assert D(1) == run.summary.pair_rate


def test_running_attempt_is_not_counted_yet() -> None:
    """The rate does not dip while an attempt is under way."""
    run = Run()
    run.attempt(1, filled="0.10", hedged="0.10")
    run.totals.handle(started(2, Side.SELL))
    assert 1 == run.summary.attempts


def test_attempts_beyond_the_remembered_ones_stay_counted() -> None:
    """A run of weeks keeps its rates though it forgets its attempts."""
    run = Run()
    for cycle_id in range(1, 301):
        run.attempt(cycle_id, filled="0.10" if cycle_id % 3 == 0 else "0", hedged="0.10" if cycle_id % 3 == 0 else "0")
    assert (300, 100, 100) == (run.summary.attempts, run.summary.attempts_filled, run.summary.attempts_hedged)


def test_volume_and_fees_by_venue_are_in_one_currency() -> None:
    """The hedge venue's dollars are converted; rebates stay negative."""
    run = Run(fx="0.5")
    run.attempt(1, filled="0.10", hedged="0.10")
    assert [(BACKPACK, D(150), D("0.08")), (GRVT, D(300), D("-0.01"))] == [tuple(venue) for venue in run.summary.venues]


def test_cost_per_million_is_the_loss_over_the_volume_of_both_legs() -> None:
    """15 cents lost on $600 are $250 per million."""
    run = Run()
    run.attempt(1, filled="0.10", hedged="0.10")
    assert (D("-0.15"), D(250)) == (run.summary.net_usd, run.summary.cost_per_million)


def test_time_to_first_fill_is_from_the_attempts_start() -> None:
    """Two seconds, to the width of a histogram bucket; a second fill of the attempt does not count."""
    run = Run()
    run.attempt(1, filled="0.04")
    run.fill(fill(Role.MAKER, Side.BUY, "0.04", "3000", cycle_id=1, at=500.0))
    p90 = run.summary.first_fill_p90_s
    assert p90 is not None
    assert 2.0 <= p90 <= 2.0 * 1.26


def test_cycle_quantities_tell_covered_from_carried() -> None:
    """For the cycle's line in the report."""
    run = Run()
    run.attempt(1, filled="0.10", hedged="0.08")
    assert (D("0.08"), D("0.02")) == run.totals.cycle_quantities(1)


def test_dust_met_by_the_opposite_maker_fill_covers_both_attempts() -> None:
    """Neither attempt needed a hedge for it, and neither stays short of one."""
    run = Run()
    run.attempt(1, filled="0.01")
    run.attempt(2, filled="0.01", side=Side.SELL)
    assert 2 == run.summary.attempts_hedged


def test_a_makers_fill_that_a_stranger_met_is_covered() -> None:
    """Its attempt is whole; the stranger's is nobody's attempt."""
    run = Run()
    run.attempt(1, filled="0.10")
    run.fill(fill(None, Side.SELL, "0.10", "3000", venue=VenueId("grvt")))
    assert (1, D("0.10")) == (run.summary.attempts_hedged, run.summary.hedged)


def test_fill_of_nobodys_order_is_no_volume() -> None:
    """What somebody trades by hand is not farmed by this run."""
    run = Run()
    run.fill(fill(None, Side.SELL, "0.10", "3000", venue=VenueId("grvt")))
    assert D(0) == run.summary.volume
