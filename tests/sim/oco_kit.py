"""What the tests of the OCO simulation share: trials of every kind, and the first that shows a planted bug."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from tests.sim.oco_bot import OcoParts
from tests.sim.oco_scenario import STORIES, Link, Story, nemesis_of, story_of
from tests.sim.oco_world import OcoResult, play

KILL_POINTS = 6
"""Orders of a bracket before which a process is killed: entry, stop, take-profit, and what follows."""


def trial(kind: str, number: int, parts: OcoParts | None = None, link: Link | None = None) -> OcoResult:
    """``kind``: a story; ``nemesis``; or ``kill``, a story whose process dies before its n-th order leaves. ``link``: instead of the
    trial's own."""
    kill_before = None
    if kind == "nemesis":
        scenario = nemesis_of(number)
    elif kind == "kill":
        scenario = story_of(STORIES[number % len(STORIES)], number)
        kill_before = 1 + number // len(STORIES) % KILL_POINTS
    else:
        scenario = story_of(cast(Story, kind), number)
    if link is not None:
        scenario = scenario._replace(venue=scenario.venue._replace(link=link))
    return play(scenario, parts, kill_before=kill_before)


def failures(kind: str, numbers: Iterable[int]) -> list[str]:
    """What is wrong, and how to see it again."""
    results = (trial(kind, number) for number in numbers)
    return [f"{result.seed}: {'; '.join(result.violations)}" for result in results if result.violations]


def first_caught(kind: str, parts: OcoParts, link: Link, numbers: Iterable[int]) -> int | None:
    """The first trial that shows a planted bug."""
    return next((number for number in numbers if trial(kind, number, parts, link).violations), None)
