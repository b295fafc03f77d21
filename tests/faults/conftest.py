"""A world of its own for each test of this package, searched for credentials when the test is over (RELIABILITY.md P10, I18)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.canaries import searched
from tests.process.kit import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield from searched(tmp_path)
