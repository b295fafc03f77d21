"""Decoders that many threads ask for at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_types_that_many_threads_meet_for_the_first_time_do_not_end_the_process() -> None:
    """A market and an account frame that share a part, both the first of their kind; in a process of its own, which a fault would end."""
    program = [sys.executable, "-m", "tests.adapters.transport.decoding_race", "60"]
    assert 0 == subprocess.run(program, cwd=ROOT, timeout=100, check=False).returncode
