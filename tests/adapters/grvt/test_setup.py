"""What is read from the venue before anything runs, and the lines an operator sees when it cannot be."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from adapters.grvt.caller import Caller
from adapters.grvt.clock import VenueClock
from adapters.grvt.setup import BASE_TIER, GrvtSetup
from adapters.transport.rest import NotSent, Outcome, Refused, Unknown
from core.ports import VenueRefused, VenueUnreachable
from core.types import ZERO, Fees
from tests.adapters.grvt.support import ETH, SUB, UNKNOWN, FakeClock, FakeRest, denied, fill_json, login_ok, ok, order_json, wire

ROW = {
    "instrument": "ETH_USDT_Perp",
    "instrument_hash": "0x030401",
    "base": "ETH",
    "quote": "USDT",
    "kind": "PERPETUAL",
    "base_decimals": 9,
    "tick_size": "0.01",
    "min_size": "0.01",
    "min_notional": "20.0",
}


class Rig:
    def __init__(self, *script: Outcome, edge: FakeRest | None = None) -> None:
        self.clock = FakeClock()
        self.rest = FakeRest(*script)
        self.venue_clock = VenueClock(lambda: self.clock.wall)
        self.auth = self.clock.auth(edge or FakeRest(login_ok()))
        private = Caller(self.rest, self.auth, self.venue_clock, 5.0, lambda: self.clock.monotonic)
        public = Caller(self.rest, None, self.venue_clock, 5.0, lambda: self.clock.monotonic)
        self.setup = GrvtSetup(private, public, self.auth, self.venue_clock, SUB)


def rows(*changes: dict[str, Any]) -> Outcome:
    return ok({"result": [ROW | change for change in changes]})


def refusal(*script: Outcome, ticker: str = "ETH") -> str:
    with pytest.raises(VenueRefused) as caught:
        Rig(*script).setup.resolve(ticker)
    return str(caught.value)


def test_the_contract_is_the_one_the_api_describes() -> None:
    """Symbol, hash, decimals, tick, size step and minimums come from the row."""
    assert ETH == Rig(rows({}, {"base": "BTC", "instrument": "BTC_USDT_Perp"})).setup.resolve("eth")


def test_live_rows_resolve() -> None:
    """The captured production rows."""
    frames = [line["frame"] for line in wire("instruments.jsonl")]
    found = Rig(ok({"result": frames})).setup.resolve("AAVE")
    assert ("AAVE_USDT_Perp", Decimal("0.1"), Decimal("5.0")) == (found.symbol, found.lot_size, found.min_notional)


def test_an_unknown_ticker_is_refused_with_what_exists() -> None:
    """One line for the operator."""
    expected = "grvt: no perpetual DOGE/USDT; existing: BTC, ETH"
    assert expected == refusal(rows({}, {"base": "BTC"}), ticker="DOGE")


@pytest.mark.parametrize("change", [{"quote": "USDC"}, {"kind": "FUTURE"}])
def test_only_a_perpetual_in_usdt_is_taken(change: dict[str, str]) -> None:
    """A future or another quote currency is another contract."""
    assert "no perpetual" in refusal(rows(change))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"status": "REDUCE_ONLY"}, "REDUCE_ONLY"),
        ({"tick_size": "0"}, "tick_size"),
        ({"tick_size": "NaN"}, "tick_size"),
        ({"min_size": "-1"}, "min_size"),
        ({"instrument_hash": ""}, "instrument_hash"),
        ({"instrument_hash": "zz"}, "instrument_hash"),
        ({"base_decimals": 1}, "base_decimals"),
        ({"base_decimals": 99}, "base_decimals"),
    ],
)
def test_a_contract_that_cannot_be_traded_exactly_is_refused(change: dict[str, object], word: str) -> None:
    """The line names the field."""
    assert word in refusal(rows(change))


def test_two_contracts_of_one_base_are_refused() -> None:
    """Which one was meant is not guessed."""
    assert "2 times" in refusal(rows({}, {}))


@pytest.mark.parametrize("outcome", [UNKNOWN, ok(b"{}"), denied(1006, 429)])
def test_an_unreadable_list_is_refused(outcome: Outcome) -> None:
    """Set-up names the call that failed."""
    assert "all_instruments" in refusal(outcome)


@pytest.mark.parametrize(
    ("outcome", "is_passing", "retry_after_s"),
    [
        (UNKNOWN, True, None),
        (NotSent("ConnectionRefusedError"), True, None),
        (Unknown("status 502", 502, b"<html>"), True, None),
        (denied(1006, 429), True, None),
        (Refused(429, {}, b"<html>", 7.0), True, 7.0),
        (denied(1002, 400), True, None),
        (ok(b"<html>"), True, None),
        (denied(1001, 403), False, None),
        (denied(4711, 400), False, None),
        (ok(b"{}"), False, None),
    ],
)
def test_only_the_venues_own_word_refuses_for_good(outcome: Outcome, is_passing: bool, retry_after_s: float | None) -> None:
    """Anything else may be asked again, after the pause that was asked for."""
    with pytest.raises(VenueRefused) as caught:
        Rig(outcome).setup.resolve("ETH")
    found = caught.value
    passing = isinstance(found, VenueUnreachable)
    assert (is_passing, retry_after_s) == (passing, found.retry_after_s if isinstance(found, VenueUnreachable) else None)


@pytest.mark.parametrize(
    ("edge", "is_passing"), [(UNKNOWN, True), (Refused(503, {}, b"busy", None), True), (denied(1001, 401), False)]
)
def test_a_login_that_is_not_answered_may_be_tried_again(edge: Outcome, is_passing: bool) -> None:
    """A key that the venue refuses may not."""
    with pytest.raises(VenueRefused) as caught:
        Rig(edge=FakeRest(edge)).setup.account()
    assert is_passing is isinstance(caught.value, VenueUnreachable)


def test_fees_are_measured_on_own_fills() -> None:
    """Fee over notional by liquidity; a rebate is negative."""
    fills = [
        fill_json("1-1", fee="-0.000184"),
        fill_json("2-1", fee="-0.000307", size="0.1"),
        fill_json("3-1", fee="0.0829656", is_taker=True),
    ]
    expected = Fees(maker=Decimal("-0.0000010"), taker=Decimal("0.0004500"))
    assert expected == Rig(ok({"result": fills, "next": ""})).setup.fees(ETH)


def test_without_fills_the_base_tier_counts_and_no_rebate() -> None:
    """A rebate is believed when it was seen."""
    fees = Rig(ok({"result": [], "next": ""})).setup.fees(ETH)
    assert (BASE_TIER, ZERO) == (fees, fees.maker)


def test_the_clock_is_measured_by_the_quickest_sample() -> None:
    """Venue minus ours, and the lanes sign with it."""
    rig = Rig(ok({"server_time": 1_800_000_000_250}))
    assert (250.0, 1_800_000_000_250) == (rig.setup.clock_offset_ms(), rig.venue_clock.now_ms())


SUMMARY = {"sub_account_id": SUB, "total_equity": "15.0", "available_balance": "14.5", "settle_currency": "USDT"}


def test_a_funded_account_may_trade() -> None:
    """The detail is what the operator reads."""
    info = Rig(ok({"result": SUMMARY})).setup.account()
    assert (True, "equity 15.0 USDT, available 14.5") == (info.can_trade, info.detail)


def test_a_live_summary_is_read() -> None:
    """The captured production balance."""
    frames = [line["frame"] for line in wire("live_frames_ccxt.jsonl") if line["fn"] == "fetch_balance"]
    assert Rig(ok(frames[0])).setup.account().can_trade


def test_an_empty_account_may_not_trade() -> None:
    """Found before the first order."""
    assert not Rig(ok({"result": SUMMARY | {"total_equity": "0.0"}})).setup.account().can_trade


def test_a_key_of_another_trading_account_is_found() -> None:
    """The login names the account of the key."""
    answer = ok({"status": "success", "sub_account_id": "123"}, dict(login_ok().headers))
    info = Rig(ok({"result": SUMMARY}), edge=FakeRest(answer)).setup.account()
    assert (False, True) == (info.can_trade, "another trading account" in info.detail)


def test_position_and_open_orders_are_read() -> None:
    """What the preflight compares."""
    position = ok({"result": [{"sub_account_id": SUB, "instrument": ETH.symbol, "size": "-0.5"}]})
    assert Decimal("-0.5") == Rig(position).setup.position(ETH)
    assert 1 == len(Rig(ok({"result": [order_json()]})).setup.open_orders(ETH))


@pytest.mark.parametrize("outcome", [UNKNOWN, ok(b"{}"), denied(1000, 401), denied(1008, 401)])
def test_failed_reads_refuse_the_set_up(outcome: Outcome) -> None:
    """No default stands in for an answer."""
    for read in (
        lambda s: s.position(ETH),
        lambda s: s.open_orders(ETH),
        lambda s: s.account(),
        lambda s: s.fees(ETH),
        lambda s: s.book(ETH),
    ):
        with pytest.raises(VenueRefused, match=r"^grvt: "):
            read(Rig(outcome).setup)
