"""``status`` and ``halt``: reach the running process from outside, by signal and by a file. Neither touches the journal."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from adapters.lock import holder_of

ANSWER_LIMIT_S = 5.0
STATE_ROOT = Path("state")


class StatusUnavailable(Exception):
    """No process to ask, or no answer; one line."""


def ask_status(state_dir: Path | None) -> int:
    """Print the fresh ``health.json`` of the process that holds ``state_dir``; without one, of the only running one under ``state/``."""
    folder, pid = _find(state_dir)
    dump = folder / "health.json"
    before = _stamp(dump)
    os.kill(pid, signal.SIGUSR1)
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while time.monotonic() < deadline:
        if _stamp(dump) != before:
            print(dump.read_text("utf-8"))
            return 0
        time.sleep(0.02)
    raise StatusUnavailable(f"process {pid} wrote no {dump} within {ANSWER_LIMIT_S:g} s")


def kill_switch(state_dir: Path) -> Path:
    """The file whose presence halts a run: making it by hand does the same as ``halt``."""
    return state_dir / "KILL"


def is_thrown(state_dir: Path) -> bool:
    """Raises OSError where it cannot be told: ``Path.exists`` takes that for a no, of more kinds of error with every Python."""
    try:
        kill_switch(state_dir).stat()
    except FileNotFoundError:
        return False
    return True


def throw_kill_switch(state_dir: Path | None) -> int:
    """Make the file for the process that holds ``state_dir``; it stays, so that a restart does not trade either until a person removes it."""
    folder, pid = _find(state_dir)
    kill_switch(folder).touch()
    print(f"process {pid} halts: cancels only; remove {kill_switch(folder)} before the next start")
    return 0


def _find(state_dir: Path | None) -> tuple[Path, int]:
    candidates = [state_dir] if state_dir is not None else sorted(path.parent for path in STATE_ROOT.glob("*/lock"))
    running = [(folder, pid) for folder in candidates if (pid := holder_of(folder)) is not None]
    if not running:
        raise StatusUnavailable(
            f"no running process holds {state_dir or f'a folder under {STATE_ROOT}/'}; accepted: --state-dir DIR"
        )
    if len(running) > 1:
        raise StatusUnavailable(f"several run; accepted: --state-dir one of {', '.join(str(folder) for folder, _ in running)}")
    return running[0]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino
