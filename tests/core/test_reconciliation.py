"""The audit of one venue: when it has been read completely, and when its position contradicts our fills."""

from __future__ import annotations

from core.messages import PositionMismatch, VenueReconciled
from core.reconciliation import MISMATCH_TOLERANCE_S, VenueAudit
from tests.core.builders import GRVT, D

ZERO = D(0)


def audit(*, begun_at: float | None = 10.0) -> VenueAudit:
    made = VenueAudit(GRVT, D("0.01"))
    if begun_at is not None:
        made.begin(begun_at)
    return made


def complete(made: VenueAudit, asked_at: float = 10.0, quantity: str = "0") -> None:
    made.fetched("fills", asked_at)
    made.fetched("orders", asked_at)
    made.reported(D(quantity), asked_at=asked_at)


def test_all_three_reads_and_an_equal_position_reconcile() -> None:
    made = audit()
    complete(made)
    assert (VenueReconciled(venue=GRVT, at=11.0),) == made.judge(ZERO, 11.0)


def test_two_of_three_reads_do_not() -> None:
    made = audit()
    made.fetched("fills", 10.0)
    made.reported(ZERO, asked_at=10.0)
    assert () == made.judge(ZERO, 11.0)


def test_answers_to_questions_asked_before_the_round_do_not_count() -> None:
    made = audit()
    complete(made, asked_at=9.9)
    assert () == made.judge(ZERO, 11.0)


def test_a_streams_position_is_no_read() -> None:
    made = audit()
    made.fetched("fills", 10.0)
    made.fetched("orders", 10.0)
    made.reported(ZERO, asked_at=None)
    assert () == made.judge(ZERO, 11.0)


def test_a_round_is_reconciled_once() -> None:
    made = audit()
    complete(made)
    made.judge(ZERO, 11.0)
    assert () == made.judge(ZERO, 12.0)


def test_a_new_round_forgets_what_the_last_one_read() -> None:
    made = audit()
    complete(made)
    made.begin(20.0)
    assert () == made.judge(ZERO, 21.0)


def test_a_cancelled_round_is_never_complete() -> None:
    made = audit()
    made.cancel()
    complete(made)
    assert () == made.judge(ZERO, 11.0)


def test_a_difference_below_a_lot_is_rounding() -> None:
    made = audit()
    complete(made, quantity="0.009")
    assert 1 == len(made.judge(ZERO, 11.0))


def test_a_difference_of_a_lot_is_none() -> None:
    made = audit()
    complete(made, quantity="0.01")
    assert () == made.judge(ZERO, 11.0)


def test_a_lasting_difference_alarms_once_and_not_before_its_tolerance() -> None:
    made = audit()
    made.reported(D("0.05"), asked_at=None)
    told = [made.judge(ZERO, at) for at in (0.0, MISMATCH_TOLERANCE_S - 0.1, MISMATCH_TOLERANCE_S, 2 * MISMATCH_TOLERANCE_S)]
    mismatch = PositionMismatch(venue=GRVT, reported=D("0.05"), expected=ZERO, at=MISMATCH_TOLERANCE_S)
    assert [0, 0, 2, 0] == [len(messages) for messages in told]
    assert (mismatch, "critical", "position") == (told[2][0], told[2][1].level, told[2][1].key)


def test_a_difference_that_went_away_starts_its_tolerance_anew() -> None:
    made = audit(begun_at=None)
    made.reported(D("0.05"), asked_at=None)
    told = [made.judge(expected, at) for expected, at in ((ZERO, 0.0), (D("0.05"), 5.0), (ZERO, 6.0), (ZERO, 15.0))]
    assert [(), (), (), ()] == told


def test_nothing_is_judged_before_the_venue_has_said_anything() -> None:
    assert () == audit().judge(D(1), 100.0)


def test_its_deadline_is_the_end_of_the_tolerance() -> None:
    made = audit()
    made.reported(D("0.05"), asked_at=None)
    made.judge(ZERO, 3.0)
    assert 3.0 + MISMATCH_TOLERANCE_S == made.deadline()
