"""Orders that wait for a price on the ApeX face: what sets them off, their siblings, attached legs (apex.md §3)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.types import Side
from simulator.apex_orders import ApexOrder
from simulator.apex_triggers import TriggerBook, is_due
from tests.simulator.apex_kit import ACCOUNT, SYMBOL, Bench

KINDS = ("STOP_MARKET", "STOP_LIMIT", "TAKE_PROFIT_MARKET", "TAKE_PROFIT_LIMIT")


@pytest.fixture
def bench() -> Bench:
    """A long position of 0.010 at 60010."""
    bench = Bench().with_book()
    bench.enter()
    return bench


def waiting(kind: str, side: Side, trigger: int, price_type: str = "MARKET") -> ApexOrder:
    return ApexOrder(
        order_id=1,
        client_id="1",
        symbol=SYMBOL,
        side=side,
        type=kind,
        time_in_force="IMMEDIATE_OR_CANCEL",
        size=Decimal(1),
        price=Decimal(trigger),
        limit_fee=Decimal(1),
        expiration=1,
        created_at=0.0,
        updated_at=0.0,
        trigger_price=Decimal(trigger),
        trigger_price_type=price_type,
        status="UNTRIGGERED",
    )


@pytest.mark.parametrize(
    ("kind", "side", "price"),
    [("STOP", Side.SELL, 99), ("STOP", Side.BUY, 101), ("TAKE_PROFIT", Side.SELL, 101), ("TAKE_PROFIT", Side.BUY, 99)],
)
@pytest.mark.parametrize("suffix", ["MARKET", "LIMIT"])
def test_each_kind_has_its_direction(kind: str, side: Side, price: int, suffix: str):
    """Set off from that side and at the price itself, not from the other side."""
    order = waiting(f"{kind}_{suffix}", side, 100)
    assert (True, True, False) == tuple(is_due(order, Decimal(p)) for p in (price, 100, 200 - price))


@given(kind=st.sampled_from(KINDS), side=st.sampled_from(Side), price=st.integers(1, 200))
def test_a_stop_and_a_take_profit_of_one_price_split_the_world(kind: str, side: Side, price: int):
    """Off the trigger exactly one of them is due."""
    opposite = kind.replace("STOP", "TAKE_PROFIT") if kind.startswith("STOP") else kind.replace("TAKE_PROFIT", "STOP")
    due = [is_due(waiting(each, side, 100), Decimal(price)) for each in (kind, opposite)]
    assert (2 if price == 100 else 1) == sum(due)


@pytest.mark.parametrize(("price_type", "expected"), [("MARKET", 1), ("INDEX", 0), ("ORACLE", 0)])
def test_an_order_looks_at_its_own_price(price_type: str, expected: int):
    """MARKET at the last trade, the others at the mark."""
    book = TriggerBook()
    book.add(waiting("STOP_MARKET", Side.SELL, 100, price_type))
    assert expected == len(book.take_due(SYMBOL, Decimal(99), Decimal(101)))


def test_an_order_is_set_off_once():
    book = TriggerBook()
    book.add(waiting("STOP_MARKET", Side.SELL, 100))
    assert [1, 0] == [len(book.take_due(SYMBOL, Decimal(99), None)) for _ in range(2)]


def move_book(bench: Bench, bid: str, ask: str) -> None:
    """The house goes elsewhere, without a trade."""
    bench.exchange.cancel_all("house", SYMBOL, "HOUSE")
    bench.quote(Side.BUY, bid)
    bench.quote(Side.SELL, ask)


# -- on the venue ------------------------------------------------------------------------------------------------------------


def test_a_conditional_order_waits(bench: Bench):
    """UNTRIGGERED, in the answer and afterwards, and nothing of it is in the book."""
    row = bench.stop("59000")
    resting = bench.exchange.open_orders(ACCOUNT)
    assert ("UNTRIGGERED", "UNTRIGGERED", []) == (row["status"], bench.order(row["id"])["status"], resting)


def test_a_stop_loss_closes_the_position(bench: Bench):
    row = bench.stop("59000")
    bench.face.force_price(SYMBOL, Decimal(58999))
    assert ("FILLED", Decimal(0)) == (bench.order(row["id"])["status"], Decimal(bench.position()))


def test_a_take_profit_closes_the_position(bench: Bench):
    row = bench.take_profit("61000")
    bench.face.force_price(SYMBOL, Decimal(61001))
    assert ("FILLED", Decimal(0)) == (bench.order(row["id"])["status"], Decimal(bench.position()))


def test_neither_leg_moves_in_between(bench: Bench):
    legs = [bench.stop("59000")["id"], bench.take_profit("61000")["id"]]
    bench.face.force_price(SYMBOL, Decimal(59001))
    bench.face.force_price(SYMBOL, Decimal(60999))
    assert ["UNTRIGGERED"] * 2 == [bench.order(leg)["status"] for leg in legs]


def test_the_way_of_a_triggered_order_is_told(bench: Bench):
    """UNTRIGGERED, PENDING, OPEN, FILLED: no word for triggered."""
    peer = bench.watch()
    row = bench.stop("59000")
    bench.face.force_price(SYMBOL, Decimal(58000))
    told = list(dict.fromkeys(status for status, _ in peer.states(row["id"])))
    assert ["UNTRIGGERED", "PENDING", "OPEN", "FILLED"] == told


def test_a_limit_kind_rests_at_its_price(bench: Bench):
    """Below the market a sell limit fills; above it, it rests."""
    row = bench.stop("59000", type="STOP_LIMIT", timeInForce="GOOD_TIL_CANCEL", price="59500")
    bench.face.force_price(SYMBOL, Decimal(58000))
    assert "OPEN" == bench.order(row["id"])["status"]


def test_a_stop_that_the_market_ran_past_cannot_fill(bench: Bench):
    """Its price is the worst it takes: the position stays open."""
    row = bench.stop("59000", price="58500")
    bench.face.force_price(SYMBOL, Decimal(58000))
    assert (("CANCELED", "COULD_NOT_FILL"), "0.010") == (bench.status(row["id"]), bench.position())


def test_a_mark_order_looks_a_moment_after_the_book_moved(bench: Bench):
    """Not while the house has moved one side only."""
    row = bench.stop("59000", triggerPriceType="INDEX")
    move_book(bench, "57990", "58010")
    before = bench.order(row["id"])["status"]
    bench.clock.run_for(0.05)
    assert ("UNTRIGGERED", "FILLED") == (before, bench.order(row["id"])["status"])


def test_a_price_that_is_through_already_sets_off_at_once(bench: Bench):
    assert "FILLED" == bench.order(bench.stop("70000")["id"])["status"]


def test_a_waiting_order_can_be_cancelled(bench: Bench):
    row = bench.stop("59000")
    bench.call("POST", "delete-order", {"id": row["id"]})
    bench.face.force_price(SYMBOL, Decimal(58000))
    assert (("CANCELED", "USER_CANCELED"), "0.010") == (bench.status(row["id"]), bench.position())


def test_a_position_order_takes_the_size_of_the_position(bench: Bench):
    """What the position is when the price comes, not when the order was made."""
    row = bench.stop("59000", isPositionTpsl="true")
    bench.enter(size="0.020")
    bench.face.force_price(SYMBOL, Decimal(58000))
    assert ("0.030", Decimal(0)) == (bench.order(row["id"])["size"], Decimal(bench.position()))


# -- siblings ----------------------------------------------------------------------------------------------------------------


def test_the_sibling_of_a_filled_leg_stays(bench: Bench):
    """As far as anybody knows: the client has to cancel it (apex.md §0.5)."""
    stop, _ = bench.stop("59000"), bench.take_profit("61000")
    bench.face.force_price(SYMBOL, Decimal(61500))
    assert "UNTRIGGERED" == bench.order(stop["id"])["status"]


def test_the_venue_may_cancel_the_sibling_itself(bench: Bench):
    bench.switches.cancels_sibling = True
    stop, _ = bench.stop("59000"), bench.take_profit("61000")
    bench.face.force_price(SYMBOL, Decimal(61500))
    assert ("CANCELED", "REDUCE_ONLY_CANCELED") == bench.status(stop["id"])


def test_a_sibling_that_is_due_as_well_is_not_set_off(bench: Bench):
    """One price is through both; what the first one cancelled stays cancelled."""
    bench.switches.cancels_sibling = True
    bench.stop("59000", triggerPriceType="INDEX")
    second = bench.stop("59500", triggerPriceType="INDEX")
    peer = bench.watch()
    move_book(bench, "57990", "58010")
    bench.clock.run_for(0.05)
    assert [("CANCELED", "0")] == peer.states(second["id"])


def test_an_order_that_is_no_exit_cancels_nothing(bench: Bench):
    bench.switches.cancels_sibling = True
    stop = bench.stop("59000")
    bench.enter("SELL", size="0.005")
    assert "UNTRIGGERED" == bench.order(stop["id"])["status"]


def test_an_entry_of_the_same_side_is_no_sibling(bench: Bench):
    """Only orders that reduce are cancelled."""
    bench.switches.cancels_sibling = True
    other = bench.place(side="SELL", price="70000")
    bench.take_profit("61000")
    bench.face.force_price(SYMBOL, Decimal(61500))
    assert "OPEN" == bench.order(other["id"])["status"]


def test_a_sibling_left_behind_finds_nothing_to_reduce(bench: Bench):
    """The price turns: the forgotten leg is set off and ends without a trade."""
    stop, _ = bench.stop("59000"), bench.take_profit("61000")
    bench.face.force_price(SYMBOL, Decimal(61500))
    bench.face.force_price(SYMBOL, Decimal(58000))
    assert (("CANCELED", "REDUCE_ONLY_CANCELED"), Decimal(0)) == (bench.status(stop["id"]), Decimal(bench.position()))


def test_where_reduce_only_is_ignored_both_legs_win(bench: Bench):
    """The forgotten leg opens a position the other way."""
    bench.switches.ignores_reduce_only = True
    bench.stop("59000"), bench.take_profit("61000")
    bench.face.force_price(SYMBOL, Decimal(61500))
    bench.face.force_price(SYMBOL, Decimal(58000))
    assert "-0.010" == bench.position()


# -- attached legs -----------------------------------------------------------------------------------------------------------


def legs(bench: Bench, sl: str = "leg-sl", tp: str = "leg-tp") -> dict[str, str]:
    """The fields of both legs, with these client ids."""
    fields: dict[str, str] = {"isOpenTpslOrder": "True", "isSetOpenSl": "True", "isSetOpenTp": "True"}
    for prefix, client_id, trigger, price in (("sl", sl, "58000", "52000"), ("tp", tp, "62000", "55000")):
        leg = bench.form(side="SELL", price=price, clientId=client_id)
        names = {"ClientOrderId": "clientId", "Price": "price", "Side": "side", "Size": "size", "Signature": "signature"}
        names |= {"LimitFee": "limitFee", "Expiration": "expiration"}
        fields |= {f"{prefix}{name}": leg[source] for name, source in names.items()}
        fields |= {f"{prefix}TriggerPrice": trigger, f"{prefix}TriggerPriceType": "MARKET"}
    return fields


def attached(bench: Bench) -> dict:
    """An entry at 60000 with both legs."""
    return bench.place(price="60000", **legs(bench))


def test_legs_have_no_order_before_the_entry_fills(bench: Bench):
    """They are told with the entry."""
    row = attached(bench)
    missing = bench.call("GET", "order-by-client-order-id", {"id": "leg-sl"})["key"]
    assert ("ORDER_NOT_FOUND", "58000") == (missing, row["openSlParam"]["triggerPrice"])


def test_legs_wait_once_the_entry_has_filled(bench: Bench):
    attached(bench)
    bench.take(Side.SELL, "0.010")
    found = [bench.call("GET", "order-by-client-order-id", {"id": f"leg-{leg}"})["data"] for leg in ("sl", "tp")]
    expected = [("STOP_MARKET", "UNTRIGGERED", True), ("TAKE_PROFIT_MARKET", "UNTRIGGERED", True)]
    assert expected == [(row["type"], row["status"], row["reduceOnly"]) for row in found]


def test_the_client_id_of_a_leg_is_taken(bench: Bench):
    attached(bench)
    assert "ORDER_CLIENT_ORDER_DATA_CONFLICT" == bench.post(clientId="leg-tp")["key"]


def test_two_legs_need_two_client_ids(bench: Bench):
    assert "ORDER_CLIENT_ORDER_DATA_CONFLICT" == bench.post(price="60000", **legs(bench, sl="same", tp="same"))["key"]
