"""A world of its own for each test of this package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.kit import World, opened


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield from opened(tmp_path)
