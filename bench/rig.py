"""The processes a case needs: venues on loopback, the bot as a user starts it, and what the system says of them.

Nothing here measures a time of its own or judges a figure.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 600.0
Delays: TypeAlias = Literal["real", "none"]
_FOREIGN = ("GRVT_", "BACKPACK_", "APEX_", "PARADEX_")


class Strategy(NamedTuple):
    """What the bot is to do, and where. ``text``: its part of the configuration."""

    venues: tuple[str, ...]
    text: str


HEDGE = Strategy(
    ("grvt", "backpack"),
    """
[strategy]
kind           = "hedge"
ticker         = "ETH"
primary        = "grvt"
hedge          = "backpack"
size           = "0.10"
max_delta      = "0.10"
max_position   = "0.50"
max_daily_loss = "1000000"
fx             = { "USDC/USDT" = "1.0" }
""",
)
BRACKET = Strategy(
    ("apex",),
    """
[strategy]
kind           = "bracket"
ticker         = "ETH"
size           = "0.10"
max_daily_loss = "1000000"

[strategy.bracket]
venue = "apex"
side  = "BUY"
take_profit_pct = "0.02"
stop_loss_pct   = "5"
""",
)


class GaveUp(Exception):
    """Something did not come within its time; the figures of this run are worth nothing."""


def until(condition: Callable[[], Any], what: str, *, every_s: float = 0.2) -> Any:
    """The first true value of ``condition``."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(every_s)
    raise GaveUp(f"waited in vain for: {what}")


class Venues:
    """One simulator process; it ends with ``close``."""

    def __init__(self, names: tuple[str, ...], market: str, churn: float, delays: Delays) -> None:
        command = [sys.executable, "-m", "simulator", "--latency", delays, "--market", market, "--churn", str(churn)]
        command += ["--venues", ",".join(names)]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        assert self._child.stdout is not None
        if not select.select([self._child.stdout], [], [], PATIENCE_S)[0]:
            raise GaveUp("the venues said nothing")
        self.directory: dict[str, Any] = json.loads(self._child.stdout.readline())

    def close(self) -> None:
        self._child.communicate(timeout=PATIENCE_S)

    def get(self, path: str) -> Any:
        return self._ask(path, None)

    def post(self, path: str, **body: Any) -> Any:
        return self._ask(path, json.dumps(body).encode())

    def _ask(self, path: str, body: bytes | None) -> Any:
        with urllib.request.urlopen(self.directory["control"] + path, body, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def requests(self) -> dict[str, dict[str, dict[str, int]]]:
        """By venue and route: how often it was asked, and how often answered how."""
        found: dict[str, dict[str, dict[str, int]]] = self.get("/requests")
        return found


class Bot:
    """``supervisor.py run`` as a process of its own, its state in a folder of its own."""

    def __init__(
        self, folder: Path, venues: Venues, strategy: Strategy, *, iterations: int, arguments: tuple[str, ...] = ()
    ) -> None:
        self.state = folder / "state"
        self.started_at = time.time()
        config, keys = _write_files(folder, venues, strategy, iterations)
        command = [sys.executable, str(ROOT / "supervisor.py"), "run", str(config), "--env-file", str(keys), *arguments]
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self._child = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(folder)
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_over(self) -> bool:
        return self._child.poll() is not None

    def output(self) -> str:
        return self._output.read_text("utf-8")

    def done_cycles(self) -> int:
        """Whole lines of cycles.csv below its header."""
        try:
            return max((self.state / "cycles.csv").read_bytes().count(b"\n") - 1, 0)
        except FileNotFoundError:
            return 0

    def until_cycles(self, count: int) -> None:
        until(lambda: self.done_cycles() >= count or self.is_over(), f"{count} cycles")
        if self.done_cycles() < count:
            raise GaveUp(f"the bot ended after {self.done_cycles()} cycles: {self.output()[-500:]}")

    def memory(self) -> Memory:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return Memory(int(fields["VmRSS"].split()[0]) / 1024, int(fields["Threads"]))

    def cpu_s(self) -> float:
        """Processor time used so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_share(self, over_s: float) -> float:
        """Of one core."""
        before, began = self.cpu_s(), time.monotonic()
        time.sleep(over_s)
        return (self.cpu_s() - before) / (time.monotonic() - began)

    def frame_rate(self, over_s: float = 5.0) -> float:
        """Stream frames received per second."""
        before, began = self.metric("ws_events_received"), time.monotonic()
        time.sleep(over_s)
        return (self.metric("ws_events_received") - before) / (time.monotonic() - began)

    def is_deciding(self) -> bool:
        """Whether a first order was decided."""
        log = self.state / "log.jsonl"
        return log.exists() and b'"OrderSubmitted"' in log.read_bytes()

    def metric(self, name: str) -> float:
        """By its own health dump."""
        dump = self.state / "health.json"
        before = dump.stat().st_mtime_ns if dump.exists() else 0
        self._child.send_signal(signal.SIGUSR1)
        until(lambda: dump.exists() and dump.stat().st_mtime_ns != before, "a health dump", every_s=0.01)
        return float(json.loads(dump.read_bytes())["metrics"][name])

    def stop(self) -> int:
        if not self.is_over():
            self._child.send_signal(signal.SIGTERM)
        return self._child.wait(PATIENCE_S)


class Memory(NamedTuple):
    rss_mb: float
    threads: int


@contextmanager
def run(
    market: str,
    strategy: Strategy = HEDGE,
    *,
    iterations: int = 0,
    churn: float = 0.0,
    core: int | None = None,
    arguments: tuple[str, ...] = (),
    delays: Delays = "none",
) -> Iterator[tuple[Venues, Bot]]:
    """Venues and a bot that trades with them; both are gone afterwards. ``churn``: more public frames per second; ``core``: the only
    one that the bot may run on; ``delays``: those that were measured of the real venues, or none."""
    with tempfile.TemporaryDirectory(prefix="perpfarm-bench-") as name:
        venues = Venues(strategy.venues, market, churn, delays)
        try:
            bot = Bot(Path(name), venues, strategy, iterations=iterations, arguments=arguments)
            if core is not None:
                os.sched_setaffinity(bot.pid, {core})
            try:
                yield venues, bot
            finally:
                bot.stop()
        finally:
            venues.close()


def _write_files(folder: Path, venues: Venues, strategy: Strategy, iterations: int) -> tuple[Path, Path]:
    lines = [f'[run]\nstate_dir = "state"\niterations = {iterations}\n{strategy.text}']
    for venue in strategy.venues:
        lines.append(f"[venues.{venue}.endpoints]")
        lines += [f'{key} = "{url}"' for key, url in venues.directory[venue].items()]
    config, keys = folder / "bot.toml", folder / "bot.env"
    config.write_text("\n".join(lines))
    keys.touch(mode=0o600)
    named = {name: value for account in venues.directory["accounts"].values() for name, value in account.items()}
    keys.write_text("".join(f"{name}={value}\n" for name, value in named.items()))
    return config, keys


def _environment(folder: Path) -> dict[str, str]:
    """Ours without anybody's credentials, and a lock folder of this run only."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder)}
