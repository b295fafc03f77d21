"""``python -m tests.soak [--minutes 120] [--seed 1] [--out FILE.md] [--folder DIR]``: storms, healing, and the report.

The first part of the time is one life, under every fault that a process survives, so that its memory can be judged; after it processes
end as well. Exit code 1 where anything was found; the folder with all evidence then stays, and is named.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from tests.process.canaries import leaks
from tests.process.kit import World
from tests.soak import judge, report
from tests.soak.lives import Keeper
from tests.soak.nemesis import Scene, Storm, draw
from tests.soak.past import write_past

MAX_DELTA = Decimal("0.10")
LONG_LIFE = 0.75
"""Share of the time in which no fault ends the process."""
HEAL_LIMIT_S = 180.0
QUIET_S = (8.0, 20.0)
POLL_S = 0.25


class Soak:
    """One run; ``outcome`` is what the report is made of."""

    def __init__(self, folder: Path, minutes: float, seed: int) -> None:
        self.folder = folder
        self.minutes, self.seed = minutes, seed
        self.world = World(folder, "--latency", "real", "--seed", str(seed))
        self.world.write_config(change=lambda text: text.replace("fx  ", 'max_daily_loss = "1000000"\nfx  '))
        write_past(self.world.state)
        self.keeper = Keeper(self.world)
        self.dice = random.Random(seed)
        self.scene = Scene(self.keeper, random.Random(f"{seed}/acts"), folder / "faults.jsonl")
        self.storms: list[Storm] = []
        self.heal_s: dict[str, list[float]] = {}
        self.changes: list[tuple[float, str]] = [(0.0, judge.QUIET)]
        """Since when (epoch seconds) which family of faults is at work."""
        self.planted_429 = self.seen_429 = 0

    def run(self) -> report.Outcome:
        began = time.monotonic()
        try:
            self.keeper.start()
            self._heal(judge.QUIET)
            while (spent := time.monotonic() - began) < self.minutes * 60:
                self._quiet()
                self._storm(draw(self.dice, with_ends=spent > self.minutes * 60 * LONG_LIFE))
            self._quiet()
            self.keeper.end(is_calm=True)
            return self._judge(time.monotonic() - began)
        finally:
            self.keeper.close()
            self.world.close()

    # ---- phases ----------------------------------------------------------------------------------------------------------------

    def _storm(self, storm: Storm) -> None:
        self.storms.append(storm)
        self.changes.append((time.time(), storm.family))
        self._count_429(planted=False)
        began = time.monotonic()
        for offset_s, fault in storm.faults:
            self._wait(began + offset_s)
            self.scene.strike(fault)
        self._wait(began + storm.duration_s)
        self.scene.calm()
        self._count_429(planted=storm.has("429 storm"))
        self._heal(storm.family)
        self.changes.append((time.time(), judge.QUIET))

    def _wait(self, until: float) -> None:
        """In bad times: a start that fails is tried again."""
        while time.monotonic() < until:
            self.keeper.tend(is_calm=False)
            time.sleep(min(POLL_S, max(until - time.monotonic(), 0)))

    def _heal(self, family: str) -> None:
        """Until the bot is well again; where it is not in time, that is found, and a person would restart it, once."""
        began, since = time.monotonic(), time.time()
        limits_s = [HEAL_LIMIT_S, 2 * HEAL_LIMIT_S]
        self.keeper.tend(is_calm=False)
        while problem := self._problem(since):
            if time.monotonic() - began > limits_s[0]:
                self.keeper.find("heal", f"not well {limits_s.pop(0):.0f} s after {self.storms[-1:]}: {problem}")
                self.keeper.stop(is_calm=True)
            if not limits_s:
                return
            time.sleep(POLL_S)
            self.keeper.tend(is_calm=self.keeper.lives[-1].started_at > since)
        self.heal_s.setdefault(family, []).append(time.monotonic() - began)

    def _problem(self, since: float) -> str:
        """Why the bot is not well: "" when every part runs, every stream lives, all is hedged, and it quotes or has just been filled."""
        dump = self.keeper.dump()
        if dump is None:
            return "no health dump"
        parts = [actor["name"] for actor in dump["actors"] if actor["state"] != "running"]
        streams = [f"{feed['channel']} of {feed['venue']}" for feed in dump["feeds"] if feed["state"] != "LIVE"]
        if dump["state"] != "ACTIVE" or parts or streams or dump["unknown_orders"]:
            return f"{dump['state']}, parts down {parts}, streams down {streams}, {dump['unknown_orders']} unknown orders"
        told = self.world.venues.get("/ledger")
        path = judge.delta_path(told)
        if path and abs(path[-1][1]) >= judge.LOT:
            return f"delta {path[-1][1]}"
        quotes = any(order["status"] == "OPEN" for order in told["grvt"]["orders"])
        return "" if quotes or (path and path[-1][0] > since) else "neither quote nor fill"

    def _quiet(self) -> None:
        """Ordinary trading; what the kernel says of the process now counts."""
        self.keeper.phase = len(self.changes)
        until = time.monotonic() + self.dice.uniform(*QUIET_S)
        while time.monotonic() < until:
            self.keeper.tend(is_calm=True)
            time.sleep(POLL_S)
        if self.keeper.dump() is None and self.keeper.bot.is_running:
            self.keeper.find("heal", "no health dump in ordinary trading")
        self.keeper.phase = 0

    def _count_429(self, *, planted: bool) -> None:
        now = judge.throttled(self.world.venues.get("/requests"))
        fresh, self.seen_429 = now - self.seen_429, now
        if planted:
            self.planted_429 += fresh
        elif fresh:
            self.keeper.find("I14", f"{fresh} answers 429 that nobody planted")

    # ---- the end ---------------------------------------------------------------------------------------------------------------

    def _judge(self, lasted_s: float) -> report.Outcome:
        self._count_429(planted=False)
        told, ledger = self.world.venues.get("/ledger"), self.world.venues.ledger()
        path = judge.delta_path(told)
        lives = self.keeper.lives
        after = {
            "I1": judge.beyond(path, MAX_DELTA),
            "I3": judge.hedged_once(told),
            "I5": judge.unlike(ledger, self.world.fills_csv()),
            "I6": judge.unintended(told, judge.intents(self.world.state / "journal.sqlite")),
            "I7": [f"{venue} {client_id}" for venue, client_id in ledger.reused_client_ids],
            "I15": judge.takers(told),
            # The evidence of a finding is this program's own, with the ledgers of all accounts.
            "I18": [f"{name} in {file}" for file, name in leaks(self.world) if not str(file).startswith("finding-")],
            "I19": [text for life in lives for text in judge.grows(life)]
            + [f"inbox of {self.keeper.deepest_inbox}"] * (self.keeper.deepest_inbox > judge.INBOX_MAX),
            "I20": [f"life {number}: {text}" for number, life in enumerate(lives, 1) for text in judge.threads_left(life)],
        }
        for invariant, texts in after.items():
            for text in texts[: report.SHOWN]:
                self.keeper.find(invariant, text)
            if len(texts) > report.SHOWN:
                self.keeper.find(invariant, f"{len(texts) - report.SHOWN} more of them")
        exposure = judge.by_family(judge.episodes(path, time.time()), self.changes)
        return report.Outcome(
            self.seed,
            self.minutes,
            lasted_s,
            self.keeper,
            self.storms,
            self.scene.struck,
            self.heal_s,
            exposure,
            told,
            self.planted_429,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="The bot under hours of random faults.")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Markdown report; standard output where it is not given")
    parser.add_argument(
        "--folder", type=Path, help="for what the run writes; it stays. Otherwise a temporary one, kept on findings"
    )
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Soak(folder, arguments.minutes, arguments.seed).run()
    text = report.markdown(outcome)
    if arguments.out is None:
        print(text)
    else:
        arguments.out.write_text(text)
    if outcome.keeper.findings:
        print(f"{len(outcome.keeper.findings)} findings; evidence in {folder}", file=sys.stderr)
        return 1
    if arguments.folder is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
