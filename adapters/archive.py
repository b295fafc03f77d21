"""Keeps the state of an earlier paper run aside: each paper run begins on fresh venues, so it needs a fresh journal; nothing is deleted."""

from __future__ import annotations

import time
from pathlib import Path

_KEPT = frozenset({"lock"})


def archive_state(state_dir: Path) -> Path | None:
    """Move what lies in ``state_dir`` (but its lock and earlier archives) into a folder named by the time; None where there was nothing."""
    old = [entry for entry in state_dir.iterdir() if entry.name not in _KEPT and not entry.name.startswith("before-")]
    if not old:
        return None
    target = state_dir / f"before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{time.time_ns() % 1_000_000_000:09d}"
    target.mkdir()
    for entry in old:
        entry.rename(target / entry.name)
    return target
