"""The signals of a run, from its first line on: remembered until there is a loop that can act on them.

An order of an earlier life may rest at a venue, so a signal during start-up must not end the process before that is looked after. And the
question for the health dump must never end it at all.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

HARD_EXIT_S = 15.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The last is a terminal that was closed; ``nohup`` has it ignored, and that stays."""


class RunSignals:
    """Main thread only. ``exit_code``: what the process ends with when it has not ended by itself 15 s after the first stop signal."""

    def __init__(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._stops: list[str] = []
        self._stop: Callable[[str], None] = self._stops.append
        self._is_health_wanted = False
        self._ask_health: Callable[[], None] = self._remember_health
        # Made now: when the stop comes there may be no memory left for a thread, and what a handler raises would end the run.
        self._first_stop: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._exit_after_stop, name="hard-exit", daemon=True).start()
        for number in STOP_SIGNALS:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop_received)
        signal.signal(signal.SIGUSR1, lambda _number, _frame: self._ask_health())
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # It means nothing here, and would end the process at once.

    def hand_over(self, stop: Callable[[str], None], ask_health: Callable[[], None]) -> None:
        """``stop`` gets the name of each stop signal; both are called at once for the signals of the past."""
        self._stop, self._ask_health = stop, ask_health
        for name in self._stops:
            stop(name)
        if self._is_health_wanted:
            ask_health()

    def _remember_health(self) -> None:
        self._is_health_wanted = True

    def _stop_received(self, number: int, _frame: FrameType | None) -> None:
        self._stop(signal.Signals(number).name)
        self._first_stop.put(None)

    def _exit_after_stop(self) -> None:
        self._first_stop.get()
        time.sleep(HARD_EXIT_S)
        os._exit(self._exit_code)
