"""The Markdown report of a soak: figures as they were, and what they do and do not show. Must never judge: the findings are given."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.process.kit import VENUES
from tests.soak.judge import JUDGED_HOURS, WARM_UP_S, growth, phases, quantiles
from tests.soak.lives import Keeper, Life
from tests.soak.nemesis import FAULTS, Storm, Struck

WINDOW_S = 300.0
SHOWN = 5
"""Findings of one kind that are written down; the first few tell the story."""
JUDGED = {
    "I1": "net position within `max_delta` after every fill in the venues' ledgers",
    "I3": "flat at the end, and no more covered than the quotes had filled",
    "I5": "fills.csv is the ledgers, each fill once",
    "I6": "every order at a venue has an earlier intent in the journal",
    "I7": "no client order id twice, over all lives",
    "I10": "a stop leaves nothing resting, says what is held, and exits accordingly",
    "I14": "no 429 but the planted ones",
    "I15": "every fill of a quote is a maker fill",
    "I18": "no credential in any file or output, in any spelling",
    "I19": "memory grows by less than 1 MiB/h over the healthy phases after the warm-up; inboxes below 10,000",
    "I20": "as many threads at the last healthy phase of a life as at its first, never more than 3 above",
    "exit": "no process ended by itself, none wrote to standard error",
    "heal": "well again within 180 s of every storm: every part runs, every stream lives, flat, quoting or just filled",
}
LIMITS = """
## What it does not show
- That the invented mixture of faults is the real one, or that a venue does nothing else. The venues are the simulator's, on loopback.
- Days: what grows by less than the standard error above, or once a day (session renewal, rotation, log files), is not seen.
- Half-open streams are a suspended venue process or a silent channel; packets lost between two live hosts are the fault tests' business.
- Power loss and a full disk (fault tests), two processes on one account, trading by hand on the account, funding, liquidation.
- Exposure times hold for a machine with other work on it and for the delays of the simulator; they are reported, not judged.
"""


class Outcome(NamedTuple):
    """``heal_s`` and ``exposure_s``: durations by family of faults; ``told``: the venues' ledgers."""

    seed: int
    minutes: float
    lasted_s: float
    keeper: Keeper
    storms: Sequence[Storm]
    struck: Sequence[Struck]
    heal_s: Mapping[str, Sequence[float]]
    exposure_s: Mapping[str, Sequence[float]]
    told: Mapping[str, Any]
    planted_429: int


def markdown(outcome: Outcome) -> str:
    parts = [_head(outcome), _verdicts(outcome), _families(outcome), _faults(outcome), _lives(outcome), LIMITS.strip()]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _head(outcome: Outcome) -> str:
    keeper, told = outcome.keeper, outcome.told
    fills = {venue: len(told[venue]["fills"]) for venue in VENUES}
    orders = {venue: len(told[venue]["orders"]) for venue in VENUES}
    rows = [
        ("time", f"{outcome.lasted_s / 60:.1f} min"),
        ("machine", f"{os.cpu_count()} cores, Python {platform.python_version()}"),
        ("storms, acts of the nemesis", f"{len(outcome.storms)}, {len(outcome.struck)}"),
        ("lives of the bot", len(keeper.lives)),
        ("orders", ", ".join(f"{venue} {count}" for venue, count in orders.items())),
        ("fills", ", ".join(f"{venue} {count}" for venue, count in fills.items())),
        ("answers 429, all planted", outcome.planted_429),
        ("starts refused because a venue was sick", keeper.refused_starts),
        ("slowest health dump", f"{keeper.slowest_dump_s:.2f} s"),
        ("deepest inbox, dead letters of one life at most", f"{keeper.deepest_inbox}, {keeper.dead_letters}"),
        ("findings", len(keeper.findings)),
    ]
    return f"""# Soak
Written by `python -m tests.soak --minutes {outcome.minutes:g} --seed {outcome.seed}` (`make soak` runs 120 minutes): the bot and the
simulator as processes of their own, the simulator with its realistic delays, and a nemesis that is drawn from the seed. Storms of one to
four faults, 3 to 20 s long, each followed by healing and by ordinary trading. The journal is that of a bot which has traded for weeks: its
stores of settled orders and seen fills are at their bounds, so that growth is growth. In the first 75 % of the time no fault ends the process,
so that its memory can be judged; after that four storms in ten kill or stop it in the middle.

{_table(("", ""), rows)}"""


def _verdicts(outcome: Outcome) -> str:
    counts = Counter(finding.invariant for finding in outcome.keeper.findings)
    found = {invariant: str(counts[invariant]) for invariant in JUDGED}
    spans = [each.hours for life in outcome.keeper.lives if (each := growth(life)) is not None]
    if max(spans, default=0.0) < JUDGED_HOURS:
        found["I19"] += ", but no life was long enough to judge its memory"
    text = "## Judged\n" + _table(("", "must hold", "findings"), [(key, what, found[key]) for key, what in JUDGED.items()])
    told = [f"- {finding.invariant} at {finding.at:.1f}: {finding.text}" for finding in outcome.keeper.findings]
    return "\n".join([text, *(["", "Findings:"] if told else []), *told])


def _families(outcome: Outcome) -> str:
    storms = Counter(storm.family for storm in outcome.storms)
    rows = []
    for family in sorted({*outcome.heal_s, *outcome.exposure_s}):
        healed, exposed = outcome.heal_s.get(family, ()), outcome.exposure_s.get(family, ())
        rows.append((family, storms[family], _spread(healed, 1), len(exposed), _spread(exposed, 2)))
    head = ("faults", "storms", "well again after, s: p50 / p99 / max", "exposures", "lasted, s: p50 / p99 / max")
    return f"""## Healing and exposure
An exposure is a time with a net position of a lot or more; it counts for the first storm it touches, from the first fault until the bot is
well again. `none` is ordinary trading; `mixed` storms have faults of several kinds.

{_table(head, rows)}"""


def _spread(values: Sequence[float], digits: int) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in quantiles(values)) if values else "–"


def _faults(outcome: Outcome) -> str:
    names = Counter(fault.name for storm in outcome.storms for _, fault in storm.faults)
    return "## Faults\n" + _table(
        ("kind", "fault", "storms with it"), [(fault.family, fault.name, names[fault.name]) for fault in FAULTS]
    )


def _lives(outcome: Outcome) -> str:
    rows = [_life(number, life) for number, life in enumerate(outcome.keeper.lives, 1)]
    head = (
        "life",
        "min",
        "end",
        "healthy phases",
        "RSS first → last, MiB",
        "growth, MiB/h",
        "threads first → last (most)",
        "files",
    )
    return f"""## Lives
Means of the first and the last healthy phase. Growth is the least-squares slope over the healthy phases that begin {WARM_UP_S / 60:.0f}
minutes or more after the start, each phase one point, with its standard error; – where fewer than three such phases are. It is judged
where these phases span {JUDGED_HOURS * 60:.0f} minutes or more.

{_table(head, rows)}

{_windows(max(outcome.keeper.lives, key=lambda life: len(phases(life))))}"""


def _windows(life: Life) -> str:
    """Warm-up and growth apart, for a person to see."""
    windows: dict[int, list[int]] = {}
    for sample in (sample for phase in phases(life) for sample in phase):
        windows.setdefault(int((sample.at - life.started_at) // WINDOW_S), []).append(sample.rss_kib)
    means = ", ".join(f"{sum(sizes) / len(sizes) / 1024:.2f}" for _, sizes in sorted(windows.items()))
    return f"The longest life by windows of {WINDOW_S / 60:.0f} minutes, mean RSS of its healthy phases in MiB: {means}."


def _life(number: int, life: Life) -> tuple[object, ...]:
    minutes = f"{((life.ended_at or life.started_at) - life.started_at) / 60:.1f}"
    healthy, found = phases(life), growth(life)
    if not healthy:
        return number, minutes, life.end, 0, "–", "–", "–", "–"
    rss = [sum(sample.rss_kib for sample in phase) / len(phase) / 1024 for phase in (healthy[0], healthy[-1])]
    most = max(sample.threads for sample in life.samples)
    first, last = healthy[0][0], healthy[-1][-1]
    return (
        number,
        minutes,
        life.end,
        len(healthy),
        f"{rss[0]:.1f} → {rss[1]:.1f}",
        "–" if found is None else f"{found.slope:.2f} ± {found.error:.2f} ({found.points} phases)",
        f"{first.threads} → {last.threads} ({most})",
        f"{first.files} → {last.files}",
    )
