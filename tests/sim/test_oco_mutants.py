"""Planted OCO bugs: the simulation must see each of them within the stated number of trials. One that it misses is a check that was lost."""

from __future__ import annotations

import pytest

from tests.sim.oco_kit import first_caught
from tests.sim.oco_mutants import OCO_MUTANTS


@pytest.mark.parametrize("name", OCO_MUTANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    """Some trial below ``within`` breaks an invariant when the bug is planted."""
    mutant = OCO_MUTANTS[name]
    caught = first_caught(mutant.story, mutant.parts, mutant.link, range(mutant.within))
    assert caught is not None, f"{mutant.bug}: not seen in {mutant.within} trials of {mutant.story}"
