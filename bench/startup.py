"""From the start of the process to its first quote at the venue, and what the bot costs while it only listens."""

from __future__ import annotations

from bench import rig
from bench.table import Row, at_most, quantile

STARTS = 3
LISTEN_CHURN = 190.0
LISTEN_S = 20.0


def start() -> list[Row]:
    """Interpreter, imports, preflight, logins, streams, reconciliation, first order: by the venue's own ledger."""
    times = [_first_quote_s() for _ in range(STARTS)]
    return [
        Row(f"best of {STARTS}", f"{min(times):.2f} s"),
        at_most(f"median of {STARTS}", quantile(times, 0.5), 3, " s"),
    ]


def listening() -> list[Row]:
    """A dry run: books, decisions, ticks, audits and log, and no order."""
    with rig.run("lively", churn=LISTEN_CHURN, arguments=("--dry-run",)) as (_, bot):
        rig.until(bot.is_deciding, "the first decision")
        rate, share = bot.frame_rate(LISTEN_S), bot.cpu_share(LISTEN_S)
    return [Row("frames a second", f"{rate:.0f}"), at_most("share of one core", share * 100, 5, " %", 1)]


def _first_quote_s() -> float:
    with rig.run("brisk") as (venues, bot):
        rig.until(lambda: venues.get("/ledger")["grvt"]["orders"], "a first quote", every_s=0.05)
        created: float = min(order["created_at"] for order in venues.get("/ledger")["grvt"]["orders"])
        return created - bot.started_at
