"""Maker fill to hedge request: the running bot against venues on loopback, both times taken in the venues' process.

From just before the GRVT fill frame is handed to the bot's trading socket to the moment at which the last byte of the Backpack order has
been read: sockets, decoding, tracker, decision, risk gate, limiter, durable intent, signature and HTTP. The raw-socket limit (bench/limit.py)
is measured meanwhile, so that the ratio is one of the same minutes.
"""

from __future__ import annotations

import os

from bench import rig
from bench.limit import Limit
from bench.table import Row, latency_rows

FILLS = 500
CYCLES_A_LOOK = 10
BUSY_CHURN = 1_600.0
"""Asked for; what the bot received is reported, and is to be about 1,000 frames a second."""


def quiet() -> list[Row]:
    """About 40 public frames a second, from what the fills do to the books."""
    return _measure(churn=0.0)


def busy() -> list[Row]:
    """The same with some 1,000 public book frames a second in the bot's process."""
    return _measure(churn=BUSY_CHURN)


def pinned() -> list[Row]:
    """The quiet case with the bot confined to one core: its threads take turns anyway, and need not wake another core each time."""
    return _measure(churn=0.0, core=max(os.sched_getaffinity(0)))


def _measure(*, churn: float, core: int | None = None) -> list[Row]:
    with Limit("hedge") as limit, rig.run("brisk", churn=churn, core=core) as (venues, bot):
        bot.until_cycles(CYCLES_A_LOOK)
        frames = bot.frame_rate()
        cycles = CYCLES_A_LOOK
        while (report := venues.get("/hedge-latency"))["fills"] < FILLS:
            cycles += CYCLES_A_LOOK
            bot.until_cycles(cycles)
    pairs = [float(us) for us in report["pairs_us"]]
    return [
        Row("fills", f"{report['fills']}"),
        Row("of these without a hedge of their own", f"{report['unpaired']}"),
        Row("public and private frames a second", f"{frames:.0f}"),
        *latency_rows("fill frame out → hedge request in", pairs, limit.latencies_us),
    ]
