"""What the configuration accepts is what the adapters can do."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.apex.client import ApexTradeLane
from adapters.backpack.client import BackpackTradeLane
from core.commands import PlaceOco
from core.config import KNOWN_VENUES, NATIVE_OCO_VENUES
from core.types import Role
from tests.core.builders import place


@pytest.mark.parametrize("venue", KNOWN_VENUES)
def test_native_oco_is_offered_for_the_venues_that_have_it(venue: str) -> None:
    """core/config.py knows no adapter and names them itself."""
    capabilities = import_module(f"adapters.{venue}.client").CAPABILITIES
    assert capabilities.native_oco is (venue in NATIVE_OCO_VENUES)


@pytest.mark.parametrize("lane", [ApexTradeLane, BackpackTradeLane])
def test_a_venue_that_links_nothing_gets_the_stop_first(lane: Any) -> None:
    """One outcome an order, in the order of their need."""
    sent = SimpleNamespace(_api=SimpleNamespace(deadline=lambda: 0.0), _place=lambda order, until: (order.role,))
    assert (Role.SL, Role.TP) == lane.place_oco(sent, PlaceOco(stop=place(1, role=Role.SL), take_profit=place(2, role=Role.TP)))
