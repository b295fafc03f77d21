"""The OCO pair in whole-system runs on a simulated ApeX: four stories, partial fills, kills at every order, and the nemesis."""

from __future__ import annotations

import os

import pytest

from core.oco_states import PairState
from tests.sim.oco_kit import failures, trial
from tests.sim.oco_scenario import POLICIES, STORIES, Policy, story_of
from tests.sim.oco_world import play

NIGHT_CHUNKS = 20
NIGHT_STORY = 1_000
NIGHT_NEMESIS = 3_000
is_night = pytest.mark.skipif(not os.environ.get("PERPFARM_NIGHT"), reason="heavy: make night sets PERPFARM_NIGHT")


@pytest.mark.parametrize("story", STORIES)
def test_a_story_ends_as_it_should(story: str) -> None:
    """Take-profit first, stop first, leg cancelled by hand, both legs, part of the profit and then the stop: flat, covered, one winner."""
    assert [] == failures(story, range(40))


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_of_a_manual_cancel_is_followed(policy: Policy) -> None:
    """The leg is gone by the user's hand: sibling cancelled, stop kept, or position closed, as configured."""
    results = (play(story_of("manual", number, policy)) for number in range(10))
    assert [] == [(result.seed, result.violations) for result in results if result.violations]


def test_a_process_killed_before_any_order_protects_first() -> None:
    """SIGKILL between the durable intent and the bytes of the n-th order: the next life covers the position before anything else."""
    assert [] == failures("kill", range(60))


@pytest.mark.parametrize("chunk", range(4))
def test_the_nemesis_breaks_no_bracket(chunk: int) -> None:
    """Lost, late, doubled and reordered news, refused and lost requests, crashes: flat in the end, never two winners unrepaired."""
    assert [] == failures("nemesis", range(chunk * 50, chunk * 50 + 50))


def test_the_stories_do_what_they_are_named_for() -> None:
    """Story both does fill both legs where the venue ignores reduce-only: otherwise nothing would be proven by it."""
    assert any(trial("both", number).overshoots for number in range(10))


def test_a_trial_is_the_same_every_time() -> None:
    """One seed is one run, byte for byte."""
    assert trial("nemesis", 3).history.digest() == trial("nemesis", 3).history.digest()


def test_a_position_that_the_user_took_over_stays_his_over_a_restart() -> None:
    """Policy cancel_sibling releases the pair; the life after a crash of its actor leaves the position alone too."""
    result = trial("nemesis", 70)
    assert (PairState.RELEASED.value, ()) == (result.pair_state, result.violations)


@pytest.mark.night
@is_night
@pytest.mark.parametrize("chunk", range(NIGHT_CHUNKS))
@pytest.mark.parametrize("story", STORIES)
def test_a_thousand_trials_of_each_story(story: str, chunk: int) -> None:
    """Seed 1's tests, each a thousand times."""
    size = NIGHT_STORY // NIGHT_CHUNKS
    assert [] == failures(story, range(chunk * size, (chunk + 1) * size))


@pytest.mark.night
@is_night
@pytest.mark.parametrize("chunk", range(NIGHT_CHUNKS))
def test_three_thousand_trials_of_the_nemesis(chunk: int) -> None:
    """No failure in so many independent trials bounds the rate of failure by 0.1 % (95 %)."""
    size = NIGHT_NEMESIS // NIGHT_CHUNKS
    assert [] == failures("nemesis", range(chunk * size, (chunk + 1) * size))


@pytest.mark.night
@is_night
@pytest.mark.parametrize("chunk", range(NIGHT_CHUNKS))
def test_six_hundred_kills(chunk: int) -> None:
    """Every story, killed before each of its orders, many times."""
    assert [] == failures("kill", range(chunk * 30, (chunk + 1) * 30))
