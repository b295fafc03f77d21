"""Memory given back to the system: what glibc keeps after buffers of all sizes have come and gone (I19)."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from adapters.memory import give_back_memory

CHURN = """
from pathlib import Path
from adapters.memory import give_back_memory

def rss_kib():
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])

kept = [bytes(1_000 + 7 * number % 5_000) for number in range(20_000)]
del kept[::2]
del kept[: len(kept) // 2]
before = rss_kib()
give_back_memory()
print(before - rss_kib())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.platform != "linux", reason="only glibc keeps and gives back so")
def test_pages_that_hold_nothing_any_more_go_back_to_the_system() -> None:
    """Most of them lie between others that are still in use."""
    told = subprocess.run([sys.executable, "-c", CHURN], capture_output=True, text=True, check=True)
    assert int(told.stdout) > 10_000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """musl has no such function, and a frozen program may have no handle of itself."""

    def refuse(_: object) -> object:
        raise OSError("no handle")

    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    give_back_memory()
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    give_back_memory()
    assert refuse is ctypes.CDLL
