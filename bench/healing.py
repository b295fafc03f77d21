"""How long a fill leaves delta open, by the venues' own ledgers: without a fault, and around faults that strike at the worst moment.

The bot as a user starts it; the venues answer and lag as the real ones were measured to. Where there is a fault, it strikes first and then
another account takes the resting quote, so that the fill falls into it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple

from bench import rig
from bench.table import Row, at_most, quantile

FILLS, ROUNDS = 300, 25
LOT = Decimal("0.01")
CLOSED_S, STREAM_LOSS_S = 1.0, 5.0
LOST_ANSWER_S = 4.0
"""Two seconds after the hedge venue's bound, past which a request that has not arrived is refused."""
REFUSED_S = 6.0
PROVEN_S = 11.0
"""A stream that has lived for so long is connected anew at once when it breaks, not after the pauses of one that flaps."""
TAKEN_QUANTITY = "50"
"""Enough for all that rests in front of the quote."""
OPPOSITE = {"BUY": "SELL", "SELL": "BUY"}

Fault = Callable[[rig.Venues], AbstractContextManager[None]]


class _Exposure(NamedTuple):
    """A time with a net position of a lot or more; epoch seconds and seconds."""

    began_at: float
    lasted_s: float


def undisturbed() -> list[Row]:
    with rig.run("brisk", delays="real") as (venues, bot):
        rig.until(lambda: len(_fills(venues)) >= FILLS or bot.is_over(), f"{FILLS} fills", every_s=2.0)
        return _rows(_exposures(_fills(venues)), CLOSED_S)


def stream_lost() -> list[Row]:
    """The maker venue's account stream breaks and may be had again at once."""
    return _rows(_struck(_break_stream), STREAM_LOSS_S)


def stream_refused() -> list[Row]:
    """It breaks, and every new connection is refused for longer than a fill may stay unknown: reads have to find it."""
    return _rows(_struck(_refuse_stream), STREAM_LOSS_S)


def answer_lost() -> list[Row]:
    """The hedge is executed and the connection breaks before its answer."""
    return _rows(_struck(_lose("lose_answer")), LOST_ANSWER_S)


def request_lost() -> list[Row]:
    """The hedge never arrives, which looks the same from here until the venue's bound has passed."""
    return _rows(_struck(_lose("lose_request")), LOST_ANSWER_S)


# ---- faults --------------------------------------------------------------------------------------------------------------------


@contextmanager
def _break_stream(venues: rig.Venues) -> Iterator[None]:
    venues.post("/kick", venue="grvt", channel="account")
    yield
    time.sleep(PROVEN_S)


@contextmanager
def _refuse_stream(venues: rig.Venues) -> Iterator[None]:
    venues.post("/refuse", venue="grvt", channel="account", is_on=True)
    venues.post("/kick", venue="grvt", channel="account")
    yield
    time.sleep(REFUSED_S)
    venues.post("/refuse", venue="grvt", channel="account", is_on=False)
    time.sleep(PROVEN_S)


def _lose(kind: str) -> Fault:
    @contextmanager
    def lose(venues: rig.Venues) -> Iterator[None]:
        venues.post("/fault", kind=kind, venue="backpack", on="POST /api/v1/order", count=1)
        yield
        rig.until(lambda: _is_flat(venues), "the hedge")
        venues.post("/fault/clear")

    return lose


def _struck(fault: Fault) -> list[_Exposure]:
    """One exposure a round; a quote that was cancelled before it could be taken does not count as one."""
    found: list[_Exposure] = []
    with rig.run("seeds", delays="real") as (venues, bot):
        while len(found) < ROUNDS:
            quote = rig.until(lambda: _quote(venues) or bot.is_over(), "a resting quote", every_s=0.05)
            if quote is True:
                raise rig.GaveUp(f"the bot ended: {bot.output()[-500:]}")
            began_at = time.time()
            with fault(venues):
                _take(venues, quote)
            rig.until(lambda: _is_flat(venues), "no net position")
            found += [each for each in _exposures(_fills(venues)) if each.began_at >= began_at]
    return found


# ---- the venues ----------------------------------------------------------------------------------------------------------------


def _quote(venues: rig.Venues) -> dict[str, str] | None:
    """Resting while nothing is exposed."""
    resting: list[dict[str, str]] = venues.get("/orders")["grvt"]
    return resting[0] if resting and _is_flat(venues) else None


def _take(venues: rig.Venues, quote: dict[str, str]) -> None:
    venues.post(
        "/order",
        venue="grvt",
        symbol=quote["symbol"],
        side=OPPOSITE[quote["side"]],
        quantity=TAKEN_QUANTITY,
        price=quote["price"],
        account="flow",
        tif="IOC",
    )


def _fills(venues: rig.Venues) -> list[dict[str, Any]]:
    """Of both venues, in the order of their common clock."""
    ledger = venues.get("/ledger")
    return sorted((fill for venue in rig.HEDGE.venues for fill in ledger[venue]["fills"]), key=itemgetter("time"))


def _is_flat(venues: rig.Venues) -> bool:
    return abs(sum((_signed(fill) for fill in _fills(venues)), Decimal(0))) < LOT


def _signed(fill: dict[str, Any]) -> Decimal:
    return Decimal(fill["quantity"]) * (1 if fill["side"] == "BUY" else -1)


def _exposures(fills: Sequence[dict[str, Any]]) -> list[_Exposure]:
    """Those that have ended."""
    found, net, began_at = [], Decimal(0), None
    for fill in fills:
        net += _signed(fill)
        if began_at is None and abs(net) >= LOT:
            began_at = float(fill["time"])
        elif began_at is not None and abs(net) < LOT:
            found.append(_Exposure(began_at, float(fill["time"]) - began_at))
            began_at = None
    return found


def _rows(found: Sequence[_Exposure], goal_s: float) -> list[Row]:
    lasted = [each.lasted_s for each in found]
    return [
        Row("exposures", str(len(lasted))),
        Row("open for, p50", f"{quantile(lasted, 0.5):.2f} s"),
        at_most("open for, p99", quantile(lasted, 0.99), goal_s, " s"),
        Row("open for, max", f"{max(lasted):.2f} s"),
    ]
