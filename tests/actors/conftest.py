"""No actor outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pykka
import pytest


@pytest.fixture(autouse=True)
def _no_actor_is_left() -> Iterator[None]:
    yield
    for ref in pykka.ActorRegistry.get_all():
        ref.stop(block=False)
