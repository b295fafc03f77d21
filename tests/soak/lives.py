"""The bot's lives during a soak: starts, ends, what the kernel says of each process, and what it says of itself.

A life is one process. The keeper plays the outer supervisor and the person: it starts the next one. What it finds wrong it notes and goes on.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.process.kit import Bot, World, printed_residue

SAMPLE_S = 1.0
DUMP_LIMIT_S = 10.0
RETRY_S = 2.0
EXIT_FLAT, EXIT_FAILED, EXIT_REFUSED, EXIT_EXPOSED = 0, 1, 2, 3


class Finding(NamedTuple):
    """Something that must not be; ``at`` in epoch seconds."""

    at: float
    invariant: str
    text: str


class Sample(NamedTuple):
    """One look into /proc. ``phase``: number of the healthy phase it fell into, 0 in between."""

    at: float
    phase: int
    rss_kib: int
    threads: int
    files: int


class Life:
    """One process of the bot and what was seen of it."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.started_at = time.time()
        self.ended_at: float | None = None
        self.end = "runs"
        self.samples: list[Sample] = []

    def over(self, end: str) -> None:
        self.ended_at, self.end = time.time(), end

    def sample(self, phase: int) -> None:
        """Nothing where the process is gone."""
        folder = Path("/proc") / str(self.bot.pid)
        with suppress(OSError, KeyError):
            fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            rss_kib, threads = int(fields["VmRSS"].split()[0]), int(fields["Threads"])
            self.samples.append(Sample(time.time(), phase, rss_kib, threads, len(os.listdir(folder / "fd"))))


class Keeper:
    """``bot`` is the process of now. Every odd thing goes through ``find``, which keeps the evidence of that moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.findings: list[Finding] = []
        self.lives: list[Life] = []
        self.refused_starts = 0
        self.slowest_dump_s = 0.0
        self.deepest_inbox = 0
        self.dead_letters = 0
        self.phase = 0
        self._is_over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="sampler", daemon=True)

    @property
    def bot(self) -> Bot:
        return self.lives[-1].bot

    def find(self, invariant: str, text: str) -> None:
        self.findings.append(Finding(time.time(), invariant, text))
        told = {"finding": self.findings[-1]._asdict(), "health": self._read_dump(), "ledger": self.world.venues.get("/ledger")}
        (self.world.folder / f"finding-{len(self.findings)}.json").write_text(json.dumps(told, indent=1))

    # ---- starts and ends -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.lives.append(Life(self.world.run()))
        self.world.until_holding(self.bot)
        if not self._sampler.is_alive():
            self._sampler.start()

    def kill(self) -> None:
        self.bot.kill()
        self.lives[-1].over("SIGKILL")
        self.start()

    def stop(self, *, is_calm: bool) -> None:
        """SIGTERM, judged by what the venues hold, and a new start."""
        self.end(is_calm=is_calm)
        self.start()

    def end(self, *, is_calm: bool) -> None:
        """``is_calm``: nothing was wrong with the venues, so nothing may be left of unknown outcome."""
        if not self.bot.is_running:
            return
        try:
            code = self.bot.end(signal.SIGTERM)
        except AssertionError as error:
            self.find("I10", f"does not end: {error}")
            self.bot.kill()
            self.lives[-1].over("SIGTERM, then SIGKILL")
            return
        self.lives[-1].over(f"SIGTERM, exit {code}")
        self._judge_end(code, is_calm=is_calm)

    def _judge_end(self, code: int, *, is_calm: bool) -> None:
        """I10: 0 is flat with nothing resting; 3 says what is left. A stop before the first look at a sick venue may be refused (2)."""
        ledger, said = self.world.venues.ledger(), printed_residue(self.bot.stdout)
        held = {venue: quantity for venue, quantity in ledger.positions.items() if quantity}
        left = f"exit {code}, held {held}, said {said}, resting {ledger.open_orders}"
        if self.bot.stderr and code != EXIT_REFUSED:
            self.find("exit", f"standard error: {self.bot.stderr[-2000:]}")
        is_clean = not held and not ledger.open_orders
        is_said = code == (EXIT_EXPOSED if held else EXIT_FLAT) and said == held and not ledger.open_orders
        if (code == EXIT_FLAT and not is_clean) or (is_calm and not is_said):
            self.find("I10", left)
        elif code not in (EXIT_FLAT, EXIT_EXPOSED) and (is_calm or code != EXIT_REFUSED):
            self.find("exit", left)
        elif code == EXIT_EXPOSED and "left" not in self.bot.stdout + self.bot.stderr:
            self.find("I10", f"nothing was said: {left}")

    def tend(self, *, is_calm: bool) -> None:
        """A process that ended by itself is a finding, but for a start that a sick venue made impossible; either way the next begins."""
        if self.bot.is_running:
            return
        code = self.bot.wait()
        self.lives[-1].over(f"by itself, exit {code}")
        if (code == EXIT_REFUSED or (code == EXIT_FAILED and self._never_started())) and not is_calm:
            self.refused_starts += 1
            time.sleep(RETRY_S)
        else:
            self.find("exit", f"ended by itself with {code}: {self.bot.stderr[-2000:]}")
        self.start()

    def _never_started(self) -> bool:
        """Whether it only waited for a venue that could not be asked."""
        return "[start] waiting for" in self.bot.stdout and "[state]" not in self.bot.stdout

    # ---- looks -----------------------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any] | None:
        """The process's own word on itself, asked for now; None where it does not answer in time."""
        before, asked_at = self._read_dump(), time.monotonic()
        self.bot.send(signal.SIGUSR1)
        while time.monotonic() - asked_at < DUMP_LIMIT_S and self.bot.is_running:
            found = self._read_dump()
            if found is not None and found != before and found["pid"] == self.bot.pid:
                self._note(found, time.monotonic() - asked_at)
                return found
            time.sleep(0.02)
        return None

    def _note(self, dump: dict[str, Any], took_s: float) -> None:
        if self.phase:
            self.slowest_dump_s = max(self.slowest_dump_s, took_s)
        self.deepest_inbox = max(self.deepest_inbox, *(actor["queue_depth"] for actor in dump["actors"]))
        self.dead_letters = max(self.dead_letters, int(dump["metrics"]["dead_letters"]))

    def _read_dump(self) -> dict[str, Any] | None:
        with suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads((self.world.state / "health.json").read_text())
            return found
        return None

    def _sample(self) -> None:
        while not self._is_over.wait(SAMPLE_S):
            self.lives[-1].sample(self.phase)

    def close(self) -> None:
        self._is_over.set()
        self._sampler.join()
