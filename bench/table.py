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


def print_rows(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    for row in rows:
        verdict = {None: "", True: "met", False: "MISSED"}[row.is_met]
        print(f"  {row.name:<62} {row.figure:>14}  {row.goal:<12} {verdict}", flush=True)
