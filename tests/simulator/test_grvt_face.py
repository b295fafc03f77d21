"""GRVT's REST side: login, market data, queries, limits and the faults of single requests."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from email.utils import parsedate_to_datetime

import pytest

from core.types import Side
from simulator.buckets import Rate, TokenBuckets
from simulator.clock import Delays
from simulator.faults import RequestFault
from simulator.grvt import DEFAULT_LIMITS
from simulator.net import Drop, HttpReply
from tests.simulator.grvt_rig import ETH, START, SUB, Rig, capture, keys, wire_lines


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.login()
    return rig


def error_of(reply: HttpReply | Drop) -> tuple[int, int]:
    assert isinstance(reply, HttpReply)
    return reply.status, json.loads(reply.body).get("code", 0)


# -- login


def test_login_sets_a_cookie_that_lives_24_hours() -> None:
    """The cookie is called gravity and expires, in GMT, a day after the login."""
    rig = Rig()
    reply = rig.login()
    cookie = dict(reply.headers)["Set-Cookie"]
    expires = parsedate_to_datetime(cookie.partition("Expires=")[2].partition(";")[0]).timestamp()
    assert ("gravity", START + 24 * 3600) == (cookie.partition("=")[0], expires)


def test_login_names_the_account() -> None:
    """The account id comes in its header, the sub account in the body."""
    reply = Rig().login()
    body = json.loads(reply.body)
    assert ("ACC:7", "success", SUB) == (dict(reply.headers)["X-Grvt-Account-Id"], body["status"], body["sub_account_id"])


def test_a_refused_login_is_http_200_without_cookie() -> None:
    """A wrong key is told by status failure alone."""
    reply = Rig().login("wrong")
    assert (200, "failure", False) == (reply.status, json.loads(reply.body)["status"], "Set-Cookie" in dict(reply.headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"cookie": "gravity=sim-session-1"},
        {"cookie": "gravity=forged", "x-grvt-account-id": "ACC:7"},
        {"cookie": "gravity=sim-session-1", "x-grvt-account-id": "ACC:8"},
        {"x-grvt-account-id": "ACC:7"},
    ],
)
def test_private_calls_need_cookie_and_account_id(rig: Rig, headers: dict[str, str]) -> None:
    """Without a live cookie and the right account id a private call is answered 1000 with HTTP 401."""
    assert (401, 1000) == error_of(rig.raw("/full/v1/positions", {"sub_account_id": SUB}, headers=headers))


def test_a_cookie_dies_after_24_hours(rig: Rig) -> None:
    """One second before the day is over it works, at its end it does not."""
    rig.clock.run_for(24 * 3600 - 1)
    before = rig.call("positions", {"sub_account_id": SUB}).get("code", 0)
    rig.clock.run_for(1)
    assert (0, 1000) == (before, rig.call("positions", {"sub_account_id": SUB}).get("code", 0))


def test_cookies_can_be_expired_on_demand(rig: Rig) -> None:
    """After expire_cookies a private call is answered 1000, and a new login cures it."""
    rig.face.expire_cookies()
    dead = rig.call("positions", {"sub_account_id": SUB}).get("code", 0)
    rig.login()
    assert (1000, 0) == (dead, rig.call("positions", {"sub_account_id": SUB}).get("code", 0))


def test_another_sub_account_is_1001(rig: Rig) -> None:
    """A valid session does not open somebody else's account."""
    assert 1001 == rig.call("open_orders", {"sub_account_id": "1"})["code"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 5000])
def test_a_body_that_is_no_object_is_1003(rig: Rig, body: bytes) -> None:
    """The empty body and every kind of garbage are malformed syntax."""
    assert (400, 1003) == error_of(rig.raw("/full/v1/positions", body))


@pytest.mark.parametrize(("method", "path"), [("GET", "/full/v1/book"), ("POST", "/lite/v1/book"), ("POST", "/full/v1/nothing")])
def test_unknown_routes_are_404(rig: Rig, method: str, path: str) -> None:
    """Only POST to the full dialect's routes is served."""
    assert (404, 1004) == error_of(rig.raw(path, {}, method=method))


def test_errors_repeat_the_status_in_the_body(rig: Rig) -> None:
    """REST errors carry request_id, code, message and status."""
    answer = rig.call("open_orders", {"sub_account_id": "1"})
    assert {
        "request_id": 1,
        "code": 1001,
        "message": "You are not authorized to access this functionality",
        "status": 403,
    } == answer


# -- market data


def test_time_is_in_milliseconds(rig: Rig) -> None:
    """GET /time gives the venue's clock."""
    reply = rig.raw("/time", b"", method="GET")
    assert isinstance(reply, HttpReply)
    assert {"server_time": int(START * 1000)} == json.loads(reply.body)


def test_the_instrument_is_the_recorded_one(rig: Rig) -> None:
    """All fields of the reconstructed ETH entry, with its values, plus the newer status."""
    recorded = next(line["frame"] for line in wire_lines("instruments.jsonl") if line["frame"]["instrument"] == ETH)
    assert recorded | {"status": "ACTIVE"} == rig.call("instrument", {"instrument": ETH})["result"]


def test_unknown_instrument_is_1003(rig: Rig) -> None:
    """The instrument route says malformed, not not-found."""
    assert 1003 == rig.call("instrument", {"instrument": "ETH-PERP"})["code"]


def test_instrument_lists_are_filtered(rig: Rig) -> None:
    """instruments filters by base; all_instruments with is_active leaves out what is halted."""
    rig.face.set_instrument_status("BTC_USDT_Perp", "HALTED")
    by_base = [i["instrument"] for i in rig.call("instruments", {"base": ["BTC"]})["result"]]
    active = [i["instrument"] for i in rig.call("all_instruments", {"is_active": True})["result"]]
    assert (["BTC_USDT_Perp"], [ETH]) == (by_base, active)


def test_the_book_shows_levels_best_first(rig: Rig) -> None:
    """Bids fall, asks rise, sizes are level totals."""
    for side, price in (
        (Side.BUY, "2999.5"),
        (Side.BUY, "3000"),
        (Side.SELL, "3001"),
        (Side.SELL, "3000.5"),
        (Side.SELL, "3001"),
    ):
        rig.house(side, price)
    book = rig.call("book", {"instrument": ETH, "depth": 10})["result"]
    sides = [[(level["price"], level["size"]) for level in book[side]] for side in ("bids", "asks")]
    assert [[("3000.0", "1.0"), ("2999.5", "1.0")], [("3000.5", "1.0"), ("3001.0", "2.0")]] == sides


@pytest.mark.parametrize(("params", "code"), [({"instrument": ETH, "depth": 7}, 3031), ({"instrument": "X", "depth": 10}, 3000)])
def test_the_book_refuses(rig: Rig, params: dict[str, object], code: int) -> None:
    """Depth out of the list and unknown instrument have their codes."""
    assert code == rig.call("book", params)["code"]


@pytest.mark.parametrize(("route", "fn"), [("ticker", "fetch_ticker"), ("book", "fetch_order_book")])
def test_market_data_has_the_fields_of_the_live_replies(rig: Rig, route: str, fn: str) -> None:
    """No field of the live capture is missing (ccxt quotes num_orders, the venue does not)."""
    rig.house(Side.BUY, "2999.5")
    rig.house(Side.SELL, "3000.5")
    live = {path.replace("num_orders:str", "num_orders:int") for path in keys(capture(fn))}
    assert set() == live - set(keys(rig.call(route, {"instrument": ETH, "depth": 10})))


def test_mini_follows_the_book_and_the_tape(rig: Rig) -> None:
    """BBO, mid, mark and last trade in one object; a side that is empty is ""."""
    rig.house(Side.BUY, "3000")
    rig.house(Side.SELL, "3000.5", "0.4")
    rig.house(Side.BUY, "3000.5", "0.4")
    mini = rig.call("mini", {"instrument": ETH})["result"]
    picked = [mini[name] for name in ("best_bid_price", "best_ask_price", "mid_price", "last_price", "last_size")]
    assert ["3000.0", "", "", "3000.5", "0.4"] == picked


def test_trades_come_newest_first(rig: Rig) -> None:
    """The tape route lists the last trades with the taker's side."""
    rig.house(Side.SELL, "3000.5", "2")
    rig.house(Side.BUY, "3000.5", "0.5")
    rig.house(Side.BUY, "3000.5", "0.7")
    trades = rig.call("trade", {"instrument": ETH, "limit": 50})["result"]
    assert [("0.7", True), ("0.5", True)] == [(t["size"], t["is_taker_buyer"]) for t in trades]


# -- account queries


def test_positions_have_the_live_shape(rig: Rig) -> None:
    """After a fill the position is listed with every field of the live reply and the signed size."""
    rig.create(side=Side.SELL, price="3000.00")
    rig.house(Side.BUY, "3000.00")
    position = rig.ask("positions")[0]
    live = set(keys(capture("parse_position")))
    assert (set(), "-0.16", "3000.0") == (live - set(keys(position)), position["size"], position["entry_price"])


def test_a_flat_account_lists_no_position(rig: Rig) -> None:
    """A contract bought and sold again is gone from the list."""
    rig.create(price="3000.00")
    rig.house(Side.SELL, "3000.00", "0.16")
    rig.create(side=Side.SELL, price="3001.00")
    rig.house(Side.BUY, "3001.00", "0.16")
    assert [] == rig.ask("positions")


def test_the_summary_has_the_live_shape_and_counts_profit(rig: Rig) -> None:
    """Equity = deposit + realized profit - fees: 0.16 ETH a dollar up, two rebates of 1e-6 of notional."""
    rig.create(price="3000.00")
    rig.house(Side.SELL, "3000.00", "0.16")
    rig.create(side=Side.SELL, price="3001.00")
    rig.house(Side.BUY, "3001.00", "0.16")
    summary = rig.ask("account_summary")
    missing = set(keys(capture("parse_balance"))) - set(keys(summary))
    assert (set(), "10000.16096") == (missing, summary["total_equity"])


def test_fills_have_the_live_shape(rig: Rig) -> None:
    """A fill in the history carries every field of the live reply."""
    rig.create(price="3000.00")
    rig.house(Side.SELL, "3000.00", "0.16")
    assert set() == set(keys(capture("fetch_my_trades")["result"][0])) - set(keys(rig.ask("fill_history")[0]))


def test_fees_are_signed_and_the_rate_is_rounded(rig: Rig) -> None:
    """The maker's rebate is a negative fee with rate "0.0"; the taker pays 0.045 percent."""
    rig.create(price="3000.00")
    rig.house(Side.SELL, "3000.00", "0.16")
    rig.house(Side.BUY, "2999.00")
    rig.create(side=Side.SELL, price="2999.00", tif="IMMEDIATE_OR_CANCEL")
    fills = [(fill["is_taker"], fill["fee"], fill["fee_rate"]) for fill in rig.ask("fill_history")]
    assert [(True, "0.215928", "0.045"), (False, "-0.00048", "0.0")] == fills


def many_fills(rig: Rig, count: int) -> None:
    for _ in range(count):
        rig.clock.run_for(1)
        rig.create(price="3000.00", size="0.01")
        rig.house(Side.SELL, "3000.00", "0.01")


def test_fill_history_pages_do_not_slip(rig: Rig) -> None:
    """Pages of two, newest first; a fill between two pages neither repeats nor hides one, the last page has no cursor."""
    many_fills(rig, 5)
    first = rig.call("fill_history", {"sub_account_id": SUB, "limit": 2})
    many_fills(rig, 1)
    pages = [first["result"]]
    cursor = first["next"]
    while cursor:
        page = rig.call("fill_history", {"sub_account_id": SUB, "limit": 2, "cursor": cursor})
        pages.append(page["result"])
        cursor = page["next"]
    times = [int(fill["event_time"]) // 10**9 - int(START) for page in pages for fill in page]
    assert ([5, 4, 3, 2, 1], [2, 2, 1]) == (times, [len(page) for page in pages])


def test_fill_history_keeps_to_its_times(rig: Rig) -> None:
    """start_time and end_time, in ns and inclusive, bound the fills."""
    many_fills(rig, 5)
    start, end = (str(int((START + s) * 1e9)) for s in (2, 4))
    found = rig.ask("fill_history", start_time=start, end_time=end)
    assert [4, 3, 2] == [int(fill["event_time"]) // 10**9 - int(START) for fill in found]


def test_a_strange_cursor_is_1003(rig: Rig) -> None:
    """A cursor the venue did not make is malformed."""
    assert 1003 == rig.call("fill_history", {"sub_account_id": SUB, "cursor": "Qw0918="})["code"]


def test_histories_filter_by_base(rig: Rig) -> None:
    """base, quote and kind of a query select contracts."""
    many_fills(rig, 1)
    assert (0, 1) == (len(rig.ask("fill_history", base=["BTC"])), len(rig.ask("order_history", base=["ETH"])))


def test_sub_accounts_are_listed(rig: Rig) -> None:
    """The one trading account."""
    assert {"sub_account_ids": [SUB]} == rig.call("get_sub_accounts", {})


# -- limits


def test_a_class_runs_out_and_refills() -> None:
    """Five queries of any kind, the sixth is 1006 with HTTP 429, a fifth of a second later one more passes."""
    rig = Rig(limits=DEFAULT_LIMITS)
    rig.login()
    routes = ["positions", "open_orders", "fill_history", "order_history", "positions", "open_orders"]
    codes = [rig.call(route, {"sub_account_id": SUB}).get("code", 0) for route in routes]
    rig.clock.run_for(0.21)
    after = rig.call("positions", {"sub_account_id": SUB}).get("code", 0)
    assert ([0, 0, 0, 0, 0, 1006], 0) == (codes, after)


def test_creates_and_cancels_have_buckets_of_their_own() -> None:
    """Cancels pass while creates are exhausted."""
    rig = Rig(limits=DEFAULT_LIMITS)
    rig.login()
    creates = [rig.create(price="2000.00").get("code", 0) for _ in range(21)]
    cancel = rig.call("cancel_order", {"sub_account_id": SUB, "client_order_id": "1"})
    assert (1006, {"result": {"ack": True}}) == (creates[-1], cancel)


def test_buckets_never_hold_more_than_the_burst() -> None:
    """An hour of silence saves up no more than the burst."""
    buckets = TokenBuckets({"a": Rate(10, 2)})
    buckets.take("a", 0.0)
    assert [True, True, False] == [buckets.take("a", 3600.0) for _ in range(3)]


# -- faults of requests


def create_with(fault: RequestFault) -> tuple[Rig, HttpReply | Drop]:
    rig = Rig()
    rig.login()
    rig.nemesis.requests["create_order"] = fault
    return rig, rig.raw("/full/v1/create_order", {"order": rig.order()})


@pytest.mark.parametrize(("kind", "is_executed"), [("lose_request", False), ("lose_answer", True), ("late", False)])
def test_losses_reset_the_connection(kind: str, is_executed: bool) -> None:
    """The peer sees a reset; whether the order exists is what the kinds differ in."""
    rig, reply = create_with(RequestFault(kind, delay_s=2.0))
    assert (Drop.RESET, is_executed) == (reply, len(rig.ask("open_orders")) == 1)


def test_a_late_request_is_executed_afterwards() -> None:
    """The order lost at once turns up after the delay."""
    rig, _ = create_with(RequestFault("late", delay_s=2.0))
    rig.clock.run_for(2.0)
    assert 1 == len(rig.ask("open_orders"))


@pytest.mark.parametrize(("kind", "is_executed"), [("status", False), ("status_executed", True)])
def test_status_faults_answer_what_they_are_told(kind: str, is_executed: bool) -> None:
    """Status and body are the rule's, execution is the kind's."""
    rig, reply = create_with(RequestFault(kind, status=502, body="<html>bad gateway</html>"))
    assert isinstance(reply, HttpReply)
    expected = (502, b"<html>bad gateway</html>", is_executed)
    assert expected == (reply.status, reply.body, len(rig.ask("open_orders")) == 1)


def test_a_rate_limit_fault_has_the_venue_s_shape() -> None:
    """429, code 1006, Retry-After as asked, nothing executed."""
    rig, reply = create_with(RequestFault("rate_limit", retry_after_s=3.0))
    assert isinstance(reply, HttpReply)
    seen = (*error_of(reply), dict(reply.headers).get("Retry-After"), rig.ask("open_orders"))
    assert (429, 1006, "3", []) == seen


def test_faults_are_asked_by_route_name(rig: Rig) -> None:
    """The last part of the path is what a rule names, for login and time as for any route."""
    rig.raw("/time", b"", method="GET")
    rig.ask("positions")
    assert ["grvt login", "grvt time", "grvt positions"] == rig.nemesis.asked


def test_a_hanging_request_is_neither_executed_nor_answered() -> None:
    """Hours later the request still waits, and no order exists."""

    async def scenario() -> tuple[bool, int]:
        rig = Rig()
        rig.login()
        rig.nemesis.requests["create_order"] = RequestFault("hang")
        task = asyncio.ensure_future(rig.rest("/full/v1/create_order", {"order": rig.order()}))
        await asyncio.sleep(0)
        rig.clock.run_for(30)
        await asyncio.sleep(0)
        is_done = task.done()
        task.cancel()
        return is_done, len(rig.ask("open_orders"))

    assert (False, 0) == asyncio.run(scenario())


async def settle() -> None:
    """Lets every coroutine that may run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def delayed_login(rig: Rig) -> None:
    task = asyncio.ensure_future(rig.rest("/auth/api_key/login", {"api_key": "dummy-key"}))
    for _ in range(3):
        await settle()
        rig.clock.run_for(1)
    reply = await task
    assert isinstance(reply, HttpReply)
    rig.cookie = dict(reply.headers)["Set-Cookie"].partition(";")[0]


def test_request_and_answer_take_their_time() -> None:
    """Nothing happens before request_s; the reply leaves answer_s after that."""

    async def scenario() -> list[tuple[int, bool]]:
        rig = Rig(delays=Delays(0.1, 0.2, 0.0))
        await delayed_login(rig)
        task = asyncio.ensure_future(rig.rest("/full/v1/create_order", {"order": rig.order()}))
        seen = []
        for step in (0.0, 0.11, 0.2):
            await settle()
            rig.clock.run_for(step)
            await settle()
            seen.append((len(rig.exchange.open_orders(SUB)), task.done()))
        return seen

    assert [(0, False), (1, False), (1, True)] == asyncio.run(scenario())


def test_a_delay_fault_executes_at_once_and_answers_late() -> None:
    """The order rests while its reply is held back."""

    async def scenario() -> tuple[int, bool, bool]:
        rig = Rig()
        rig.login()
        rig.nemesis.requests["create_order"] = RequestFault("delay", delay_s=5.0)
        task = asyncio.ensure_future(rig.rest("/full/v1/create_order", {"order": rig.order()}))
        await settle()
        resting, early = len(rig.exchange.open_orders(SUB)), task.done()
        rig.clock.run_for(5.0)
        await settle()
        return resting, early, task.done()

    assert (1, False, True) == asyncio.run(scenario())


def test_the_speed_bump_spares_post_only_orders() -> None:
    """With real delays a post-only order matches on arrival, any other 25 ms later."""
    rig = Rig(delays=Delays(0.0, 0.0, 0.001))
    rig.login()
    rig.create(price="2990.00")
    rig.create(price="2991.00", post_only=False)
    at_once = len(rig.exchange.open_orders(SUB))
    rig.clock.run_for(0.026)
    assert (1, 2) == (at_once, len(rig.exchange.open_orders(SUB)))


def test_fills_reach_the_ledger_exactly(rig: Rig) -> None:
    """What the face reports as filled is what the exchange's ledger holds."""
    many_fills(rig, 3)
    reported = sum((Decimal(fill["size"]) for fill in rig.ask("fill_history")), Decimal(0))
    assert reported == rig.exchange.position(SUB, ETH)
