"""Which stop signals are one wish and which are two; real signals, and a clock that the test moves."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapters import run_signals
from adapters.run_signals import HASTEN_AFTER_S, STOP_SIGNALS, RunSignals

ROOT = Path(__file__).parents[2]
HEALTH = signal.SIGUSR1
NUMBERS = (*STOP_SIGNALS, HEALTH, signal.SIGUSR2)


class Desk:
    """Signals of this process, and what a run is told of them."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[str] = []

    def open(self) -> RunSignals:
        return RunSignals(3)

    def take(self, signals: RunSignals) -> None:
        signals.hand_over(
            lambda name, at: self.told.append(f"{name} at {at:g}"),
            lambda: self.told.append("hasten"),
            lambda: self.told.append("health"),
        )

    def send(self, number: signal.Signals, after_s: float = 0.0) -> None:
        self.now += after_s
        signal.raise_signal(number)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """As in a terminal, whoever started the tests. The hard exit never comes: it would be the end of the test process."""
    made, before = Desk(), {number: signal.getsignal(number) for number in NUMBERS}
    monkeypatch.setattr(RunSignals, "_exit_after_stop", lambda _: None)
    monkeypatch.setattr(run_signals, "time", SimpleNamespace(monotonic=lambda: made.now))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield made
    for number, action in before.items():
        signal.signal(number, action)


SECONDS = [
    ([(signal.SIGHUP, 0.0024)], []),
    ([(signal.SIGHUP, 5.0)], []),
    ([(signal.SIGINT, HASTEN_AFTER_S / 2)], []),
    ([(signal.SIGINT, HASTEN_AFTER_S / 2), (signal.SIGINT, HASTEN_AFTER_S / 2)], ["hasten"]),
    ([(signal.SIGTERM, HASTEN_AFTER_S)], ["hasten"]),
]


@pytest.mark.parametrize(("further", "expected"), SECONDS)
def test_only_a_later_signal_that_is_no_hang_up_is_a_second_wish(
    desk: Desk, further: list[tuple[signal.Signals, float]], expected: list[str]
) -> None:
    """An interactive shell and the kernel both hang up, 2.4 ms apart; a hand hits Ctrl-C twice."""
    desk.take(desk.open())
    desk.send(signal.SIGHUP)
    for number, after_s in further:
        desk.send(number, after_s)
    assert ["SIGHUP at 100", *expected] == desk.told


@pytest.mark.parametrize(("further", "expected"), SECONDS)
def test_what_came_before_there_was_a_run_is_told_by_the_same_rule(
    desk: Desk, further: list[tuple[signal.Signals, float]], expected: list[str]
) -> None:
    """Start-up takes seconds; its signals are remembered with their time, and so is the question for the dump."""
    signals = desk.open()
    desk.send(HEALTH)
    desk.send(signal.SIGHUP)
    for number, after_s in further:
        desk.send(number, after_s)
    desk.take(signals)
    assert ["SIGHUP at 100", *expected, "health"] == desk.told


LATE = """
import os, signal
from adapters.run_signals import interrupt_on_stop
interrupt_on_stop()
signal.signal(signal.SIGUSR1, lambda *_: None)  # as a run has it
class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGUSR1):
        kill(pid, number)
late = Late()
"""


def test_a_question_for_the_dump_does_not_kill_a_process_that_is_past_its_end() -> None:
    """While the interpreter takes itself apart no handler is left."""
    ended = subprocess.run([sys.executable, "-c", LATE], check=False, cwd=ROOT, capture_output=True, timeout=60)
    assert (0, b"") == (ended.returncode, ended.stderr)
