"""Planted bugs: the simulation must see each of them within the stated number of seeds. One that it misses is a check that was lost."""

from __future__ import annotations

import pytest

from tests.sim.kit import first_caught
from tests.sim.mutants import MUTANTS

pytestmark = pytest.mark.timeout(600)
"""It only ends what hangs: on a busy machine a mutant takes minutes."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    """Some seed of the mutant's range breaks an invariant when the bug is planted."""
    mutant = MUTANTS[name]
    caught = first_caught(mutant.parts, range(mutant.since, mutant.since + mutant.within))
    assert caught is not None, f"{mutant.bug}: not seen in {mutant.within} seeds from {mutant.since} on"
