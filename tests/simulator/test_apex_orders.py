"""Orders on the ApeX face: what is refused, how they live and end, how their fills settle (apex.md §1.5, §3, §4)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.types import Side
from simulator.apex import ApexLimits, ApexTimes
from tests.simulator.apex_kit import ACCOUNT, SYMBOL, Bench, wire_lines


@pytest.fixture
def bench() -> Bench:
    return Bench().with_book()


def slow(**times: float) -> Bench:
    return Bench(limits=ApexLimits(times=ApexTimes(**times))).with_book()


# -- acceptance --------------------------------------------------------------------------------------------------------------


def test_an_accepted_order_has_the_captured_fields(bench: Bench):
    """Those of a live mainnet answer."""
    captured = next(line["body"]["data"] for line in wire_lines("rest_responses") if "MARKET SELL" in line["ep"])
    assert set(captured) == set(bench.place(price="50000"))


@pytest.mark.parametrize("price", ["50000", "60010"])
def test_the_answer_is_pending_whatever_happens_next(bench: Bench, price: str):
    """Although the second one has filled by the time it is read."""
    row = bench.place(price=price)
    assert ("PENDING", 0, "0") == (row["status"], row["updatedTime"], row["cumMatchFillSize"])


def test_prices_are_told_with_the_digits_of_the_tick(bench: Bench):
    """However they were sent."""
    row = bench.stop("50000")
    assert ("50000.0", "50000.0") == (row["price"], row["triggerPrice"])


def test_both_names_of_the_ids_are_there(bench: Bench):
    row = bench.place(price="50000")
    assert (row["id"], row["clientId"]) == (row["orderId"], row["clientOrderId"])


@pytest.mark.parametrize(("expiration", "seconds"), [("1792419200000", 1792419200), ("1792419200", 1792419200)])
def test_an_expiration_in_seconds_or_milliseconds_is_echoed(bench: Bench, expiration: str, seconds: int):
    """And means the same moment."""
    row = bench.place(price="50000", expiration=expiration)
    assert (int(expiration), seconds) == (row["expiresAt"], bench.face.order(int(row["id"])).expires_at)


@pytest.mark.parametrize(
    ("fields", "code", "key"),
    [
        ({"symbol": "CL-USDT"}, 3, None),
        ({"price": "0", "limitFee": "1"}, 3, "ORDER_PRICE_MUST_GREETER_ZERO"),
        ({"price": "60000.05"}, 3, None),
        ({"size": "0.0015"}, 3, None),
        ({"size": "0.000"}, 3, "ORDER_SIZE_SMALLER_THAN_SYMBOL_MIN_ORDER_SIZE"),
        ({"price": "dsfdfsd", "limitFee": "1", "signature": "0x"}, 400, None),
        ({"price": "NaN", "limitFee": "1", "signature": "0x"}, 400, None),
        ({"expiration": "tomorrow"}, 400, None),
        ({"expiration": "1700000000"}, 3, None),
        ({"side": "BOTH"}, 3, None),
        ({"type": "ICEBERG"}, 3, None),
        ({"timeInForce": "WHENEVER"}, 3, None),
        ({"limitFee": "0.299999"}, 3, "ORDER_LIMIT_FEE_NOT_ENOUGH"),
        ({"limitFee": None, "signature": "0x12"}, 3, "INVALID_L2_SIGNATURE"),
        ({"clientId": None}, 3, "ORDER_INVALID_CLIENT_ORDER_ID"),
        ({"type": "STOP_MARKET"}, 20016, None),
        ({"reduceOnly": "True"}, 3, "ORDER_IS_REDUCE_ONLY_CANNOT_OPEN_POSITION"),
    ],
    ids=str,
)
def test_a_bad_order_is_refused(bench: Bench, fields: dict, code: int, key: str | None):
    """In HTTP 200, by number and, where the venue names one, by key."""
    fields = {name: value for name, value in fields.items() if (name, value) != ("limitFee", None)}
    answer = bench.post(**fields)
    assert (code, key) == (answer.get("code"), answer.get("key"))


def test_a_client_id_is_good_for_one_order(bench: Bench):
    """Even after that order has ended."""
    bench.enter()
    assert "ORDER_CLIENT_ORDER_DATA_CONFLICT" == bench.post(clientId="bot-0001")["key"]


def test_there_are_only_so_many_open_orders():
    bench = Bench(limits=ApexLimits(open_orders=1))
    bench.place()
    assert "ORDER_OPEN_ORDER_COUNT_LIMIT_EXCEED" == bench.post()["key"]


def test_a_disabled_symbol_takes_no_orders(bench: Bench):
    """And says so in its contract."""
    bench.switches.disabled.add(SYMBOL)
    row = bench.call("GET", "symbols")["data"]["contractConfig"]["perpetualContract"][0]
    assert ("ORDER_SYMBOL_DISABLE_TRADE", False) == (bench.post()["key"], row["enableTrade"])


def test_without_margin_only_reducing_orders_pass(bench: Bench):
    bench.enter()
    bench.switches.is_margin_short = True
    refused = bench.post()["key"]
    bench.place(side="SELL", price="70000", reduceOnly="true")
    assert "ORDER_THERE_IS_NOT_ENOUGH_MARGIN_TO_OPEN_POSITION" == refused


# -- kinds -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "price"), [("SELL", "59400.0"), ("BUY", "60600.0")])
def test_a_market_order_is_rewritten(bench: Bench, side: str, price: str):
    """Immediate, priced one percent off the index, its fee limit recomputed."""
    row = bench.place(type="MARKET", side=side, price="60000")
    fee = Decimal(price) * Decimal("0.010") * Decimal("0.0005")
    found = (row["timeInForce"], Decimal(row["price"]), Decimal(row["limitFee"]))
    assert ("IMMEDIATE_OR_CANCEL", Decimal(price), fee) == found


def test_a_market_order_fills(bench: Bench):
    row = bench.place(type="MARKET", price="60000")
    assert ("FILLED", "0.010") == (bench.order(row["id"])["status"], bench.position())


def test_a_crossing_post_only_order_is_accepted_then_cancelled(bench: Bench):
    """Not refused: the answer says PENDING, the end comes afterwards."""
    row = bench.place(timeInForce="POST_ONLY", price="60010")
    assert ("PENDING", ("CANCELED", "COULD_NOT_FILL")) == (row["status"], bench.status(row["id"]))


def test_a_post_only_order_that_does_not_cross_rests(bench: Bench):
    row = bench.place(timeInForce="POST_ONLY", price="60000")
    assert "OPEN" == bench.order(row["id"])["status"]


def test_what_an_immediate_order_cannot_fill_is_cancelled(bench: Bench):
    """CANCELED with a filled part: there is no word for partially filled."""
    row = bench.place(timeInForce="IMMEDIATE_OR_CANCEL", price="60010", size="1.500")
    found = bench.order(row["id"])
    assert ("CANCELED", "COULD_NOT_FILL", "1") == (found["status"], found["cancelReason"], found["cumSuccessFillSize"])


@pytest.mark.parametrize(("size", "status"), [("2.000", "FILLED"), ("2.001", "CANCELED")])
def test_fill_or_kill_is_all_or_nothing(bench: Bench, size: str, status: str):
    row = bench.place(timeInForce="FILL_OR_KILL", price="60020", size=size)
    filled = {"FILLED": size, "CANCELED": "0"}[status]
    found = bench.order(row["id"])
    assert (status, Decimal(filled)) == (found["status"], Decimal(found["cumSuccessFillSize"]))


def test_a_partly_filled_order_is_still_open(bench: Bench):
    row = bench.place(price="60000")
    bench.take(Side.SELL, "0.004")
    found = bench.order(row["id"])
    assert ("OPEN", "0.004", "60000.0") == (found["status"], found["cumSuccessFillSize"], found["latestMatchFillPrice"])


# -- reduce-only -------------------------------------------------------------------------------------------------------------


def test_a_reduce_only_order_never_turns_the_position(bench: Bench):
    """What is too much of it is cancelled as reduce-only."""
    bench.enter(size="0.010")
    row = bench.place(side="SELL", size="0.030", price="59990", reduceOnly="True")
    assert (("CANCELED", "REDUCE_ONLY_CANCELED"), Decimal(0)) == (bench.status(row["id"]), Decimal(bench.position()))


def test_a_resting_reduce_only_order_goes_with_its_position(bench: Bench):
    bench.enter(size="0.010")
    row = bench.place(side="SELL", size="0.010", price="70000", reduceOnly="true")
    bench.enter("SELL", size="0.010")
    assert ("CANCELED", "REDUCE_ONLY_CANCELED") == bench.status(row["id"])


def test_the_position_may_be_gone_by_the_time_of_matching():
    """Accepted with a position, matched without one."""
    bench = slow(match_s=1)
    bench.enter(size="0.010")
    bench.clock.run_for(1)
    bench.enter("SELL", size="0.010")
    row = bench.place(side="SELL", size="0.010", price="59980", reduceOnly="true")
    bench.clock.run_for(1)
    assert ("CANCELED", "REDUCE_ONLY_CANCELED") == bench.status(row["id"])


def test_a_venue_that_ignores_reduce_only_opens_a_position(bench: Bench):
    bench.switches.ignores_reduce_only = True
    bench.place(side="SELL", size="0.010", price="59990", reduceOnly="true")
    assert "-0.010" == bench.position()


# -- ends --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "name"), [("delete-order", "id"), ("delete-client-order-id", "clientId")])
def test_a_cancel_answers_with_the_id_it_was_sent(bench: Bench, path: str, name: str):
    row = bench.place(price="50000")
    answer = bench.call("POST", path, {"id": row[name]})
    assert (row[name], ("CANCELED", "USER_CANCELED")) == (answer["data"], bench.status(row["id"]))


def test_a_cancel_is_acknowledged_before_it_happens():
    """The order may still fill in between."""
    bench = slow(cancel_s=1)
    row = bench.place(price="60000")
    bench.call("POST", "delete-order", {"id": row["id"]})
    bench.take(Side.SELL, "0.010")
    bench.clock.run_for(1)
    assert ("FILLED", "UNKNOWN_ORDER_CANCEL_REASON") == bench.status(row["id"])


def test_cancelling_needs_the_parameter_id(bench: Bench):
    """Any other name of it is a parameter error, not a bad signature."""
    assert 20016 == bench.call("POST", "delete-order", {"orderId": "1"})["code"]


@pytest.mark.parametrize("order_id", ["1", "no-number", "9" * 40])
def test_cancelling_an_unknown_order_is_refused(bench: Bench, order_id: str):
    assert "ORDER_NOT_FOUND" == bench.call("POST", "delete-order", {"id": order_id})["key"]


def test_cancelling_a_filled_order_is_refused(bench: Bench):
    assert "ORDER_NOT_CANCEL_FILLED" == bench.call("POST", "delete-order", {"id": bench.enter()["id"]})["key"]


def test_cancelling_a_filled_order_may_answer_no_json(bench: Bench):
    """With the switch: a body no parser reads."""
    bench.switches.is_cancel_of_filled_garbled = True
    request = bench.request("POST", "/api/v3/delete-order", {"id": bench.enter()["id"]})
    assert b"error" == bench.send(request).body[:5]


def test_cancelling_twice_is_refused(bench: Bench):
    row = bench.place(price="50000")
    bench.call("POST", "delete-order", {"id": row["id"]})
    assert "ORDER_NOT_CANCEL_INVALID_STATUS" == bench.call("POST", "delete-order", {"id": row["id"]})["key"]


def test_an_order_on_its_way_to_the_book_cannot_be_cancelled():
    bench = slow(match_s=1)
    row = bench.place(price="50000")
    assert "ORDER_NOT_CANCEL_MATCHED" == bench.call("POST", "delete-order", {"id": row["id"]})["key"]


@pytest.mark.parametrize(("symbols", "left"), [({}, 0), ({"symbol": SYMBOL}, 0), ({"symbol": "ETH-USDT"}, 2)])
def test_all_open_orders_go_at_once(bench: Bench, symbols: dict, left: int):
    """Waiting ones too; without a symbol those of all symbols."""
    bench.place(price="50000")
    bench.stop("50000")
    bench.call("POST", "delete-open-orders", symbols)
    assert left == len(bench.call("GET", "open-orders")["data"])


@pytest.mark.parametrize("kind", ["LIMIT", "STOP_MARKET"])
def test_an_order_expires(bench: Bench, kind: str):
    """In the book, or waiting for its price."""
    moment = str(round((bench.clock.now() + 60) * 1000))
    row = bench.place(price="50000", expiration=moment) if kind == "LIMIT" else bench.stop("50000", expiration=moment)
    bench.clock.run_for(60)
    assert ("EXPIRED", "EXPIRED") == (bench.face.order(int(row["id"])).status, bench.order(row["id"])["cancelReason"])


def test_an_order_far_from_its_expiry_ends_with_the_next_request(bench: Bench):
    row = bench.place(price="50000", expiration=str(round((bench.clock.now() + 7200) * 1000)))
    bench.clock.run_for(7200)
    assert ("EXPIRED", "EXPIRED") == bench.status(row["id"])


@pytest.mark.parametrize(
    ("by_hand", "end"),
    [
        ("cancel_by_user", ("CANCELED", "USER_CANCELED")),
        ("cancel_by_venue", ("CANCELED", "INTERNAL_FAILED")),
        ("expire", ("EXPIRED", "EXPIRED")),
    ],
)
@pytest.mark.parametrize("stop", [{}, {"type": "STOP_MARKET", "triggerPrice": "70000"}], ids=["resting", "waiting"])
def test_an_order_can_be_ended_by_hand(bench: Bench, by_hand: str, end: tuple[str, str], stop: dict[str, str]):
    row = bench.place(price="50000", **stop)
    getattr(bench.face, by_hand)(int(row["id"]))
    assert end == bench.status(row["id"])


def test_an_order_ended_on_its_way_never_reaches_the_book():
    """Cancelled by hand while PENDING."""
    bench = slow(match_s=1)
    row = bench.place(price="60010")
    bench.face.cancel_by_user(int(row["id"]))
    bench.clock.run_for(1)
    assert (("CANCELED", "USER_CANCELED"), Decimal(0)) == (bench.status(row["id"]), Decimal(bench.position()))


def test_an_order_that_waits_for_its_trigger_is_shown_apart(bench: Bench):
    """The exchange does not know it; a test that looks for orders left behind must."""
    row = bench.place(price="70000", type="STOP_MARKET", triggerPrice="70000")
    before = [str(order.order_id) for order in bench.face.waiting()]
    bench.face.cancel_by_user(int(row["id"]))
    assert ([row["id"]], []) == (before, bench.face.waiting())


# -- queries -----------------------------------------------------------------------------------------------------------------


def test_an_order_is_found_by_its_client_id(bench: Bench):
    """Although the parameter is called id."""
    row = bench.place(price="50000", clientId="mine")
    assert row["id"] == bench.call("GET", "order-by-client-order-id", {"id": "mine"})["data"]["id"]


def test_an_unknown_client_id_is_not_found(bench: Bench):
    assert "ORDER_NOT_FOUND" == bench.call("GET", "order-by-client-order-id", {"id": "mine"})["key"]


@pytest.mark.parametrize(("query", "shown"), [({}, 1), ({"showPositionOrders": "true"}, 2)])
def test_position_orders_are_shown_on_request_only(bench: Bench, query: dict, shown: int):
    bench.place(price="50000")
    bench.stop("50000", isPositionTpsl="true")
    assert shown == len(bench.call("GET", "open-orders", query)["data"])


def test_the_history_can_be_filtered(bench: Bench):
    """By state group and by time."""
    bench.place(price="50000")
    bench.stop("50000")
    since = str(round(bench.clock.now() * 1000))
    bench.enter()
    found = {}
    for group in ("ACTIVE", "CONDITION", "HISTORY"):
        data = bench.call("GET", "history-orders", {"orderType": group, "beginTimeInclusive": since})["data"]
        found[group] = [row["status"] for row in data["orders"]]
    assert {"ACTIVE": ["OPEN"], "CONDITION": ["UNTRIGGERED"], "HISTORY": ["FILLED"]} == found


def test_the_history_goes_back_before_us(bench: Bench):
    """Thirty orders of days gone by, in pages."""
    data = bench.call("GET", "history-orders", {"limit": "20", "page": "1"})["data"]
    assert (10, 30) == (len(data["orders"]), data["totalSize"])


def test_a_fill_has_the_captured_fields(bench: Bench):
    """Under the key orders."""
    captured = next(line["body"]["data"]["orders"][0] for line in wire_lines("rest_responses") if line["ep"].endswith("fills"))
    bench.enter()
    (row,) = bench.call("GET", "fills")["data"]["orders"]
    assert (set(captured), "TAKER", "SUCCESS") == (set(row), row["direction"], row["status"])


def test_the_fills_of_one_order(bench: Bench):
    first, second = bench.enter(), bench.enter("SELL")
    (row,) = bench.call("GET", "order-fills", {"orderId": second["id"]})["data"]["orders"]
    assert (second["id"], True) == (row["orderId"], row["orderId"] != first["id"])


def test_an_order_placed_by_other_hands_is_shown(bench: Bench):
    """It has no client id of ours, but an id, and can be cancelled."""
    bench.exchange.place(ACCOUNT, SYMBOL, Side.BUY, Decimal("0.010"), Decimal(50000))
    (row,) = bench.call("GET", "open-orders")["data"]
    bench.call("POST", "delete-order", {"id": row["id"]})
    assert ("CANCELED", "USER_CANCELED") == bench.status(row["id"])


# -- settlement --------------------------------------------------------------------------------------------------------------


def test_a_fill_is_matched_censored_settled():
    """What is matched counts when it is censored, and is final when it is settled."""
    bench = slow(censor_s=1, settle_s=5)
    row = bench.enter()
    found = []
    for wait_s in (0, 1, 5):
        bench.clock.run_for(wait_s)
        (fill,) = bench.call("GET", "fills")["data"]["orders"]
        order = bench.order(row["id"])
        found.append((fill["status"], order["status"], order["cumMatchFillSize"], order["cumSuccessFillSize"]))
    assert [
        ("PENDING_CENSORING", "OPEN", "0.010", "0"),
        ("SUCCESS", "FILLED", "0.010", "0.010"),
        ("SUCCESS_L2_APPROVED", "FILLED", "0.010", "0.010"),
    ] == found


def test_an_order_ends_after_its_fills_are_censored():
    """An immediate order's rest is cancelled at once; its end is told with the fill."""
    bench = slow(censor_s=1)
    row = bench.place(timeInForce="IMMEDIATE_OR_CANCEL", price="60010", size="1.500")
    before = bench.order(row["id"])["status"]
    bench.clock.run_for(1)
    after = bench.order(row["id"])
    assert ("OPEN", "CANCELED", "1") == (before, after["status"], after["cumSuccessFillSize"])


@pytest.mark.parametrize(("failure", "wait_s"), [("FAILED_CENSOR_FAILURE", 0), ("FAILED_L2_REJECTED", 6)])
def test_a_failed_fill_does_not_count(bench: Bench, failure: str, wait_s: float):
    """No position, no filled size, and the order ends as failed."""
    bench.switches.failing_fills = failure
    row = bench.enter()
    bench.clock.run_for(wait_s)
    (fill,) = bench.call("GET", "fills")["data"]["orders"]
    found = (fill["status"], bench.status(row["id"]), Decimal(bench.position()))
    assert (failure, ("CANCELED", "INTERNAL_FAILED"), Decimal(0)) == found
