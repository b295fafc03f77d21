"""Take-profit fill to the cancel of its stop: the running bracket bot against ApeX on loopback, both times taken in the venue's process.

From just before the account frame that tells the fill as certain is handed to the bot's private socket to the moment at which the last byte
of the cancel has been read: sockets, decoding, tracker, pair, limiter, signature and HTTP; a cancel needs no intent of its own. Another
account takes each take-profit once it has rested for a while. The raw-socket limit (bench/limit.py) is measured meanwhile.
"""

from __future__ import annotations

import random
import time

from bench import rig
from bench.limit import Limit
from bench.table import Row, latency_rows

EXITS = 150
BUSY_CHURN = 1_600.0
"""Asked for; what the bot received is reported, and is to be about 1,000 frames a second."""
REST_S = (0.2, 0.5)
"""How long a take-profit rests before it is taken, so that everything about its placing is over."""
TAKEN_QUANTITY = "50"
"""Enough for all that rests in front of it."""


def quiet() -> list[Row]:
    """Few public frames: what the fills do to the book."""
    return _measure(churn=0.0)


def busy() -> list[Row]:
    """The same with some 1,000 public book frames a second in the bot's process."""
    return _measure(churn=BUSY_CHURN)


def _measure(*, churn: float) -> list[Row]:
    dice = random.Random(1)
    with Limit("exit") as limit, rig.run("brisk", rig.BRACKET, churn=churn) as (venues, bot):
        _take_profit(venues, bot, dice)
        frames = bot.frame_rate()
        for _ in range(EXITS):
            _take_profit(venues, bot, dice)
        decided_ms = bot.metric("oco_cancel_p50_ms"), bot.metric("oco_cancel_p99_ms")
        report = venues.get("/exit-latency")
    pairs = [float(us) for us in report["pairs_us"]]
    return [
        Row("take-profits filled", f"{report['exits']}"),
        Row("of these in several pieces", f"{report['unpaired']}"),
        Row("public and private frames a second", f"{frames:.0f}"),
        *latency_rows("fill frame out → cancel in", pairs, limit.latencies_us),
        Row("inside the bot, frame read → cancel decided, p50 / p99", f"{decided_ms[0]:.2f} / {decided_ms[1]:.2f} ms"),
    ]


def _take_profit(venues: rig.Venues, bot: rig.Bot, dice: random.Random) -> None:
    """Waits for the next take-profit to rest, lets it rest, and has it taken in full."""
    resting = rig.until(lambda: _exits(venues) or bot.is_over(), "a resting take-profit", every_s=0.05)
    if resting is True:
        raise rig.GaveUp(f"the bot ended: {bot.output()[-500:]}")
    time.sleep(dice.uniform(*REST_S))
    venues.post(
        "/order",
        venue="apex",
        symbol=resting[0]["symbol"],
        side="BUY",
        quantity=TAKEN_QUANTITY,
        price=resting[0]["price"],
        account="flow",
        tif="IOC",
    )


def _exits(venues: rig.Venues) -> list[dict[str, str]]:
    """Take-profits in the venue's book; a stop is there only once it is triggered."""
    found: list[dict[str, str]] = [order for order in venues.get("/orders")["apex"] if order["side"] == "SELL"]
    return found
