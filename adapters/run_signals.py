"""The signals of a run, from its first line on: remembered until there is a loop that can act on them.

An order of an earlier life may rest at a venue, so a signal during start-up must not end the process before that is looked after. And the
question for the health dump must never end it at all.
"""

from __future__ import annotations

import atexit
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HARD_EXIT_S = 15.0
HASTEN_AFTER_S = 1.0
"""A closed terminal is told twice within milliseconds, by its shell and by the kernel, and a hand may hit Ctrl-C twice: one wish each."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The last is a terminal that was closed; ``nohup`` has it ignored, and that stays."""


@contextmanager
def held_back() -> Iterator[None]:
    """Main thread only. A stop signal takes effect at the end of the block: for what may not be left half done."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def interrupt_on_stop() -> None:
    """Main thread only. Every stop signal that nobody ignores raises KeyboardInterrupt: a command without handlers of its own leaves through
    its ``finally``. A question for the health dump must not end one that writes none, nor one that is past its end, where the interpreter
    gives up all handlers."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    atexit.register(signal.signal, signal.SIGUSR1, signal.SIG_IGN)
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _nobody(*_: object) -> None:
    """Nobody is there yet; what came is remembered."""


class RunSignals:
    """Main thread only. ``exit_code``: what the process ends with when it has not ended by itself 15 s after the first stop signal."""

    def __init__(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._stop: Callable[[str, float], None] = _nobody
        self._hasten: Callable[[], None] = _nobody
        self._ask_health: Callable[[], None] = _nobody
        self._first: tuple[str, float] | None = None
        self._is_hastened = False
        self._is_health_wanted = False
        # Made now: when the stop comes there may be no memory left for a thread, and what a handler raises would end the run.
        self._countdown: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._exit_after_stop, name="hard-exit", daemon=True).start()
        for number in STOP_SIGNALS:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop_received)
        signal.signal(signal.SIGUSR1, self._health_asked)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # It means nothing here, and would end the process at once.

    def hand_over(self, stop: Callable[[str, float], None], hasten: Callable[[], None], ask_health: Callable[[], None]) -> None:
        """``stop`` gets the name and the monotonic time of the first stop signal; ``hasten`` is called for one that is a second wish: it comes
        a second after the first or later, and is no hang-up. What has come already is told at once."""
        self._stop, self._hasten, self._ask_health = stop, hasten, ask_health
        if self._first is not None:
            stop(*self._first)
        if self._is_hastened:
            hasten()
        if self._is_health_wanted:
            ask_health()

    def _health_asked(self, _number: int, _frame: FrameType | None) -> None:
        self._is_health_wanted = True
        self._ask_health()

    def _stop_received(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = signal.Signals(number).name, now
            self._stop(*self._first)
            self._countdown.put(None)
        elif number != signal.SIGHUP and now - self._first[1] >= HASTEN_AFTER_S:
            self._is_hastened = True
            self._hasten()

    def _exit_after_stop(self) -> None:
        self._countdown.get()
        time.sleep(HARD_EXIT_S)
        os._exit(self._exit_code)
