"""What the venues charge against the rates that edges are computed with: told when more is charged, since every edge is then computed too well.

It changes no rate: those were read from the venues at the start, and a restart reads them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from core.messages import Alert, FillReported
from core.types import BPS, Fees, Liquidity, VenueId

TOLERANCE = BPS / 10
"""Venues round fees to their currency's last digit, which is less on any order worth its minimum."""


class FeeWatch:
    """``expected``: rates by venue. ``judge`` returns an Alert for the first fill of each kind and rate that costs more."""

    def __init__(self, expected: Mapping[VenueId, Fees]) -> None:
        self._expected = dict(expected)
        self._told: dict[tuple[VenueId, Liquidity], Decimal] = {}

    def judge(self, fill: FillReported, now: float) -> tuple[Alert, ...]:
        fees, notional = self._expected.get(fill.venue), fill.price * fill.quantity
        if fees is None or not notional:
            return ()
        key, charged = (fill.venue, fill.liquidity), fill.fee / notional
        expected = fees.maker if fill.liquidity is Liquidity.MAKER else fees.taker
        if charged - self._told.get(key, expected) <= TOLERANCE:
            return ()
        self._told[key] = charged
        rates = f"{charged / BPS:.2f} bps on a {fill.liquidity.value.lower()} fill, {expected / BPS:.2f} were expected"
        return (Alert(level="warning", key="fee", text=f"{fill.venue} charges {rates}: edges are computed too well", at=now),)
