"""For all tests: the interpreter's recursion limit is what it is in production; hypothesis judges no times, and plays the same examples in
every run of a commit, new ones in ``make night``.

py_ecc, which eth-account brings in for cross-checks, raises the limit to 100,000 at import; a deeply nested frame then overflows the C stack
of whatever decoder reads it, and the test process dies instead of the frame being refused. Hypothesis by itself fails an example that takes
200 ms, and a test whose first examples take a second to draw: on a busy machine that is any test.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

RECURSION_LIMIT = 1_000

settings.register_profile("night", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("commit", settings.get_profile("night"), derandomize=True)
settings.load_profile("commit")


@pytest.fixture(autouse=True)
def _production_recursion_limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(RECURSION_LIMIT)
    yield
    sys.setrecursionlimit(before)
