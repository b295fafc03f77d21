"""What a case reports: rows of name, figure, goal and whether it is met; and the few statistics they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """``is_met`` None: a figure without a goal."""

    name: str
    figure: str
    goal: str = ""
    is_met: bool | None = None


def at_most(name: str, value: float, limit: float, unit: str = "", digits: int = 2) -> Row:
    return Row(name, f"{value:.{digits}f}{unit}", f"≤ {limit:g}{unit}", value <= limit)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def latency_rows(name: str, pairs_us: Sequence[float], limit_us: Sequence[float]) -> list[Row]:
    """Latencies against the goals in milliseconds and in multiples of the raw-socket limit of the same minutes; both are microseconds."""
    floor = quantile(limit_us, 0.5)
    p50, p99 = quantile(pairs_us, 0.5), quantile(pairs_us, 0.99)
    return [
        Row("raw-socket limit, p50 / p99", f"{floor / 1e3:.2f} / {quantile(limit_us, 0.99) / 1e3:.2f} ms"),
        at_most(f"{name}, p50", p50 / 1e3, 2.5, " ms"),
        Row(f"{name}, p90", f"{quantile(pairs_us, 0.9) / 1e3:.2f} ms"),
        at_most(f"{name}, p99", p99 / 1e3, 6, " ms"),
        Row(f"{name}, max", f"{max(pairs_us) / 1e3:.2f} ms"),
        at_most("p50 as a multiple of the limit", p50 / floor, 5, " ×", 1),
        at_most("p99 as a multiple of the limit's p50", p99 / floor, 10, " ×", 1),
    ]


def print_rows(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    for row in rows:
        verdict = {None: "", True: "met", False: "MISSED"}[row.is_met]
        print(f"  {row.name:<62} {row.figure:>14}  {row.goal:<12} {verdict}", flush=True)
