"""What the configuration accepts is what the adapters can do."""

from __future__ import annotations

from importlib import import_module

import pytest

from core.config import KNOWN_VENUES, NATIVE_OCO_VENUES


@pytest.mark.parametrize("venue", KNOWN_VENUES)
def test_native_oco_is_offered_for_the_venues_that_have_it(venue: str) -> None:
    """core/config.py knows no adapter and names them itself."""
    capabilities = import_module(f"adapters.{venue}.client").CAPABILITIES
    assert capabilities.native_oco is (venue in NATIVE_OCO_VENUES)
