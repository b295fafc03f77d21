"""What the tests of the simulation share: playing many seeds and saying in one line each what was wrong."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.sim.bot import Parts
from tests.sim.world import Result, run


class Kept(NamedTuple):
    """One line of seeds.txt; ``intensity`` None: the seed's own."""

    seed: int
    intensity: float | None


def kept_seeds() -> list[Kept]:
    found = []
    for line in Path(__file__).with_name("seeds.txt").read_text("utf-8").splitlines():
        words = line.split()
        if words and not line.startswith("#"):
            found.append(Kept(int(words[0]), float(words[1]) if len(words) > 1 and _is_number(words[1]) else None))
    return found


def failures(seeds: Iterable[int], intensity: float | None = None) -> list[str]:
    """What is wrong, and how to see it again."""
    results = (run(seed, intensity=intensity) for seed in seeds)
    return [told(result, intensity) for result in results if result.violations]


def told(result: Result, intensity: float | None) -> str:
    how = f" --intensity {intensity:g}" if intensity is not None else ""
    return f"python -m tests.sim {result.seed}{how} --trace: {'; '.join(result.violations)}"


def first_caught(parts: Parts, seeds: Iterable[int]) -> int | None:
    """The first seed that shows a planted bug."""
    return next((seed for seed in seeds if run(seed, parts).violations), None)


def _is_number(word: str) -> bool:
    return word.replace(".", "", 1).isdigit()
