"""The venues of ``paper``: the simulator in a process of its own, found by the one line it prints and ended with the bot.

Its state (the ledger) outlives the bot's process only as the file it writes; it never shares memory with the bot.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from core.config import Config, VenueConfig

START_LIMIT_S = 20.0
STOP_LIMIT_S = 15.0


class PaperFailed(Exception):
    """The simulator did not come up; one line."""


class PaperEndpoints(NamedTuple):
    """``venues``: endpoint overrides by venue; ``credentials``: public dummy keys; ``control``: base URL of the control port."""

    venues: Mapping[str, Mapping[str, str]]
    credentials: Mapping[str, str]
    control: str

    def put_into(self, config: Config) -> Config:
        """The same run at these venues, on their terms in everything else."""
        venues = {name: VenueConfig(endpoints=dict(urls)) for name, urls in self.venues.items()}
        return Config(run=config.run, strategy=config.strategy, venues=venues)


class PaperVenues:
    """Context manager: starts the simulator on entry, ends it on exit."""

    def __init__(self, market: str, seed: int, ledger: Path, names: Sequence[str], *, latency: str = "real") -> None:
        """``market``: a profile of simulator/market.py; ``names``: the venues to start, in the run's order."""
        self._names = tuple(names)
        self._command = [
            sys.executable,
            "-m",
            "simulator",
            *("--market", market),
            *("--seed", str(seed)),
            *("--state", str(ledger.resolve())),
            *("--latency", latency),
            *(("--venues", ",".join(self._names)) if "apex" in self._names else ()),
        ]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> PaperEndpoints:
        root = Path(__file__).resolve().parent.parent
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, start_new_session=True
        )
        try:
            return _endpoints(self._first_line(), self._names)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        stdout = self._process.stdout
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=START_LIMIT_S)
        except queue.Empty:
            raise PaperFailed(f"the simulator said nothing within {START_LIMIT_S:g} s") from None
        if not line:
            raise PaperFailed(f"the simulator ended at once (exit code {self._process.wait()})")
        return line

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _endpoints(line: str, chosen: Sequence[str]) -> PaperEndpoints:
    told = json.loads(line)
    accounts = told["accounts"]
    names = {name: value for venue in accounts.values() for name, value in venue.items()}
    venues = {name: dict(told[name]) for name in chosen}
    return PaperEndpoints(venues, names, told["control"])
