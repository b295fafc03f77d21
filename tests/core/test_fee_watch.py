"""Charged against expected rates (RELIABILITY.md E14)."""

from __future__ import annotations

import msgspec
import pytest

from core.fee_watch import FeeWatch
from core.messages import FillReported
from core.types import Fees, Liquidity
from tests.core.builders import BACKPACK, GRVT, D, fill, place

RATES = {GRVT: Fees(maker=D("-0.000001"), taker=D("0.0005"))}
NOTIONAL = D("300")


def charged(rate: str, liquidity: Liquidity = Liquidity.MAKER, quantity: str = "0.10") -> FillReported:
    told = fill(place(), "t1", quantity)
    return msgspec.structs.replace(told, price=D("3000"), fee=D(rate) * D("3000") * D(quantity), liquidity=liquidity)


@pytest.mark.parametrize(
    ("rate", "liquidity", "alarms"),
    [
        ("-0.000001", Liquidity.MAKER, 0),
        ("-0.0001", Liquidity.MAKER, 0),
        ("0.000005", Liquidity.MAKER, 0),
        ("0.0001", Liquidity.MAKER, 1),
        ("0.0005", Liquidity.TAKER, 0),
        ("0.0006", Liquidity.TAKER, 1),
    ],
)
def test_only_what_costs_more_than_expected_is_told(rate: str, liquidity: Liquidity, alarms: int) -> None:
    """A rebate above the expected one is nobody's worry; a tenth of a basis point is rounding."""
    assert alarms == len(FeeWatch(RATES).judge(charged(rate, liquidity), 0.0))


def test_a_rate_is_told_once_and_a_higher_one_again() -> None:
    watch = FeeWatch(RATES)
    told = [alert.text for rate in ("0.0001", "0.0001", "0.0002") for alert in watch.judge(charged(rate), 0.0)]
    assert ["grvt charges 1.00 bps on a maker fill, -0.01 were expected: edges are computed too well", True] == [
        told[0],
        "2.00 bps" in told[1] and len(told) == 2,
    ]


def test_a_venue_that_is_not_traded_has_no_expected_rate() -> None:
    assert () == FeeWatch({BACKPACK: RATES[GRVT]}).judge(charged("0.01"), 0.0)


def test_a_fill_of_nothing_has_no_rate() -> None:
    assert () == FeeWatch(RATES).judge(charged("0.01", quantity="0"), 0.0)
