"""Whole-system runs, one per seed, judged by the invariants of RELIABILITY: the same seeds at every commit, far more at night."""

from __future__ import annotations

import os

import pytest

from tests.sim.history import History
from tests.sim.kit import Kept, failures, kept_seeds
from tests.sim.scenario import Troubles, scenario_of
from tests.sim.world import Result, run

CHUNKS = 30
COMMIT_SEEDS = 3_000
NIGHT_SEEDS = 100_000
NIGHT_CHUNKS = 200
pytestmark = pytest.mark.timeout(600)
"""It only ends what hangs: on a busy machine a chunk takes minutes."""
is_night = pytest.mark.skipif(not os.environ.get("PERPFARM_NIGHT"), reason="heavy: make night sets PERPFARM_NIGHT")


def _chunk(index: int, chunks: int, seeds: int) -> range:
    size = seeds // chunks
    return range(index * size, (index + 1) * size)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_seed_breaks_an_invariant(chunk: int) -> None:
    """Every run of the commit's seeds keeps all invariants and has healed at its end."""
    assert [] == failures(_chunk(chunk, CHUNKS, COMMIT_SEEDS))


@pytest.mark.night
@is_night
@pytest.mark.parametrize("chunk", range(NIGHT_CHUNKS))
def test_no_seed_of_the_night_breaks_an_invariant(chunk: int) -> None:
    """The same for a hundred thousand seeds."""
    assert [] == failures(_chunk(chunk, NIGHT_CHUNKS, NIGHT_SEEDS))


@pytest.mark.parametrize("kept", kept_seeds(), ids=lambda kept: str(kept.seed))
def test_a_seed_that_failed_once_does_not_fail_again(kept: Kept) -> None:
    """Each line of seeds.txt runs clean."""
    assert [] == failures([kept.seed], kept.intensity, is_alone=kept.is_alone)


def test_twice_the_usual_cruelty_breaks_nothing() -> None:
    """The invariants do not depend on faults being rare."""
    assert [] == failures(range(200_000, 200_060), intensity=3.0)


@pytest.mark.parametrize("seed", [1, 4, 9])
def test_one_seed_is_one_run(seed: int) -> None:
    """Two runs of a seed have the same history, byte for byte."""
    assert run(seed).history.digest() == run(seed).history.digest()


@pytest.fixture(scope="module")
def first_runs() -> list[Result]:
    return [run(seed)._replace(history=History()) for seed in range(60)]


def test_the_world_is_cruel_enough(first_runs: list[Result]) -> None:
    """Each kind of fault strikes somewhere in the commit's first seeds: a fault that never happens proves nothing."""
    struck = {name for result in first_runs for name, count in result.struck.items() if count}
    kinds = "lose_request lose_answer late refuse not_sent throttle slow read_fails omit forget drop duplicate delay reorder"
    kinds += " flap deaf venue_restart crash actor_crash stall thin_book clock_step"
    kinds += " hand liquidation misbooking lying rival disk maintenance ban empty_book zombie"
    assert set(kinds.split()) == struck


def test_there_is_something_to_judge(first_runs: list[Result]) -> None:
    """An average run trades at least twenty times, so that the invariants are not kept by idleness."""
    assert 20 <= sum(result.fills for result in first_runs) / len(first_runs)


def test_troubles_change_nothing_where_they_are_not_in_play() -> None:
    """They have dice of their own: a seed keeps its meaning, and is played without them on request."""
    spared = next(seed for seed in range(20) if scenario_of(seed).troubles == Troubles() and not scenario_of(seed).is_clean)
    beset = next(seed for seed in range(20) if scenario_of(seed).troubles != Troubles())
    assert run(spared).history.digest() == run(spared, is_alone=True).history.digest()
    assert set() == set(run(beset, is_alone=True).struck) & set(Troubles._fields)
