"""The REST face of Backpack against the protocol notes: signatures, refusals, order answers, histories (backpack.md §9)."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from core.types import Side
from simulator.backpack import BackpackLimits
from simulator.backpack_auth import Verifier, signed_text
from simulator.clock import Delays
from tests.simulator.backpack_kit import API_KEY, ME, SYMBOL, Bench, drive, order_body, wire_lines

POST = ("POST", "/api/v1/order")
MARKET_SYMBOL_ERROR = (
    'parse request payload error: failed to parse "MarketSymbol": Invalid market symbol '
    '(occurred while parsing "OrderExecutePayload")'
)


@pytest.fixture
def bench() -> Bench:
    return Bench().with_book()


# -- signatures and windows ------------------------------------------------------------------------------------------------


def test_signed_text_matches_the_published_vectors():
    """The text the face verifies is the text the vectors were signed over."""
    lines = wire_lines("sign_vectors")
    texts = [signed_text(v["instruction"], v["params"], str(v["timestamp"]), str(v["window"])) for v in lines]
    assert [v["message"] for v in lines] == texts


def test_published_signatures_are_genuine():
    """Every vector passes the verifier at its own time."""
    for vector in wire_lines("sign_vectors"):
        verifier = Verifier(vector["pub_b64"])
        parts = (vector["pub_b64"], vector["signature"], str(vector["timestamp"]), str(vector["window"]))
        verifier.check(*parts, lambda *_, text=vector["message"]: text, vector["timestamp"])


def test_a_signature_over_another_field_is_refused(bench: Bench):
    """A body that differs from what was signed is answered INVALID_SIGNATURE."""
    signed = bench.request(*POST, order_body(quantity="0.100"))
    altered = signed._replace(body=json.dumps(order_body(quantity="0.200")).encode())
    assert "INVALID_SIGNATURE" == json.loads(bench.send(altered).body)["code"]


def test_an_altered_order_does_not_rest(bench: Bench):
    """What fails the signature never reaches the book."""
    signed = bench.request(*POST, order_body(quantity="0.100"))
    bench.send(signed._replace(body=json.dumps(order_body(quantity="0.200")).encode()))
    assert [] == bench.exchange.open_orders(ME)


def test_integers_and_booleans_are_signed_as_printed(bench: Bench):
    """clientId and postOnly enter the signed text as their JSON form."""
    assert 3141592653 == bench.place(clientId=3141592653, postOnly=True)["clientId"]


def test_another_key_is_unauthorized(bench: Bench):
    request = bench.request("GET", "/api/v1/account")
    other = request._replace(headers={**request.headers, "x-api-key": "A" * 43 + "="})
    assert 401 == bench.send(other).status


@pytest.mark.parametrize("age_s", [5.1, -5.1])
def test_a_timestamp_outside_the_window_has_expired(bench: Bench, age_s: float):
    """Both an old request and one from a clock that runs ahead."""
    answer = bench.call(*POST, order_body(), age_s=age_s)
    assert (400, {"code": "INVALID_CLIENT_REQUEST", "message": "Request has expired"}) == answer


def test_a_wider_window_is_honoured(bench: Bench):
    status, _ = bench.call(*POST, order_body(), age_s=9, window="10000")
    assert 200 == status


def test_a_window_over_a_minute_is_refused(bench: Bench):
    status, _ = bench.call(*POST, order_body(), window="60001")
    assert 400 == status


def test_the_window_is_checked_when_the_request_is_carried_out():
    """A request signed in time that takes six seconds to the engine is refused."""
    bench = Bench(delays=Delays(request_s=6)).with_book()
    reply = asyncio.run(drive(bench, bench.request(*POST, order_body()), 10))
    assert b'{"code":"INVALID_CLIENT_REQUEST","message":"Request has expired"}' == reply.body


# -- bodies ----------------------------------------------------------------------------------------------------------------


def test_a_bad_symbol_is_answered_in_plain_text(bench: Bench):
    """The words of the captured error, HTTP 400 and not JSON."""
    assert (400, MARKET_SYMBOL_ERROR) == bench.call(*POST, order_body(symbol="ETH-PERP"))


def test_the_bad_symbol_text_is_the_captured_one():
    assert MARKET_SYMBOL_ERROR in [line["body"] for line in wire_lines("errors")]


@pytest.mark.parametrize("client_id", [-1, 2**32, "7", 1.5, True])
def test_a_client_id_that_is_no_uint32_does_not_parse(bench: Bench, client_id: object):
    status, text = bench.call(*POST, order_body(clientId=client_id))
    assert (400, True) == (status, str(text).startswith("parse request payload error: failed to parse"))


@pytest.mark.parametrize("client_id", [0, 2**32 - 1])
def test_the_whole_uint32_range_is_accepted(bench: Bench, client_id: int):
    assert client_id == bench.place(clientId=client_id)["clientId"]


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"price": "2990.001"}, "INVALID_PRICE", "Price decimal too long"),
        ({"quantity": "0.0001"}, "INVALID_QUANTITY", "Quantity is below the minimum order size"),
        ({"quantity": "0.1001"}, "INVALID_QUANTITY", "Quantity decimal too long"),
        ({"price": "2800.00"}, "INVALID_PRICE", "Price is too far from the last active price"),
        ({"price": "3200.00"}, "INVALID_PRICE", "Price is too far from the last active price"),
        ({"price": "3000.50", "postOnly": True}, "INVALID_ORDER", "Order would immediately match and take liquidity"),
        ({"reduceOnly": True}, "INVALID_ORDER", "Reduce only order not reduced"),
        ({"price": None}, "INVALID_ORDER", "Invalid order"),
        ({"quantity": None}, "INVALID_ORDER", "Invalid order"),
        ({"postOnly": True, "timeInForce": "IOC"}, "INVALID_ORDER", "Invalid order"),
        (
            {"triggerPrice": "3100"},
            "INVALID_CLIENT_REQUEST",
            "Must specify both `triggerPrice` and `triggerQuantity` or neither",
        ),
    ],
)
def test_an_order_against_the_rules_is_refused_with_http_400(bench: Bench, fields: dict, code: str, message: str):
    assert (400, {"code": code, "message": message}) == bench.call(*POST, order_body(**fields))


@pytest.mark.parametrize(
    "fields", [{"price": 2990.5}, {"price": "1e3"}, {"quantity": "NaN"}, {"side": "BUY"}, {"postOnly": "true"}]
)
def test_a_field_of_the_wrong_type_does_not_parse(bench: Bench, fields: dict):
    status, text = bench.call(*POST, order_body(**fields))
    assert (400, True) == (status, str(text).startswith("parse request payload error: failed to parse"))


def test_what_is_not_simulated_says_so(bench: Bench):
    """An order with a native stop must not be taken for a plain one."""
    status, row = bench.call(*POST, order_body(stopLossTriggerPrice="2900"))
    assert (501, "NOT_IMPLEMENTED") == (status, row["code"])


def test_a_margin_shortage_refuses_what_does_not_reduce(bench: Bench):
    bench.face.switches.is_margin_short = True
    status, row = bench.call(*POST, order_body())
    assert (400, "INSUFFICIENT_MARGIN") == (status, row["code"])


# -- order answers ---------------------------------------------------------------------------------------------------------


def test_a_resting_order_is_new(bench: Bench):
    row = bench.place(postOnly=True)
    assert ("New", "0", "2990.00") == (row["status"], row["executedQuantity"], row["price"])


def test_the_rest_of_an_ioc_expires_in_the_200_reply(bench: Bench):
    """One of two and a half ETH is on offer at the limit: the answer says what filled, and Expired."""
    row = bench.place(price="3000.50", quantity="2.500", timeInForce="IOC")
    assert ("Expired", "1", "3000.50") == (row["status"], row["executedQuantity"], row["executedQuoteQuantity"])


def test_a_market_order_stops_at_the_impact_band(bench: Bench):
    """One percent past the best ask of 3000.50 nothing more is taken."""
    bench.quote(Side.SELL, "3100.00", "5")
    row = bench.place(orderType="Market", price=None, quantity="3.000")
    assert ("Expired", "2") == (row["status"], row["executedQuantity"])


def test_a_market_order_answers_without_price(bench: Bench):
    row = bench.place(orderType="Market", price=None, quantity="0.500")
    assert ("Filled", False) == (row["status"], "price" in row)


def test_a_reduce_only_order_stops_at_flat(bench: Bench):
    bench.place(price="3000.50", quantity="0.300", timeInForce="IOC")
    bench.place(side="Ask", price="2999.50", quantity="1.000", timeInForce="IOC", reduceOnly=True)
    assert 0 == bench.exchange.position(ME, SYMBOL)


@pytest.mark.parametrize("name", ["orderId", "clientId"])
def test_a_resting_order_is_found_by_either_id(bench: Bench, name: str):
    row = bench.place(clientId=77)
    wanted = {"symbol": SYMBOL, name: row["id"] if name == "orderId" else 77}
    assert (200, row) == bench.call("GET", "/api/v1/order", wanted)


def test_an_order_that_left_the_book_is_not_found(bench: Bench):
    """404 at once after the fill, although the order did exist."""
    row = bench.place(price="3000.50")
    answer = bench.call("GET", "/api/v1/order", {"symbol": SYMBOL, "orderId": row["id"]})
    assert (404, {"code": "RESOURCE_NOT_FOUND", "message": "Not Found"}) == answer


def test_both_ids_at_once_are_refused(bench: Bench):
    row = bench.place(clientId=77)
    status, _ = bench.call("DELETE", "/api/v1/order", {"symbol": SYMBOL, "orderId": row["id"], "clientId": 77})
    assert 400 == status


def test_a_cancel_answers_with_the_cancelled_order(bench: Bench):
    row = bench.place(clientId=77)
    assert (200, {**row, "status": "Cancelled"}) == bench.call("DELETE", "/api/v1/order", {"symbol": SYMBOL, "clientId": 77})


def test_a_deferred_cancel_answers_202_with_the_order_still_resting(bench: Bench):
    row = bench.place(clientId=77)
    bench.face.switches.cancel_delay_s = 0.5
    status, _ = bench.call("DELETE", "/api/v1/order", {"symbol": SYMBOL, "clientId": 77})
    assert (202, [row]) == (status, bench.call("GET", "/api/v1/orders", {"symbol": SYMBOL})[1])


def test_a_deferred_cancel_happens_later(bench: Bench):
    bench.place(clientId=77)
    bench.face.switches.cancel_delay_s = 0.5
    bench.call("DELETE", "/api/v1/order", {"symbol": SYMBOL, "clientId": 77})
    bench.clock.run_for(0.5)
    assert [] == bench.exchange.open_orders(ME)


def test_a_fill_may_overtake_a_deferred_cancel(bench: Bench):
    """After the 202 the order still fills in full; the cancel then finds nothing."""
    order_id = int(bench.place(clientId=77, price="3000.00")["id"])
    bench.face.switches.cancel_delay_s = 0.5
    bench.call("DELETE", "/api/v1/order", {"symbol": SYMBOL, "clientId": 77})
    bench.take(Side.SELL, "0.1")
    bench.clock.run_for(0.5)
    assert "FILLED" == bench.exchange.order(order_id).status


def test_cancel_all_tells_what_it_cancelled(bench: Bench):
    ids = [bench.place()["id"], bench.place()["id"]]
    status, rows = bench.call("DELETE", "/api/v1/orders", {"symbol": SYMBOL})
    assert (200, ids) == (status, [row["id"] for row in rows])


def test_cancel_all_of_conditional_orders_leaves_limit_orders(bench: Bench):
    bench.place()
    bench.call("DELETE", "/api/v1/orders", {"symbol": SYMBOL, "orderType": "ConditionalOrder"})
    assert 1 == len(bench.exchange.open_orders(ME))


def test_a_batch_answers_each_order_for_itself(bench: Bench):
    """Signed clause by clause; the refused one does not stop the other."""
    _, rows = bench.call("POST", "/api/v1/orders", [order_body(price="2990.001"), order_body(clientId=5)])
    assert [("Err", None), ("Ok", 5)] == [(row["operation"], row.get("clientId")) for row in rows]


def test_a_batch_with_an_unparsable_order_places_none(bench: Bench):
    bench.call("POST", "/api/v1/orders", [order_body(), order_body(symbol="ETH-PERP")])
    assert [] == bench.exchange.open_orders(ME)


# -- market data -----------------------------------------------------------------------------------------------------------


def test_depth_is_ascending_on_both_sides(bench: Bench):
    """The best bid comes last."""
    _, book = bench.call("GET", "/api/v1/depth", {"symbol": SYMBOL, "limit": 5})
    expected = ([["2999.00", "1"], ["2999.50", "1"]], [["3000.50", "1"], ["3001.00", "1"]])
    assert expected == (book["bids"], book["asks"])


def test_depth_keeps_the_best_levels(bench: Bench):
    for tick in range(10):
        bench.quote(Side.BUY, f"29{80 + tick}.00", "1")
    _, book = bench.call("GET", "/api/v1/depth", {"symbol": SYMBOL, "limit": 5})
    assert ("2987.00", "2999.50") == (book["bids"][0][0], book["bids"][-1][0])


def test_depth_stamps(bench: Bench):
    """The update id is a string, the time microseconds."""
    _, book = bench.call("GET", "/api/v1/depth", {"symbol": SYMBOL})
    assert (True, round(bench.clock.now() * 1e6)) == (isinstance(book["lastUpdateId"], str), book["timestamp"])


def test_a_depth_limit_off_the_list_is_refused(bench: Bench):
    status, _ = bench.call("GET", "/api/v1/depth", {"symbol": SYMBOL, "limit": 7})
    assert 400 == status


def test_markets_lists_the_perp_beside_its_spot_twin(bench: Bench):
    """A client that builds the symbol itself would find the wrong one."""
    _, rows = bench.call("GET", "/api/v1/markets")
    assert {"ETH_USDC": "SPOT", SYMBOL: "PERP"} == {row["symbol"]: row["marketType"] for row in rows}


def test_a_market_names_tick_step_and_band(bench: Bench):
    _, row = bench.call("GET", "/api/v1/market", {"symbol": SYMBOL})
    price, quantity = row["filters"]["price"], row["filters"]["quantity"]
    band = {"maxMultiplier": "1.04", "minMultiplier": "0.96"}
    assert ("0.01", "0.001", band) == (price["tickSize"], quantity["stepSize"], price["meanMarkPriceBand"])


def test_the_public_tape(bench: Bench):
    """A sell into the bids: the buyer was the maker, time in milliseconds."""
    bench.take(Side.SELL, "0.25")
    _, rows = bench.call("GET", "/api/v1/trades", {"symbol": SYMBOL, "limit": 1})
    found = [(row["price"], row["quantity"], row["isBuyerMaker"], row["timestamp"]) for row in rows]
    assert [("2999.50", "0.25", True, round(bench.clock.now() * 1000))] == found


def test_mark_price_is_the_mid(bench: Bench):
    _, rows = bench.call("GET", "/api/v1/markPrices", {"symbol": SYMBOL})
    assert ["3000.00"] == [row["markPrice"] for row in rows]


def test_ticker_names_the_last_price(bench: Bench):
    bench.take(Side.BUY, "0.25")
    assert "3000.50" == bench.call("GET", "/api/v1/ticker", {"symbol": SYMBOL})[1]["lastPrice"]


def test_time_is_a_bare_number_of_milliseconds(bench: Bench):
    assert (200, round(bench.clock.now() * 1000)) == bench.call("GET", "/api/v1/time")


def test_status_is_ok(bench: Bench):
    assert (200, {"message": None, "status": "Ok"}) == bench.call("GET", "/api/v1/status")


def test_an_unknown_path_is_not_mistaken_for_a_missing_order(bench: Bench):
    """404, but without the code that means "not resting"."""
    assert (404, "not found") == bench.call("GET", "/api/v1/positions")


# -- histories and account -------------------------------------------------------------------------------------------------


def test_a_fill_is_missing_in_the_history_at_first(bench: Bench):
    bench.place(price="3000.50")
    assert (200, []) == bench.call("GET", "/wapi/v1/history/fills", {"symbol": SYMBOL})


def test_a_fill_is_in_the_history_after_the_lag(bench: Bench):
    """With the client id as text, the fee paid as a positive number and ISO time without a zone."""
    bench.place(price="3000.50", clientId=9)
    bench.clock.run_for(0.25)
    _, rows = bench.call("GET", "/wapi/v1/history/fills", {"symbol": SYMBOL})
    found = [(row["clientId"], row["quantity"], Decimal(row["fee"]), row["isMaker"], row["timestamp"]) for row in rows]
    assert [("9", "0.100", Decimal("0.150025"), False, "2023-11-14T22:13:20.000")] == found


@pytest.mark.parametrize(("offset_ms", "count"), [(0, 1), (1, 0)])
def test_fills_are_filtered_by_from(bench: Bench, offset_ms: int, count: int):
    bench.place(price="3000.50")
    since = round(bench.clock.now() * 1000) + offset_ms
    bench.clock.run_for(1)
    assert count == len(bench.call("GET", "/wapi/v1/history/fills", {"symbol": SYMBOL, "from": since})[1])


def test_fills_are_filtered_by_order(bench: Bench):
    wanted, _ = bench.place(price="3000.50")["id"], bench.place(price="3000.50")
    bench.clock.run_for(1)
    _, rows = bench.call("GET", "/wapi/v1/history/fills", {"orderId": wanted})
    assert [wanted] == [row["orderId"] for row in rows]


def test_history_pages_are_newest_first(bench: Bench):
    ids = [bench.place()["id"] for _ in range(3)]
    bench.clock.run_for(1)
    _, rows = bench.call("GET", "/wapi/v1/history/orders", {"symbol": SYMBOL, "limit": 2, "offset": 1})
    assert [ids[1], ids[0]] == [row["id"] for row in rows]


def test_the_order_history_says_why_an_order_expired(bench: Bench):
    bench.place(price="3000.50", quantity="2.500", timeInForce="IOC")
    bench.clock.run_for(1)
    _, rows = bench.call("GET", "/wapi/v1/history/orders", {"symbol": SYMBOL})
    assert [("Expired", "ImmediateOrCancel")] == [(row["status"], row["expiryReason"]) for row in rows]


def test_a_flat_account_has_no_position_row(bench: Bench):
    assert (200, []) == bench.call("GET", "/api/v1/position")


def test_a_short_position_is_a_negative_quantity(bench: Bench):
    bench.place(side="Ask", price="2999.50", quantity="0.400")
    _, rows = bench.call("GET", "/api/v1/position")
    assert [("-0.400", "2999.5")] == [(row["netQuantity"], row["entryPrice"].rstrip("0")) for row in rows]


def test_a_position_that_was_closed_is_gone(bench: Bench):
    bench.place(price="3000.50", quantity="0.400")
    bench.place(side="Ask", price="2999.50", quantity="0.400")
    assert (200, []) == bench.call("GET", "/api/v1/position")


def test_a_position_turned_over_has_the_new_entry_price(bench: Bench):
    bench.place(price="3000.50", quantity="0.400")
    bench.place(side="Ask", price="2999.50", quantity="0.600")
    _, rows = bench.call("GET", "/api/v1/position")
    found = [(Decimal(row["netQuantity"]), Decimal(row["entryPrice"]), Decimal(row["pnlRealized"])) for row in rows]
    assert [(Decimal("-0.2"), Decimal("2999.5"), Decimal("-0.4"))] == found


def test_account_fees_are_basis_points(bench: Bench):
    """Half a point of rebate, five points of taker fee."""
    _, row = bench.call("GET", "/api/v1/account")
    assert (Decimal("-0.5"), Decimal(5)) == (Decimal(row["futuresMakerFee"]), Decimal(row["futuresTakerFee"]))


def test_account_counts_open_orders(bench: Bench):
    bench.place()
    assert 1 == bench.call("GET", "/api/v1/account")[1]["limitOrders"]


def test_the_largest_order_follows_equity_and_leverage(bench: Bench):
    """100,000 USDC at ten times leverage buy 333.333 ETH at 3000."""
    _, row = bench.call("GET", "/api/v1/account/limits/order", {"symbol": SYMBOL, "side": "Bid"})
    assert "333.333" == row["maxOrderQuantity"]


def test_collateral_falls_by_the_fees_paid(bench: Bench):
    """A round trip of 0.4 ETH: one quote of spread and five basis points each way."""
    bench.place(price="3000.50", quantity="0.400")
    bench.place(side="Ask", price="2999.50", quantity="0.400")
    _, row = bench.call("GET", "/api/v1/capital/collateral")
    assert Decimal("99998.4") == Decimal(row["netEquity"])


def test_balances_name_the_quote_currency(bench: Bench):
    assert {"USDC"} == set(bench.call("GET", "/api/v1/capital")[1])


# -- limits ----------------------------------------------------------------------------------------------------------------


def test_an_empty_bucket_answers_429():
    bench = Bench(limits=BackpackLimits(requests_per_minute=2)).with_book()
    statuses = [bench.call("GET", "/api/v1/account")[0] for _ in range(3)]
    assert [200, 200, 429] == statuses


def test_a_429_places_nothing_and_names_its_code():
    bench = Bench(limits=BackpackLimits(requests_per_minute=1)).with_book()
    bench.call("GET", "/api/v1/account")
    _, row = bench.call(*POST, order_body())
    assert ("TOO_MANY_REQUESTS", []) == (row["code"], bench.exchange.open_orders(ME))


def test_the_bucket_fills_again():
    bench = Bench(limits=BackpackLimits(requests_per_minute=2)).with_book()
    for _ in range(3):
        bench.call("GET", "/api/v1/account")
    bench.clock.run_for(31)
    assert 200 == bench.call("GET", "/api/v1/account")[0]


def test_a_wrong_key_at_construction_is_an_error():
    """A verifying key of the wrong length is a set-up fault, not a refusal."""
    with pytest.raises(ValueError, match=r".+"):
        Verifier(API_KEY[:-4])
