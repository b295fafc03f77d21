"""What the nemesis does to Backpack requests: what was executed, what was answered, and when (docs/plan.md, faults)."""

from __future__ import annotations

import asyncio
import json

import pytest

from simulator.clock import Delays
from simulator.faults import Nemesis, RequestFault
from simulator.net import Drop
from tests.simulator.backpack_kit import ME, SYMBOL, Bench, drive, order_body

POST = ("POST", "/api/v1/order")


@pytest.fixture
def bench() -> Bench:
    return Bench().with_book()


def outcome(bench: Bench, fault: RequestFault, seconds: float = 0) -> object:
    """The answer to a limit order under ``fault`` while ``seconds`` pass; a reply as its status, None for silence."""
    bench.nemesis.requests.append(fault)
    answer = asyncio.run(drive(bench, bench.request(*POST, order_body()), seconds))
    return answer if answer is None or isinstance(answer, Drop) else answer.status


@pytest.mark.parametrize(
    ("fault", "answer", "resting"),
    [
        (RequestFault("lose_request"), Drop.RESET, 0),
        (RequestFault("lose_answer"), Drop.RESET, 1),
        (RequestFault("lose_answer", how="truncate"), Drop.TRUNCATE, 1),
        (RequestFault("late", delay_s=2), Drop.RESET, 0),
        (RequestFault("status", status=502), 502, 0),
        (RequestFault("status_executed", status=503), 503, 1),
        (RequestFault("delay", delay_s=2), None, 1),
        (RequestFault("hang"), None, 0),
        (RequestFault("rate_limit"), 429, 0),
    ],
    ids=lambda value: value.kind if isinstance(value, RequestFault) else "",
)
def test_each_fault_answers_and_executes_as_named(bench: Bench, fault: RequestFault, answer: object, resting: int):
    found = outcome(bench, fault, seconds=1)
    assert (answer, resting) == (found, len(bench.exchange.open_orders(ME)))


def test_a_late_request_is_executed_after_its_delay(bench: Bench):
    outcome(bench, RequestFault("late", delay_s=2), seconds=3)
    assert 1 == len(bench.exchange.open_orders(ME))


def test_a_late_request_beyond_its_window_is_refused(bench: Bench):
    """The venue itself bounds how late a lost order may still come alive."""
    outcome(bench, RequestFault("late", delay_s=6), seconds=10)
    assert [] == bench.exchange.open_orders(ME)


def test_a_delayed_answer_comes_after_its_delay(bench: Bench):
    assert 200 == outcome(bench, RequestFault("delay", delay_s=2), seconds=3)


def test_a_503_without_a_body_says_the_captured_words(bench: Bench):
    """Outcome unknown: the order was accepted, the caller reads an error in plain text."""
    bench.nemesis.requests.append(RequestFault("status_executed", status=503))
    assert (503, "Unknown error, please check your request or try again later.") == bench.call(*POST, order_body())


def test_a_503_may_carry_a_body_of_its_own(bench: Bench):
    bench.nemesis.requests.append(RequestFault("status", status=503, body='{"code":"MAINTENANCE","message":"Down"}'))
    assert (503, {"code": "MAINTENANCE", "message": "Down"}) == bench.call(*POST, order_body())


@pytest.mark.parametrize(("retry_after_s", "expected"), [(None, []), (1.5, [("retry-after", "1.5")])])
def test_retry_after_comes_only_where_a_rule_asks_for_it(bench: Bench, retry_after_s: float | None, expected: list):
    bench.nemesis.requests.append(RequestFault("rate_limit", retry_after_s=retry_after_s))
    reply = bench.send(bench.request(*POST, order_body()))
    assert expected == [header for header in reply.headers if header[0] == "retry-after"]


def test_the_request_takes_its_way_to_the_engine():
    """Before request_s has passed the order does not exist."""
    bench = Bench(delays=Delays(request_s=0.06)).with_book()
    asyncio.run(drive(bench, bench.request(*POST, order_body()), 0.05))
    assert [] == bench.exchange.open_orders(ME)


def test_the_answer_takes_its_way_back():
    """The order rests before its sender knows."""
    bench = Bench(delays=Delays(request_s=0.02, answer_s=0.06)).with_book()
    answer = asyncio.run(drive(bench, bench.request(*POST, order_body()), 0.05))
    assert (None, 1) == (answer, len(bench.exchange.open_orders(ME)))


def test_a_caller_that_hangs_up_does_not_stop_its_order():
    """What is on the wire arrives."""
    bench = Bench(delays=Delays(request_s=1)).with_book()

    async def hang_up() -> None:
        await drive(bench, bench.request(*POST, order_body()), 0.5)
        for _ in range(10):
            bench.clock.run_for(0.1)
            await asyncio.sleep(0)

    asyncio.run(hang_up())
    assert 1 == len(bench.exchange.open_orders(ME))


def test_the_nemesis_is_asked_by_method_and_path(bench: Bench):
    bench.call("GET", "/api/v1/orders", {"symbol": SYMBOL})
    assert [("backpack", "GET /api/v1/orders")] == bench.nemesis.asked


def test_a_rule_of_the_real_nemesis_selects_the_route(bench: Bench):
    """Cancels fail while orders go through."""
    nemesis = Nemesis(seed=1)
    nemesis.add({"venue": "backpack", "on": "DELETE /api/v1/order", "kind": "status", "status": 500})
    bench.face._nemesis = nemesis
    row = bench.place()
    status, _ = bench.call("DELETE", "/api/v1/order", {"symbol": SYMBOL, "orderId": row["id"]})
    assert 500 == status


def test_frames_are_asked_for_by_channel(bench: Bench):
    bench.listen(f"trade.{SYMBOL}", "account.orderUpdate")
    bench.place(price="3000.50")
    asked = [name for _, name in bench.nemesis.asked if "/" not in name]
    assert ["market", "account", "account"] == sorted(asked, reverse=True)


def test_reply_bodies_are_json_in_bytes(bench: Bench):
    reply = bench.send(bench.request("GET", "/api/v1/status"))
    assert {"message": None, "status": "Ok"} == json.loads(reply.body)
