"""Date headers against a measured offset: two answers that agree correct it, one alone does not (RELIABILITY.md C11)."""

from __future__ import annotations

import pytest

from adapters.transport.clock import DateCheck

HOUR_MS = 3_600_000.0


@pytest.mark.parametrize(
    ("seen", "corrected"),
    [
        ([HOUR_MS, HOUR_MS + 400], [None, HOUR_MS + 400]),
        ([HOUR_MS], [None]),
        ([HOUR_MS, HOUR_MS], [None, None]),
        ([HOUR_MS, 300.0, HOUR_MS], [None, None, None]),
        ([HOUR_MS, -HOUR_MS], [None, None]),
        ([HOUR_MS, -HOUR_MS, -HOUR_MS + 1], [None, None, -HOUR_MS + 1]),
        ([1400.0, -1400.0], [None, None]),
        ([None, None], [None, None]),
    ],
    ids=["two agree", "one", "the same answer twice", "one among good ones", "two that differ", "the later two", "grain", "none"],
)
def test_only_two_answers_that_agree_correct_the_offset(seen: list[float | None], corrected: list[float | None]) -> None:
    """Whole seconds and round trips are no reason; nor is the wrong date of one page in between."""
    check = DateCheck()
    assert corrected == [check.correction(offset_ms, 0.0) for offset_ms in seen]
