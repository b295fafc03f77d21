"""A venue that cannot be asked at the start is asked again for a while: one lost answer must not end a restart with exposure open.

Only questions of the set-up pass through here. They change nothing at a venue and may be repeated; an order never is.
"""

from __future__ import annotations

import select
import signal
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random

from adapters.run_signals import STOP_SIGNALS
from core.ports import VenueUnreachable

WAIT_LIMIT_S = 60.0
"""From the first answer that did not come, all questions together. A pause that a venue asks for is kept, even where it ends later; one
that is longer by itself ends the wait at once."""
PAUSE_MIN_S, PAUSE_MAX_S, PAUSE_JITTER_S = 0.5, 8.0, 0.5

T = TypeVar("T")


class StartStopped(Exception):
    """A stop signal came while a venue could not be asked: one line that says which, and why not."""


class Ask(Protocol):
    """Puts one question of the set-up; raises what it raises."""

    def __call__(self, question: Callable[[], T]) -> T: ...


def once(question: Callable[[], T]) -> T:
    """The ``Ask`` of who does not wait."""
    return question()


class StopBell:
    """Context manager, main thread only: hears the stop signals beside whoever handles them, so that a wait can end with one."""

    def __init__(self) -> None:
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        self._has_rung = False

    def __enter__(self) -> StopBell:
        self._before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.set_wakeup_fd(self._before)
        self._ear.close()
        self._mouth.close()

    def wait(self, seconds: float) -> bool:
        """Whether a stop signal has come since it was hung up; waits that long for one."""
        until = time.monotonic() + seconds
        while not self._has_rung and select.select([self._ear], [], [], max(until - time.monotonic(), 0.0))[0]:
            self._has_rung = any(number in STOP_SIGNALS for number in self._ear.recv(4096))
        return self._has_rung


class Patience:
    """An ``Ask`` that repeats the question after growing pauses while the venue is unreachable. Raises the last VenueUnreachable when
    the limit is over, StartStopped as soon as ``wait_for_stop`` (seconds to wait) says so."""

    def __init__(
        self, say: Callable[[str], None], wait_for_stop: Callable[[float], bool], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._wait_for_stop = wait_for_stop
        self._now = now
        self._give_up_at: float | None = None
        self._reason = ""
        self._told: set[str] = set()
        self._growing_s = wait_exponential(multiplier=PAUSE_MIN_S, max=PAUSE_MAX_S) + wait_random(0, PAUSE_JITTER_S)
        self._retrying = Retrying(
            retry=retry_if_exception_type(VenueUnreachable),
            stop=self._is_over,
            wait=self._pause_s,
            before_sleep=self._tell,
            sleep=self._pause,
            reraise=True,
        )

    def __call__(self, question: Callable[[], T]) -> T:
        return self._retrying(question)

    def _is_over(self, state: RetryCallState) -> bool:
        self._reason = str(_failure(state))
        self._pause(0.0)
        now = self._now()
        if self._give_up_at is None:
            self._give_up_at = now + WAIT_LIMIT_S
        return now >= self._give_up_at or (_failure(state).retry_after_s or 0.0) > WAIT_LIMIT_S

    def _pause_s(self, state: RetryCallState) -> float:
        return max(self._growing_s(state), _failure(state).retry_after_s or 0.0)

    def _tell(self, _state: RetryCallState) -> None:
        """Each venue once."""
        venue = self._reason.partition(":")[0]
        if venue not in self._told:
            self._told.add(venue)
            self._say(f"[start] waiting for {venue}, up to {WAIT_LIMIT_S:g} s: {self._reason}")

    def _pause(self, seconds: float) -> None:
        """Raises StartStopped where a stop has come by its end."""
        if self._wait_for_stop(seconds):
            raise StartStopped(self._reason)


def _failure(state: RetryCallState) -> VenueUnreachable:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, VenueUnreachable)
    return error
