"""Claims on the calls made once before trading, on the clock, and on ``open_venue``."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from adapters.apex import CREDENTIALS, DEFAULT_LIMITS, ENDPOINTS, open_venue, zk
from adapters.apex.clock import VenueClock
from adapters.apex.setup import PROBED_AGES_S, ApexSetup
from adapters.redacted import RedactedVenue
from adapters.steps import Steps
from adapters.transport.rest import NotSent, Ok, Outcome, Unknown
from core.config import VenueConfig
from core.ports import VenueRefused, VenueUnreachable
from core.types import Fees
from tests.adapters.apex.support import (
    BAN_PAGE,
    BTC,
    KEY_TEXT,
    PASSPHRASE,
    SECRET,
    SEED,
    SYMBOL,
    WALL_MS,
    WALL_S,
    FakeRest,
    account_body,
    denied,
    make_api,
    ok,
    order_body,
)

GOOD = dict(zip(CREDENTIALS, (KEY_TEXT, SECRET, PASSPHRASE, SEED), strict=True))
STALE = denied(20002)
BALANCE = {"totalEquityValue": "100.5", "availableBalance": "90"}


def contract(base: str, **changes: object) -> dict[str, object]:
    return {
        "symbol": f"{base}-USDT", "crossSymbolName": f"1000{base}USDT", "baseTokenId": base, "settleAssetId": "USDT", "tickSize": "0.1",
        "stepSize": "0.001", "minOrderSize": "0.0010", "l2PairId": "50001", "enableTrade": True, "enableOpenPosition": True,
        "isPrelaunch": False, **changes,
    }  # fmt: skip


CONTRACTS = [
    contract("BTC"),
    contract("BTC", settleAssetId="USDC", symbol="BTC-USDC"),
    contract("SOL", enableTrade=False),
    contract("NEW", isPrelaunch=True),
    contract("BAD", tickSize="0"),
]
SYMBOLS = ok({"contractConfig": {"perpetualContract": CONTRACTS, "assets": [{"token": "USDT", "decimals": 18}]}})


def setup_of(*outcomes: Outcome) -> ApexSetup:
    return ApexSetup(make_api(FakeRest(*outcomes)))


def refusal(config: VenueConfig, credentials: dict[str, str]) -> str:
    with pytest.raises(VenueRefused) as caught:
        open_venue(config, credentials)
    return str(caught.value)


def test_a_ticker_resolves_to_the_usdt_perpetual() -> None:
    """All three names are the venue's own."""
    found = setup_of(SYMBOLS).resolve("btc")
    expected = ("BTC-USDT", "1000BTCUSDT", "50001", 18, Decimal("0.1"), Decimal("0.001"), "USDT")
    actual = (
        found.symbol, found.market_symbol, found.contract_id, found.base_decimals, found.tick_size, found.lot_size, found.quote,
    )  # fmt: skip
    assert expected == actual


@pytest.mark.parametrize(
    ("ticker", "expected"),
    [
        ("DOGE", "apex: no USDT perpetual for DOGE; it lists: BAD, BTC, NEW, SOL"),
        ("SOL", "apex: SOL-USDT is not open for new positions"),
        ("NEW", "apex: NEW-USDT is not open for new positions"),
        ("BAD", "apex: GET /v3/symbols: tickSize is not above zero"),
    ],
)
def test_a_ticker_that_cannot_be_traded_is_refused(ticker: str, expected: str) -> None:
    """The line says what there is instead; an unusable row costs its own contract only."""
    with pytest.raises(VenueRefused) as caught:
        setup_of(SYMBOLS, SYMBOLS).resolve(ticker)
    assert expected == str(caught.value)


def test_fees_are_the_accounts_own() -> None:
    """Fractions of notional."""
    assert Fees(maker=Decimal("0.0002"), taker=Decimal("0.0005")) == setup_of(ok(account_body())).fees(BTC)


def test_the_account_is_proven_with_its_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two signed reads."""
    monkeypatch.setattr(zk, "library_file", lambda: "there")
    info = setup_of(ok(account_body()), ok(BALANCE)).account()
    assert (True, "equity 100.5, available 90 USDT") == (info.can_trade, info.detail)


def test_an_account_that_is_not_normal_may_not_trade() -> None:
    """The preflight stops there."""
    fees = {"takerFeeRate": "0.0005", "makerFeeRate": "0.0002", "status": "FROZEN"}
    assert not setup_of(ok(account_body(contractAccount=fees)), ok(BALANCE)).account().can_trade


def test_an_account_that_cannot_sign_may_not_trade(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preflight says why, before the first order would be refused."""

    def absent() -> None:
        raise VenueRefused("apex: the order signer is not installed")

    monkeypatch.setattr(zk, "library_file", absent)
    info = setup_of(ok(account_body()), ok(BALANCE)).account()
    assert (False, True) == (info.can_trade, "not installed" in info.detail)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Unknown("status 503", 503, b"maintenance"), "apex: GET /v3/account: status 503: maintenance"),
        (denied(10002, f"[apiKey={KEY_TEXT}]"), "apex: GET /v3/account: code 10002: the API key is not accepted"),
        (BAN_PAGE, "apex: GET /v3/account: HTTP 403: banned or too many requests"),
        (Ok(200, {}, b"<html>"), "apex: GET /v3/account: HTTP 200 without the venue's JSON: <html>"),
    ],
)
def test_a_failed_read_is_one_line_with_place_and_answer(outcome: Outcome, expected: str) -> None:
    """And never a key."""
    with pytest.raises(VenueRefused) as caught:
        setup_of(outcome).account()
    assert expected == str(caught.value)


@pytest.mark.parametrize(
    ("outcome", "is_passing", "retry_after_s"),
    [
        (NotSent("ConnectionRefusedError"), True, None),
        (Unknown("ReadTimeout"), True, None),
        (Unknown("status 502", 502, b"<html>"), True, None),
        (BAN_PAGE, True, 60.0),
        (denied(10003), True, None),
        (Ok(200, {}, b"<html>"), True, None),
        (STALE, True, None),
        (denied(10002), False, None),
        (denied(20006), False, None),
        (ok({}), False, None),
    ],
)
def test_only_the_venues_own_word_refuses_for_good(outcome: Outcome, is_passing: bool, retry_after_s: float | None) -> None:
    """Anything else may be asked again, after the pause that was asked for."""
    with pytest.raises(VenueRefused) as caught:
        setup_of(outcome).account()
    found = caught.value
    passing = isinstance(found, VenueUnreachable)
    assert (is_passing, retry_after_s) == (passing, found.retry_after_s if isinstance(found, VenueUnreachable) else None)


def test_position_book_and_open_orders_are_read_for_the_instrument() -> None:
    """As the start needs them."""
    depth = ok({"a": [["11", "1"]], "b": [["9", "1"]], "s": "BTCUSDT", "u": 5})
    setup = setup_of(ok(account_body()), depth, ok([order_body(), {"symbol": "ETH-USDT"}]))
    actual = (setup.position(BTC), setup.book(BTC).symbol, len(setup.open_orders(BTC)))
    assert (Decimal("-0.003"), SYMBOL, 1) == actual


@pytest.mark.parametrize("told", [WALL_MS + 250_000, (WALL_MS + 250_000) // 1_000])
def test_the_clock_is_the_venues_from_then_on(told: int) -> None:
    """In milliseconds or, as the documentation shows, seconds."""
    api = make_api(FakeRest(ok({"time": told}), STALE))
    offset = ApexSetup(api).clock_offset_ms()
    assert (250_000.0, WALL_MS + 250_000) == (offset, api.clock.now_ms())


def bound_of(*answers: Outcome) -> tuple[float, list[int]]:
    """What the clock holds after a set-up, and the ages of the requests that asked for it, ms."""
    rest = FakeRest(ok({"time": WALL_MS}), *answers)
    api = make_api(rest)
    ApexSetup(api).clock_offset_ms()
    return api.clock.submit_bound_s, [WALL_MS - int(sent.headers["APEX-TIMESTAMP"]) for sent in rest.sent[1:]]


def test_a_late_order_is_bounded_by_the_first_age_that_the_venue_refuses() -> None:
    """Shown by reads that pretend to be old, younger ones first, with the margin of a send on top."""
    assert (36.0, [6_000, 11_000, 31_000]) == bound_of(ok(account_body()), ok(account_body()), STALE)


def test_a_venue_that_takes_any_age_bounds_nothing() -> None:
    """Then only positive evidence ends an order of unknown outcome."""
    assert math.inf == bound_of(*[ok(account_body())] * len(PROBED_AGES_S))[0]


@pytest.mark.parametrize("answer", [Unknown("ReadTimeout"), BAN_PAGE, denied(20006), denied(10003)])
def test_another_failure_leaves_the_bound_as_it_was(answer: Outcome) -> None:
    """It says nothing of timestamps."""
    assert (65.0, [6_000]) == bound_of(answer)


def test_the_bound_that_was_measured_is_the_venues_capability() -> None:
    """Whoever composes a run reads it there, through whatever stands in front of the venue."""
    venue = open_venue(VenueConfig(), GOOD)
    seen_through = [venue, RedactedVenue(venue, str), *Steps(fd=0).venues([venue])]
    venue._clock.submit_bound_s = 11.0
    assert [11.0] * 3 == [each.capabilities.submit_bound_s for each in seen_through]


def test_the_sample_of_the_shortest_trip_counts() -> None:
    """Half of a long trip may be wrong by as much."""
    walls = iter([0.0, 2.0, 10.0, 10.5, 20.0, 23.0])
    clock = VenueClock(wall_s=lambda: WALL_S + next(walls))
    answers = [ok({"time": WALL_MS + at}) for at in (1_000, 10_350, 21_500)]
    assert 100.0 == clock.measure(FakeRest(*answers), samples=3)


def test_a_venue_that_tells_no_time_is_refused() -> None:
    """Guessing an offset would void the signatures."""
    with pytest.raises(VenueUnreachable, match="venue's time"):
        setup_of(Unknown("ReadTimeout"), ok({"time": "soon"}), BAN_PAGE, ok(None), denied(3)).clock_offset_ms()


def test_a_complete_section_opens() -> None:
    """Endpoints and limits may be overridden; nothing is connected yet."""
    local = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:2"}
    venue = open_venue(VenueConfig(endpoints=local, limits={"create": 1.0}), GOOD)
    assert ("apex", {**DEFAULT_LIMITS, "create": 1.0}) == (venue.name, venue.limits)


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_missing_credential_is_named(name: str) -> None:
    """By its variable, blank counts as missing."""
    assert f"apex: missing credential {name}" == refusal(VenueConfig(), GOOD | {name: " "})


@pytest.mark.parametrize(
    ("name", "value"),
    [("APEX_OMNI_KEY_SEED", "canary"), ("APEX_API_KEY", "canary\nX: 1"), ("APEX_API_KEY_PASSPHRASE", "canary–x")],
)
def test_a_malformed_credential_is_named_and_not_shown(name: str, value: str) -> None:
    """The line may be read by anybody."""
    text = refusal(VenueConfig(), GOOD | {name: value})
    assert (True, False) == (name in text, "canary" in text)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"endpoints": {"grpc": "x"}}, "venues.apex.endpoints.grpc: not a key; accepted: rest, ws"),
        ({"endpoints": {"ws": "http://x"}}, "venues.apex.endpoints.ws: accepted: a URL that starts with wss:// or ws://"),
        ({"endpoints": {"rest": "http://127.0.0.1:x"}}, "venues.apex.endpoints.rest: accepted: a URL that starts with https:// or http://"),
        ({"limits": {"orders": 5.0}}, "venues.apex.limits.orders: not a key; accepted: create, cancel, query, other, ip"),
        ({"limits": {"ip": 0.0}}, "venues.apex.limits.ip = 0.0: accepted: requests per second above 0"),
    ],
)  # fmt: skip
def test_a_section_that_cannot_work_is_refused_in_one_line(config: dict[str, Any], expected: str) -> None:
    """Naming the key and what is accepted."""
    assert expected == refusal(VenueConfig(**config), GOOD)


def test_each_environment_has_its_hosts() -> None:
    """apex.md §1.1; nothing of one is used for the other."""
    assert set() == set(ENDPOINTS["prod"].values()) & set(ENDPOINTS["testnet"].values())


def test_capabilities_claim_no_more_than_is_documented() -> None:
    """No OCO, no sibling cancel, no dead-man switch; the unpublished timestamp window is bounded with a margin."""
    found = open_venue(VenueConfig(), GOOD).capabilities
    expected = (False, True, False, False, True, True, False, 0, 65.0, 15.0)
    assert expected == tuple(found)
