"""Go or no-go: each thing that must stop a run before anything is sent stops it, with a reason (D14, scenario 'wrong symbol')."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core.config import BracketConfig, StrategyConfig
from core.preflight import Explained, VenueFacts, fx_rate, is_go, judge_bracket, judge_pair
from core.types import VenueId
from tests.core.builders import BACKPACK, GRVT, NO_FEES, VENUES, D, book, instrument

STRATEGY = StrategyConfig(kind="hedge", ticker="ETH", primary="grvt", hedge="backpack", size=D("0.10"), fx={"USDC/USDT": D(1)})


def facts(venue: VenueId, **more: Any) -> VenueFacts:
    good = VenueFacts(
        instrument=instrument(venue),
        fees=NO_FEES,
        book=book(venue),
        position=D(0),
        foreign_orders=(),
        clock_offset_ms=0.0,
        can_trade=True,
        account_detail="may trade",
    )
    return good._replace(**more)


def failed(maker: VenueFacts, hedge: VenueFacts, explained: dict[VenueId, Explained] | None = None) -> set[tuple[str, str]]:
    checks = judge_pair(maker, hedge, STRATEGY, explained=explained or {})
    found = {(check.venue, check.name) for check in checks if check.verdict == "fail"}
    assert is_go(checks) is (found == set())
    return found


def test_two_good_venues_are_a_go() -> None:
    assert set() == failed(facts(GRVT), facts(BACKPACK))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "may not trade": ({"can_trade": False}, "account"),
    "empty side": ({"book": book(GRVT, bid="")}, "book"),
    "crossed": ({"book": book(GRVT, bid="3000.02", ask="3000.01")}, "book"),
    "tick of another scale": ({"instrument": instrument(GRVT, tick="10")}, "tick"),
    "lot too large": ({"instrument": instrument(GRVT, lot="0.2")}, "size"),
    "minimum too large": ({"instrument": instrument(GRVT, min_quantity="0.2")}, "size"),
    "notional too small": ({"instrument": instrument(GRVT, min_notional="500")}, "size"),
    "size off the lot": ({"instrument": instrument(GRVT, lot="0.03")}, "size"),
    "clock ahead": ({"clock_offset_ms": 1_001.0}, "clock"),
    "clock behind": ({"clock_offset_ms": -1_001.0}, "clock"),
    "a position nobody knows": ({"position": D("0.01")}, "position"),
    "a short position nobody knows": ({"position": D("-0.05")}, "position"),
    "a stranger's order": ({"foreign_orders": ("BUY 1 at 2000",)}, "orders"),
}


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(("change", "name"), BAD.values(), ids=BAD.keys())
def test_each_bad_fact_of_either_venue_stops_the_run(venue: VenueId, change: dict[str, Any], name: str) -> None:
    if "instrument" in change:
        change = {"instrument": msgspec.structs.replace(change["instrument"], venue=venue)}
    both = {each: facts(each, **(change if each == venue else {})) for each in VENUES}
    assert (venue, name) in failed(both[GRVT], both[BACKPACK])


@pytest.mark.parametrize(
    ("side", "minimum", "is_good"), [("BUY", "267", True), ("BUY", "268", False), ("SELL", "297", True), ("SELL", "297.1", False)]
)
def test_the_exits_of_a_bracket_must_be_worth_the_minimum(side: str, minimum: str, is_good: bool) -> None:
    """0.10 at 3000 is 300: the stop of a long would sell at 0.99 * 0.9 of it, the take-profit of a short buys at 0.99."""
    bracket = BracketConfig(venue=GRVT, side=side, take_profit_pct=D(1), stop_loss_pct=D(1))  # type: ignore[arg-type]
    strategy = msgspec.structs.replace(STRATEGY, kind="bracket", bracket=bracket)
    checks = judge_bracket(facts(GRVT, instrument=instrument(GRVT, min_notional=minimum)), strategy, {})
    assert is_good is is_go(checks)


def test_an_unreadable_price_is_a_failure_and_no_exception() -> None:
    empty = facts(GRVT, book=book(GRVT, bid="", ask=""))
    names = {name for venue, name in failed(empty, facts(BACKPACK)) if venue == GRVT}
    assert {"book", "tick", "size"} <= names


def test_another_assets_price_at_the_hedge_venue_stops_the_run() -> None:
    """A wrong symbol or scale: the mids are too far apart."""
    assert ("grvt+backpack", "mids") in failed(facts(GRVT), facts(BACKPACK, book=book(BACKPACK, bid="2900", ask="2901")))


def test_another_asset_stops_the_run_whatever_its_price() -> None:
    other = msgspec.structs.replace(instrument(BACKPACK), base="BTC")
    assert ("grvt+backpack", "lots") in failed(facts(GRVT), facts(BACKPACK, instrument=other))


def test_a_size_that_only_one_venue_can_trade_stops_the_run() -> None:
    """0.10 is a multiple of 0.01 but not of 0.04: the hedge could never be exact."""
    assert ("grvt+backpack", "lots") in failed(facts(GRVT), facts(BACKPACK, instrument=instrument(BACKPACK, lot="0.04")))


def test_a_position_that_the_journal_explains_is_no_obstacle() -> None:
    held = facts(GRVT, position=D("0.10")), facts(BACKPACK, position=D("-0.10"))
    known = {GRVT: Explained(D("0.10"), D(0)), BACKPACK: Explained(D("-0.10"), D(0))}
    assert set() == failed(*held, explained=known)


def test_a_position_that_has_vanished_is_an_obstacle() -> None:
    assert (GRVT, "position") in failed(facts(GRVT), facts(BACKPACK), {GRVT: Explained(D("0.10"), D(0))})


def test_an_order_without_a_known_end_may_explain_a_difference() -> None:
    known = {GRVT: Explained(D(0), D("0.10"))}
    assert set() == failed(facts(GRVT, position=D("0.10")), facts(BACKPACK), known)


@pytest.mark.parametrize(
    ("fx", "rate"),
    [({"USDC/USDT": D("0.99")}, D("0.99")), ({"USDT/USDC": D("1.25")}, D("0.8")), ({}, D(1))],
    ids=["direct", "inverse", "none"],
)
def test_the_rate_between_two_quote_currencies_is_the_configured_one(fx: dict[str, Any], rate: Any) -> None:
    assert rate == fx_rate(fx, "USDC", "USDT")


@pytest.mark.parametrize(("fx", "is_good"), [("USDC/USDT", True), ("USDT/USDC", True), ("USDC/USD", False)])
def test_a_rate_of_a_pair_that_is_not_asked_for_stops_the_run(fx: str, is_good: bool) -> None:
    """Misspelt it would count as 1."""
    strategy = msgspec.structs.replace(STRATEGY, fx={fx: D(1)})
    checks = judge_pair(facts(GRVT), facts(BACKPACK), strategy, explained={})
    assert is_good is (("grvt+backpack", "fx") not in {(each.venue, each.name) for each in checks if each.verdict == "fail"})


def test_the_same_currency_needs_no_rate() -> None:
    assert D(1) == fx_rate({"USDT/USDT": D(5)}, "USDT", "USDT")
