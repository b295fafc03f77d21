"""What the tests of the simulation share: playing many seeds and saying in one line each what was wrong."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.sim.bot import Parts
from tests.sim.world import Result, run


class Kept(NamedTuple):
    """One line of seeds.txt; ``intensity`` None: the seed's own; ``is_alone``: it failed without troubles, and is kept so."""

    seed: int
    intensity: float | None
    is_alone: bool


def kept_seeds() -> list[Kept]:
    found = []
    for line in Path(__file__).with_name("seeds.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            seed, intensity, company = line.split()[:3]
            found.append(Kept(int(seed), None if intensity == "own" else float(intensity), company == "alone"))
    return found


def failures(seeds: Iterable[int], intensity: float | None = None, *, is_alone: bool = False) -> list[str]:
    """What is wrong, and how to see it again."""
    results = (run(seed, intensity=intensity, is_alone=is_alone) for seed in seeds)
    return [told(result, intensity, is_alone=is_alone) for result in results if result.violations]


def told(result: Result, intensity: float | None, *, is_alone: bool) -> str:
    how = (f" --intensity {intensity:g}" if intensity is not None else "") + " --alone" * is_alone
    return f"python -m tests.sim {result.seed}{how} --trace: {'; '.join(result.violations)}"


def first_caught(parts: Parts, seeds: Iterable[int]) -> int | None:
    """The first seed that shows a planted bug."""
    return next((seed for seed in seeds if run(seed, parts).violations), None)
