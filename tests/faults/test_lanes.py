"""The lanes of the real adapters against the simulated venues: what each answer, and each way to lose one, is taken for (RELIABILITY.md C).

What the venue holds afterwards is asked of the simulator, never of the lane.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from email.utils import formatdate
from typing import Any, NamedTuple

import pytest

from adapters.grvt import auth, caller
from adapters.venues import open_venue
from core.config import VenueConfig
from core.instrument import Instrument
from core.messages import (
    CancelAcknowledged,
    CancelFailed,
    CancelOrder,
    FetchFills,
    Message,
    OrderAccepted,
    OrderRejected,
    OrderReported,
    PlaceOrder,
    QueryFailed,
    QueryOrder,
    RateLimited,
    SubmitNotSent,
    SubmitUnknown,
)
from core.ports import QueryLane, TradeLane, Venue
from core.types import ClientOrderId, OrderState, Role, Side, TimeInForce, VenueId
from tests.process.kit import Venues, by_night, until

SIGNED = pytest.mark.skipif(
    importlib.util.find_spec("apexomni") is None, reason="the order signer of ApeX is not installed: make test-apex"
)
APEX = pytest.param("apex", marks=SIGNED)
IDS = itertools.count(1)
FAR = Decimal(100)
"""Below the best bid: no order of these tests fills."""
HTML = "<html><title>502 Bad Gateway</title></html>"
PATHS = {
    "grvt": ("create_order", "cancel_order", "order"),
    "backpack": ("POST /api/v1/order", "DELETE /api/v1/order", "GET /api/v1/order"),
    "apex": ("POST /api/v3/order", "POST /api/v3/delete-client-order-id", "GET /api/v3/order-by-client-order-id"),
}
"""Create, cancel and lookup, as the nemesis names them."""
WAYS: dict[str, dict[str, Any]] = {
    "RST": {"kind": "lose_answer"},
    "FIN": {"kind": "lose_answer", "how": "close"},
    "truncated": {"kind": "lose_answer", "how": "truncate"},
    "garbage": {"kind": "lose_answer", "how": "garble"},
    "5xx": {"kind": "status_executed", "status": 502, "body": HTML},
}
"""Five of the six ways of C1; the read time-out is a test of its own, since it is waited for."""
EXPIRED: dict[str, tuple[int, dict[str, Any]]] = {
    "grvt": (400, {"request_id": 1, "code": 2001, "message": "Signature has expired", "status": 400}),
    "backpack": (400, {"code": "INVALID_CLIENT_REQUEST", "message": "Request has expired"}),
    "apex": (200, {"code": 20002, "msg": "timestamp"}),
}
REVOKED: dict[str, tuple[int, dict[str, Any]]] = {
    "grvt": (
        401,
        {"request_id": 1, "code": 1000, "message": "You need to authenticate prior to using this functionality", "status": 401},
    ),
    "backpack": (401, {"code": "UNAUTHORIZED", "message": "Unauthorized"}),
    "apex": (200, {"code": 10002, "msg": "API key"}),
}


class Desk(NamedTuple):
    """One venue with its lanes, and the simulator behind it."""

    venues: Venues
    venue: Venue
    instrument: Instrument
    trade: TradeLane
    query: QueryLane
    price: Decimal

    @property
    def name(self) -> str:
        return str(self.venue.name)

    def fault(self, on: str, **rule: Any) -> None:
        self.venues.post("/fault", venue=self.name, on=on, **({"count": 1} | rule))

    def order(self) -> PlaceOrder:
        """A quote far from the market, under an id of its own."""
        return PlaceOrder(
            client_order_id=ClientOrderId(next(IDS)),
            venue=VenueId(self.name),
            symbol=self.instrument.symbol,
            side=Side.BUY,
            quantity=Decimal("0.10"),
            price=self.price,
            time_in_force=TimeInForce.GTC,
            role=Role.MAKER,
            cycle_id=1,
            reference_price=self.price,
            post_only=True,
        )

    def accepted(self) -> PlaceOrder:
        order = self.order()
        answer = self.trade.place(order)
        assert OrderAccepted in kinds(answer), answer
        return order

    def cancel(self, order: PlaceOrder) -> tuple[Message, ...]:
        return self.trade.cancel(
            CancelOrder(venue=order.venue, symbol=order.symbol, client_order_id=order.client_order_id, reason="test")
        )

    def look_up(self, order: PlaceOrder) -> tuple[Message, ...]:
        return self.query.query_order(
            QueryOrder(venue=order.venue, symbol=order.symbol, client_order_id=order.client_order_id, venue_order_id=None)
        )

    def held(self) -> list[str]:
        """Status of every order that the venue has ever taken here."""
        return [order["status"] for order in self.venues.get("/ledger")[self.name]["orders"]]

    def asked(self, path: str) -> int:
        return self.venues.count(self.name, path)


def kinds(messages: tuple[Message, ...]) -> list[type[Message]]:
    return [type(message) for message in messages]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Venues]:
    started = Venues("--venues", "grvt,backpack,apex")
    started.post("/market", freeze=True)
    yield started
    started.close()


@pytest.fixture(scope="module", params=["grvt", "backpack", APEX])
def opened(request: pytest.FixtureRequest, simulator: Venues) -> Iterator[Desk]:
    """One for all tests of a venue: GRVT allows one login a second."""
    name = request.param
    venue = open_venue(name, VenueConfig(endpoints=simulator.directory[name]), simulator.credentials)
    instrument = venue.setup.resolve("ETH")
    venue.setup.clock_offset_ms()
    venue.setup.account()
    price = instrument.price_passive(venue.setup.book(instrument).bids[0].price - FAR, Side.BUY)
    made = Desk(simulator, venue, instrument, venue.trade_lane(instrument), venue.query_lane(instrument), price)
    yield made
    made.trade.close()
    made.query.close()


@pytest.fixture
def desk(opened: Desk) -> Iterator[Desk]:
    yield opened
    opened.venues.post("/fault/clear")
    opened.venues.post("/refuse", venue=opened.name, channel="rest", is_on=False)


@pytest.mark.parametrize("way", WAYS)
def test_a_lost_answer_to_an_order_is_unknown_and_a_lookup_finds_it(desk: Desk, way: str) -> None:
    """C1. The order rests; one request was sent, and the lookup on the other lane names it."""
    create, *_ = PATHS[desk.name]
    desk.fault(create, **WAYS[way])
    order, asked, held = desk.order(), desk.asked(create), len(desk.held())
    assert [SubmitUnknown] == kinds(desk.trade.place(order))
    assert (asked + 1, ["OPEN"]) == (desk.asked(create), desk.held()[held:])
    (report,) = desk.look_up(order)
    assert isinstance(report, OrderReported)
    assert (order.client_order_id, OrderState.ACCEPTED) == (report.client_order_id, report.state)


@pytest.mark.parametrize("way", WAYS)
def test_a_lost_answer_to_a_cancel_proves_nothing(desk: Desk, way: str) -> None:
    """C1. It was carried out, it was sent once, and it is told as unknown: neither as done nor as refused."""
    _, cancel, _ = PATHS[desk.name]
    order, asked = desk.accepted(), desk.asked(cancel)
    desk.fault(cancel, **WAYS[way])
    (failed,) = desk.cancel(order)
    assert isinstance(failed, CancelFailed)
    assert ("unknown", asked + 1, "CANCELLED") == (failed.kind, desk.asked(cancel), desk.held()[-1])


@pytest.mark.parametrize(
    "opened", ["grvt", *by_night("backpack"), pytest.param("apex", marks=[SIGNED, pytest.mark.night])], indirect=True
)
@pytest.mark.parametrize("what", ["order", *by_night("cancel")])
def test_an_answer_that_does_not_come_is_unknown_at_the_lanes_deadline(desk: Desk, what: str) -> None:
    """C1. Executed, and answered a minute too late."""
    create, cancel, _ = PATHS[desk.name]
    resting, held = desk.accepted(), len(desk.held())
    desk.fault(create if what == "order" else cancel, kind="delay", delay_s=60.0)
    if what == "order":
        assert ([SubmitUnknown], ["OPEN"]) == (kinds(desk.trade.place(desk.order())), desk.held()[held:])
    else:
        (failed,) = desk.cancel(resting)
        assert isinstance(failed, CancelFailed)
        assert ("unknown", "CANCELLED") == (failed.kind, desk.held()[-1])


@pytest.mark.parametrize("how", ["reset", "close", "truncate", "garble"])
def test_a_request_that_was_lost_looks_the_same(desk: Desk, how: str) -> None:
    """C2. The venue never saw the order; what the lane says is no other than with the order resting, and nothing is sent again."""
    create, *_ = PATHS[desk.name]
    desk.fault(create, kind="lose_request", how=how)
    asked, held = desk.asked(create), desk.held()
    assert [SubmitUnknown] == kinds(desk.trade.place(desk.order()))
    assert (asked + 1, held) == (desk.asked(create), desk.held())


def test_what_never_left_is_sent_on_a_new_connection_at_once(desk: Desk) -> None:
    """C4. Nobody listens: not sent, for an order and for a cancel; the very next order goes through."""
    order, fresh = desk.accepted(), desk._replace(trade=desk.venue.trade_lane(desk.instrument))
    desk.venues.post("/refuse", venue=desk.name, channel="rest", is_on=True)
    (failed,) = fresh.cancel(order)
    assert isinstance(failed, CancelFailed)
    assert ("not_sent", [SubmitNotSent]) == (failed.kind, kinds(fresh.trade.place(desk.order())))
    desk.venues.post("/refuse", venue=desk.name, channel="rest", is_on=False)
    assert OrderAccepted in kinds(fresh.trade.place(desk.order()))
    fresh.trade.close()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_5xx_says_nothing_whatever_was_asked(desk: Desk, status: int) -> None:
    """C5. Order and cancel are unknown, a lookup has failed and does not say "not found"."""
    create, cancel, lookup = PATHS[desk.name]
    order = desk.accepted()
    for path in (create, cancel, lookup):
        desk.fault(path, kind="status", status=status, body=HTML)
    (failed,) = desk.cancel(order)
    assert isinstance(failed, CancelFailed)
    assert ("unknown", [SubmitUnknown]) == (failed.kind, kinds(desk.trade.place(desk.order())))
    assert [QueryFailed] == kinds(desk.look_up(order))


@pytest.mark.parametrize(("asked_s", "told_s"), [(7.0, 7.0), (None, None), (3600.0, 60.0)])
def test_the_venues_own_429_is_a_refusal_and_a_pause(desk: Desk, asked_s: float | None, told_s: float | None) -> None:
    """C6. It took no order; the pause it names reaches the limiter, never more than a minute. ApeX refuses inside a 200, without one."""
    create, *_ = PATHS[desk.name]
    desk.fault(create, kind="rate_limit", retry_after_s=asked_s)
    held = desk.held()
    rejected, limited = desk.trade.place(desk.order())
    assert isinstance(rejected, OrderRejected)
    assert isinstance(limited, RateLimited)
    told_s = None if desk.name == "apex" else told_s
    assert (True, False, told_s, held) == (rejected.is_throttled, rejected.permanent, limited.retry_after_s, desk.held())


@pytest.mark.parametrize("status", [429, 418])
def test_a_page_of_a_gateway_in_the_way_is_a_pause_until_its_date(desk: Desk, status: int) -> None:
    """C6. Too many requests or banned, without a word of the venue: the pause is kept, and no order is taken for resting."""
    create, *_ = PATHS[desk.name]
    at = int(time.time())
    headers = {"Date": formatdate(at, usegmt=True), "Retry-After": formatdate(at + 9, usegmt=True)}
    desk.fault(create, kind="status", status=status, body=HTML, headers=headers)
    outcome, limited = desk.trade.place(desk.order())
    assert isinstance(limited, RateLimited)
    assert (9.0, True) == (limited.retry_after_s, isinstance(outcome, SubmitUnknown | OrderRejected))


def test_a_stuck_read_does_not_hold_up_an_order(desk: Desk) -> None:
    """C7. The read waits for an answer that does not come; an order and its cancel are through before it is over."""
    desk.fault("*", kind="hang")
    before = requests(desk)
    read = threading.Thread(
        target=desk.query.fetch_fills,
        args=(FetchFills(venue=VenueId(desk.name), symbol=desk.instrument.symbol, lookback_s=60.0),),
    )
    read.start()
    until(lambda: requests(desk) > before, "the read to reach the venue")
    done = kinds(desk.cancel(desk.accepted()))
    assert (True, True) == (CancelAcknowledged in done, read.is_alive())
    desk.venues.post("/refuse", venue=desk.name, channel="rest", is_on=True)
    read.join()


def requests(desk: Desk) -> int:
    return sum(outcomes.get("asked", 0) for outcomes in desk.venues.get("/requests")[desk.name].values())


def rejected(desk: Desk) -> OrderRejected:
    """What an order is answered with; it must not have been sent again, nor taken."""
    create, held = PATHS[desk.name][0], desk.held()
    asked = desk.asked(create)
    answer = desk.trade.place(desk.order())[0]
    assert isinstance(answer, OrderRejected), answer
    assert held == desk.held()
    assert desk.asked(create) <= asked + 1
    return answer


def test_a_signature_that_has_expired_is_a_refusal_and_the_next_order_is_signed_anew(desk: Desk) -> None:
    """C9. It may be decided anew: the refusal is not for good, and nothing has to be done by hand."""
    create, *_ = PATHS[desk.name]
    status, body = EXPIRED[desk.name]
    desk.fault(create, kind="status", status=status, body=json.dumps(body))
    assert not rejected(desk).permanent
    desk.accepted()


def test_a_revoked_key_is_a_refusal_for_good(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """C9. At GRVT after one attempt to log in anew, which is refused; with the key back in force the next order goes through."""
    monkeypatch.setattr(auth, "RETRY_AFTER_S", 0.0)
    monkeypatch.setattr(caller, "_LEFT_MIN_S", 0.0)
    create, *_ = PATHS[desk.name]
    status, body = REVOKED[desk.name]
    logins = desk.asked("login")
    for on in (create, "login"):
        desk.fault(on, kind="status", status=status, body=json.dumps(body))
    assert rejected(desk).permanent
    assert desk.asked("login") - logins == (desk.name == "grvt")
    desk.accepted()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(desk: Desk, status: int) -> None:
    """C10. The place it names hears nothing; whether the order was taken is unknown."""
    create, *_ = PATHS[desk.name]
    other = "backpack" if desk.name != "backpack" else "grvt"
    elsewhere = next(url for url in desk.venues.directory[other].values() if url.startswith("http"))
    desk.fault(create, kind="status", status=status, headers={"Location": f"{elsewhere}/elsewhere"})
    held = desk.held()
    assert [SubmitUnknown] == kinds(desk.trade.place(desk.order()))
    assert (held, 0) == (desk.held(), desk.venues.count(other, "/elsewhere"))


@pytest.mark.parametrize("step_s", [-10, 10])
def test_a_clock_that_was_set_is_noticed_by_the_answers_and_signed_with(desk: Desk, step_s: int) -> None:
    """C11. The first orders may be refused for their time; then they are accepted, and the offset says how far the clocks are apart."""
    desk.venues.post("/clock", step_s=step_s)
    try:
        answers = [kinds(desk.trade.place(desk.order()))[0] for _ in range(3)]
        offset_s = desk.venue.clock_offset_ms() / 1000
    finally:
        desk.venues.post("/clock", step_s=-step_s)
        for _ in range(3):
            desk.look_up(desk.order())
    assert (OrderAccepted, True) == (answers[-1], abs(offset_s - step_s) < 2), (answers, offset_s)
    assert abs(desk.venue.clock_offset_ms()) < 2000
