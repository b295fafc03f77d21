"""For all tests: hypothesis plays the same examples in every run of a commit, and new ones in ``make night``; the interpreter's recursion
limit is what it is in production.

py_ecc, which eth-account brings in for cross-checks, raises it to 100,000 at import; a deeply nested frame then overflows the C stack of
whatever decoder reads it, and the test process dies instead of the frame being refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

RECURSION_LIMIT = 1_000

settings.register_profile("night", settings(print_blob=True))
settings.register_profile("commit", settings(derandomize=True))
settings.load_profile("commit")


@pytest.fixture(autouse=True)
def _production_recursion_limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(RECURSION_LIMIT)
    yield
    sys.setrecursionlimit(before)
