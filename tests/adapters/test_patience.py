"""Claims on how a start waits for a venue that cannot be asked."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from adapters.patience import PAUSE_JITTER_S, PAUSE_MAX_S, WAIT_LIMIT_S, Patience, StartStopped, StopBell
from core.ports import VenueRefused, VenueUnreachable


class Rig:
    """Time passes in pauses, and in answers that are waited for (``answer_s``); a stop comes in the pause number ``stop_at``."""

    def __init__(self, *, stop_at: int = 1_000, answer_s: float = 0.0) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.said: list[str] = []
        self.asked = 0
        self._stop_at = stop_at
        self._answer_s = answer_s
        self.patience = Patience(self.said.append, self._wait, lambda: self.now)

    def _wait(self, seconds: float) -> bool:
        if seconds > 0:
            self.pauses.append(seconds)
            self.now += seconds
        return len(self.pauses) >= self._stop_at

    def ask(self, *failures: Exception, is_endless: bool = False) -> str:
        """A question that fails so, and then is answered; ``is_endless``: the last failure stays."""
        left = list(failures)

        def question() -> str:
            self.asked += 1
            self.now += self._answer_s
            if not left:
                return "answer"
            raise left[0] if is_endless and len(left) == 1 else left.pop(0)

        return self.patience(question)


LOST = VenueUnreachable("grvt: positions: status 502")
LONGEST_S = PAUSE_MAX_S + PAUSE_JITTER_S


def test_a_lost_answer_costs_a_pause_and_nothing_else() -> None:
    """The question is put again."""
    rig = Rig()
    assert ("answer", 3, 2) == (rig.ask(LOST, LOST), rig.asked, len(rig.pauses))


def test_pauses_grow_up_to_a_limit() -> None:
    """Each has some chance in it; none is longer than the limit."""
    rig = Rig()
    rig.ask(*[LOST] * 5)
    assert sorted(rig.pauses) == rig.pauses
    assert PAUSE_MAX_S <= rig.pauses[-1] <= LONGEST_S


def test_it_gives_up_after_the_limit_with_the_last_reason() -> None:
    """It is still a failure of asking, which a restart may mend."""
    rig = Rig()
    with pytest.raises(VenueUnreachable, match="status 504"):
        rig.ask(LOST, VenueUnreachable("grvt: positions: status 504"), is_endless=True)
    assert WAIT_LIMIT_S <= rig.now <= WAIT_LIMIT_S + LONGEST_S


def test_answers_that_are_waited_for_count_as_well() -> None:
    """A venue that hangs each time until the deadline is given up no later than one that refuses."""
    rig = Rig(answer_s=5.0)
    with pytest.raises(VenueUnreachable):
        rig.ask(LOST, is_endless=True)
    assert rig.now <= WAIT_LIMIT_S + LONGEST_S + 2 * 5.0


def test_the_limit_is_one_for_all_questions() -> None:
    """A start of many questions does not wait many times as long."""
    rig = Rig()
    while rig.now < WAIT_LIMIT_S:
        rig.ask(LOST)
    with pytest.raises(VenueUnreachable):
        rig.ask(LOST)
    assert WAIT_LIMIT_S <= rig.now <= WAIT_LIMIT_S + LONGEST_S


@pytest.mark.parametrize("asked_s", [20.0, WAIT_LIMIT_S])
def test_the_pause_that_a_venue_asks_for_is_kept(asked_s: float) -> None:
    """Even one that reaches to the limit: coming back earlier would earn a longer ban."""
    rig = Rig()
    assert "answer" == rig.ask(LOST, VenueUnreachable("grvt: 429", retry_after_s=asked_s))
    assert rig.pauses[0] < rig.pauses[1] == asked_s


def test_a_pause_beyond_the_limit_ends_the_wait_at_once() -> None:
    """A process that sleeps for a day looks like one that hangs."""
    rig = Rig()
    with pytest.raises(VenueUnreachable, match="429"):
        rig.ask(VenueUnreachable("grvt: 429", retry_after_s=WAIT_LIMIT_S + 1))
    assert [] == rig.pauses


def test_what_a_venue_says_for_good_is_not_asked_again() -> None:
    """A wrong key stays wrong."""
    rig = Rig()
    with pytest.raises(VenueRefused, match="no perpetual"):
        rig.ask(VenueRefused("grvt: no perpetual ZZZ/USDT"))
    assert (1, [], []) == (rig.asked, rig.pauses, rig.said)


def test_each_venue_that_is_waited_for_is_said_once() -> None:
    """With what was asked and what came back."""
    rig = Rig()
    rig.ask(LOST, LOST, VenueUnreachable("backpack: GET /api/v1/account: not sent: refused"), LOST)
    rig.ask(LOST)
    assert 2 == len(rig.said)
    assert "waiting for grvt" in rig.said[0]
    assert str(LOST) in rig.said[0]
    assert "waiting for backpack" in rig.said[1]


def test_a_stop_ends_the_wait_without_another_question() -> None:
    """With the reason of the wait."""
    rig = Rig(stop_at=2)
    with pytest.raises(StartStopped, match="grvt: positions: status 502"):
        rig.ask(LOST, is_endless=True)
    assert 2 == rig.asked


def test_a_stop_that_came_before_the_failure_is_not_waited_for() -> None:
    """Nor is it taken for a start that was given up, or said to be waited for."""
    rig = Rig(stop_at=0)
    with pytest.raises(StartStopped, match="grvt: positions: status 502"):
        rig.ask(LOST, is_endless=True)
    assert (1, [], []) == (rig.asked, rig.pauses, rig.said)


@pytest.fixture
def handled() -> Iterator[list[int]]:
    """Signals are somebody else's to handle; this is who."""
    seen: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = [signal.signal(number, lambda got, _frame: seen.append(got)) for number in numbers]
    yield seen
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_the_bell_rings_for_a_stop_that_came_before_and_for_no_other_signal(handled: list[int]) -> None:
    """It takes no signal away from its handler, and leaves nothing behind."""
    with StopBell() as bell:
        signal.raise_signal(signal.SIGUSR1)
        assert not bell.wait(0.0)
        signal.raise_signal(signal.SIGTERM)
        assert [True, True] == [bell.wait(60.0), bell.wait(60.0)]
    assert [signal.SIGUSR1, signal.SIGTERM] == handled
    assert -1 == signal.set_wakeup_fd(-1)
