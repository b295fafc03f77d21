"""The REST face of ApeX: keys, refusals in HTTP 200, market data, limits and faults (apex.md §1, §4)."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from core.types import Side
from simulator.apex import ApexLimits
from simulator.apex_auth import signed_tail
from simulator.clock import Delays
from simulator.faults import RequestFault
from simulator.net import Drop, HttpRequest
from tests.simulator.apex_kit import NAME, SYMBOL, Bench, drive, sign, wire_lines


@pytest.fixture
def bench() -> Bench:
    return Bench().with_book()


# -- keys ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"apex_api_key": "somebody"}, 10002),
        ({"apex_passphrase": "guess"}, 10002),
        ({"age_s": 61}, 20002),
        ({"age_s": -61}, 20002),
        ({"apex_timestamp": "yesterday"}, 20002),
        ({"apex_signature": sign("something else")}, 20006),
        ({"apex_signature": ""}, 20006),
        ({"apex_signature": "ä"}, 20006),
    ],
)
def test_a_request_that_is_not_ours_is_refused(bench: Bench, how: dict, code: int):
    """In HTTP 200, with the venue's number for what is wrong."""
    assert code == bench.call("GET", "account", **how)["code"]


def test_the_window_of_timestamps_can_be_made_narrow(bench: Bench):
    """The venue's own is not published, so that a client must find it out."""
    bench.face.set_window(5)
    answers = [bench.call("GET", "account", age_s=age_s) for age_s in (4, 6)]
    assert [None, 20002] == [answer.get("code") for answer in answers]


def test_a_bad_key_is_echoed(bench: Bench):
    """As the venue does: a client must never log this message."""
    assert "somebody" in bench.call("GET", "account", apex_api_key="somebody")["msg"]


def test_the_query_is_signed(bench: Bench):
    """A query changed on the way is refused."""
    request = bench.request("GET", "/api/v3/open-orders", {"showPositionOrders": "true"})
    changed = request._replace(raw_query="showPositionOrders=false")
    assert 20006 == json.loads(bench.send(changed).body)["code"]


def test_a_form_is_signed_decoded_and_sorted(bench: Bench):
    """A comma that travels as %2C is signed as a comma (apex.md §1.4)."""
    answer = bench.call("POST", "delete-open-orders", {"symbol": "BTC-USDT,ETH-USDT"})
    assert {} == answer["data"]


@pytest.mark.parametrize("index", range(20))
def test_the_signed_text_is_the_recorded_one(index: int):
    """Over the requests an official client made."""
    recorded = [line for line in wire_lines("sdk_order_posts") if "hmac_message_tail" in line]
    if index >= len(recorded):
        pytest.skip("fewer recorded requests than that")
    line = recorded[index]
    path, _, query = line["path"].partition("?")
    request = HttpRequest(line["method"], path, {}, query, {}, line["body"].encode())
    assert line["hmac_message_tail"] == signed_tail(request)


# -- shapes ----------------------------------------------------------------------------------------------------------------


def test_a_success_has_data_and_no_code(bench: Bench):
    assert {"data", "timeCost"} == set(bench.call("GET", "time"))


def test_an_unknown_path_is_404(bench: Bench):
    assert 404 == bench.send(bench.request("GET", "/api/v3/no-such-thing")).status


@pytest.mark.parametrize(
    ("path", "kind"),
    [("account", "GET /api/v3/account (docs, wrapped in data)"), ("account-balance", "GET /api/v3/account-balance")],
)
def test_the_account_has_the_documented_fields(bench: Bench, path: str, kind: str):
    documented = next(line["body"]["data"] for line in wire_lines("rest_responses") if line["ep"] == kind)
    assert set(documented) == set(bench.call("GET", path)["data"])


def test_a_contract_has_the_documented_fields(bench: Bench):
    """And the values a client cuts its orders by."""
    lines = wire_lines("rest_responses")
    documented = next(line["body"]["data"] for line in lines if line["ep"].startswith("GET /api/v3/symbols"))
    expected = documented["contractConfig"]["perpetualContract"][0]
    row = bench.call("GET", "symbols")["data"]["contractConfig"]["perpetualContract"][0]
    names = ("symbol", "crossSymbolName", "tickSize", "stepSize", "l2PairId", "settleAssetId")
    assert (set(expected), [expected[name] for name in names]) == (set(row), [row[name] for name in names])


def test_both_contracts_are_listed(bench: Bench):
    rows = bench.call("GET", "symbols")["data"]["contractConfig"]["perpetualContract"]
    assert ["BTC-USDT", "ETH-USDT"] == [row["symbol"] for row in rows]


def test_the_settlement_asset_has_18_decimals(bench: Bench):
    """What signatures scale prices and sizes with."""
    assets = bench.call("GET", "symbols")["data"]["contractConfig"]["assets"]
    assert [("USDT", 18)] == [(asset["token"], asset["decimals"]) for asset in assets]


def test_depth_is_ascending_on_both_sides(bench: Bench):
    """The best bid comes last."""
    data = bench.call("GET", "depth", {"symbol": NAME})["data"]
    assert (["59980", "59990"], ["60010", "60020"]) == ([p for p, _ in data["b"]], [p for p, _ in data["a"]])


@pytest.mark.parametrize("name", [SYMBOL, "CLUSDT", ""])
def test_market_data_knows_dashless_names_only(bench: Bench, name: str):
    assert {"code": 3, "msg": f"invalid symbol: {name}"}.items() <= bench.call("GET", "depth", {"symbol": name}).items()


@pytest.mark.parametrize("limit", ["0", "101"])
def test_a_page_has_its_limits(bench: Bench, limit: str):
    assert "invalid get page size" == bench.call("GET", "depth", {"symbol": NAME, "limit": limit})["msg"]


def test_the_ticker_is_a_list_of_one(bench: Bench):
    """With the live fields."""
    documented = next(line["body"]["data"] for line in wire_lines("rest_responses") if line["ep"] == "GET /api/v3/ticker")
    (row,) = bench.call("GET", "ticker", {"symbol": NAME})["data"]
    assert (set(documented[0]), "60000") == (set(row), row["markPrice"])


def test_the_ticker_of_nothing_is_empty(bench: Bench):
    assert [] == bench.call("GET", "ticker")["data"]


def test_trades_are_newest_first(bench: Bench):
    """With the side of the taker."""
    bench.take(Side.BUY, "0.1")
    bench.take(Side.SELL, "0.2")
    rows = bench.call("GET", "trades", {"symbol": NAME})["data"]
    assert [("Sell", "0.2"), ("Buy", "0.1")] == [(row["S"], row["v"]) for row in rows]


def test_klines_gather_the_trades_of_a_minute(bench: Bench):
    """Open, high, low, close, volume."""
    bench.take(Side.BUY, "0.1")
    bench.take(Side.SELL, "0.2")
    (row,) = bench.call("GET", "klines", {"symbol": NAME, "interval": "1"})["data"][NAME]
    assert ["60010", "60010", "59990", "59990", "0.3"] == [row[name] for name in "ohlcv"]


def test_the_worst_price_is_the_last_level_needed(bench: Bench):
    data = bench.call("GET", "get-worst-price", {"symbol": SYMBOL, "size": "1.5", "side": "BUY"})["data"]
    assert {"worstPrice": "60020", "bidOnePrice": "59990", "askOnePrice": "60010"} == data


def test_positions_have_a_row_a_side(bench: Bench):
    """The flat one with size 0."""
    bench.enter("BUY", "0.010")
    rows = bench.call("GET", "account")["data"]["positions"]
    found = [(row["side"], row["size"], row["entryPrice"]) for row in rows if row["symbol"] == SYMBOL]
    assert [("LONG", "0.010", Decimal(60010)), ("SHORT", "0", Decimal(0))] == [(a, b, Decimal(c)) for a, b, c in found]


@pytest.mark.parametrize(("first", "second"), [("BUY", "SELL"), ("SELL", "BUY")])
def test_profit_and_fees_show_in_the_equity(bench: Bench, first: str, second: str):
    """Bought at 60010, sold at 59990, in whatever order: 20 a coin, and the taker's fee twice."""
    bench.enter(first, "1.000")
    bench.enter(second, "1.000")
    lost = Decimal(100_000) - Decimal(bench.call("GET", "account-balance")["data"]["totalEquityValue"])
    assert Decimal(20) + Decimal("0.0005") * (60010 + 59990) == lost


# -- limits ----------------------------------------------------------------------------------------------------------------


def test_an_address_that_asks_too_often_gets_a_page():
    """403 and HTML, nothing a JSON parser can read."""
    bench = Bench(limits=ApexLimits(address_per_minute=2))
    replies = [bench.send(bench.request("GET", "/api/v3/time")) for _ in range(3)]
    assert ([200, 200, 403], True) == ([reply.status for reply in replies], replies[2].body.startswith(b"<html>"))


@pytest.mark.parametrize(("method", "path"), [("GET", "open-orders"), ("POST", "delete-open-orders")])
def test_an_account_that_asks_too_often_is_refused(method: str, path: str):
    """In HTTP 200 with code 10003; reads and writes have their own budgets."""
    bench = Bench(limits=replace_limits(gets_per_minute=1, posts_per_minute=1))
    codes = [bench.call(method, path).get("code") for _ in range(2)]
    other = bench.call("GET" if method == "POST" else "POST", "open-orders" if method == "POST" else "delete-open-orders")
    assert ([None, 10003], None) == (codes, other.get("code"))


def test_a_minute_later_it_may_ask_again():
    bench = Bench(limits=replace_limits(gets_per_minute=1))
    bench.call("GET", "open-orders")
    bench.clock.run_for(60)
    assert [] == bench.call("GET", "open-orders")["data"]


def replace_limits(**changes: object) -> ApexLimits:
    return ApexLimits()._replace(**changes)


# -- faults ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "placed", "answer"),
    [
        (RequestFault("lose_request"), 0, Drop.RESET),
        (RequestFault("lose_answer"), 1, Drop.RESET),
        (RequestFault("late", delay_s=1), 1, Drop.RESET),
        (RequestFault("status", status=502, body="bad gateway"), 0, 502),
        (RequestFault("status", status=403), 0, 403),
        (RequestFault("status_executed", status=504), 1, 504),
        (RequestFault("delay", delay_s=1), 1, 200),
        (RequestFault("hang"), 0, None),
        (RequestFault("rate_limit"), 0, 200),
    ],
    ids=lambda value: value.kind if isinstance(value, RequestFault) else None,
)
def test_a_fault_strikes_an_order(bench: Bench, fault: RequestFault, placed: int, answer: object):
    """Executed or not, answered or not, as the nemesis says."""
    bench.nemesis.requests.append(fault)
    reply = asyncio.run(drive(bench, bench.request("POST", "/api/v3/order", bench.form(price="50000")), 3))
    rows = bench.exchange.open_orders("700000000000000001")
    assert (placed, answer) == (len(rows), getattr(reply, "status", reply))


def test_the_nemesis_is_asked_by_route(bench: Bench):
    bench.call("GET", "time")
    assert ("apex", "GET /api/v3/time") == bench.nemesis.asked[-1]


def test_a_delayed_request_is_carried_out_though_nobody_waits():
    """The caller that hangs up does not stop its order."""
    bench = Bench(delays=Delays(request_s=1)).with_book()

    async def hang_up() -> None:
        task = asyncio.ensure_future(bench.face.rest(bench.request("POST", "/api/v3/order", bench.form(price="50000"))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        bench.clock.run_for(2)
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(hang_up())
    assert 1 == len(bench.exchange.open_orders("700000000000000001"))
