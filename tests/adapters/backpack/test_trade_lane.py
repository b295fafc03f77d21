"""Claims on the trade lane: what each answer to an order or a cancel becomes."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from adapters.backpack.client import BackpackTradeLane, SubmitTimes
from adapters.transport.rest import NotSent, Ok, Outcome, Unknown
from core.messages import (
    CancelAcknowledged,
    CancelAll,
    CancelFailed,
    FillReported,
    Message,
    OrderAccepted,
    OrderRejected,
    OrderReported,
    QueryFailed,
    RateLimited,
    RenewDeadMan,
    SubmitNotSent,
    SubmitUnknown,
)
from core.types import OrderState, TimeInForce
from tests.adapters.backpack.support import (
    NOT_FOUND,
    SYMBOL,
    VENUE,
    WALL_S,
    FakeRest,
    cancel,
    hedge_order,
    make_api,
    ok,
    order_body,
    refused,
)


def lane_of(*outcomes: Outcome) -> tuple[BackpackTradeLane, FakeRest]:
    rest = FakeRest(*outcomes)
    return BackpackTradeLane(make_api(rest), SubmitTimes()), rest


def placed(*outcomes: Outcome, **changes: object) -> tuple[Message, ...]:
    return lane_of(*outcomes)[0].place(hedge_order(**changes))


def test_an_order_is_posted_once() -> None:
    """Method, path and body of the wire."""
    lane, rest = lane_of(ok(order_body()))
    lane.place(hedge_order())
    [sent] = rest.sent
    assert (sent.method, sent.path, json.loads(sent.body or b"")["clientId"]) == ("POST", "/api/v1/order", 7)


def test_an_accepted_order_reports_the_reply() -> None:
    """Accepted with the venue's id, then the cumulative quantity; no fill is made of it."""
    messages = placed(ok(order_body()))
    assert [OrderAccepted, OrderReported] == [type(message) for message in messages]
    assert not any(isinstance(message, FillReported) for message in messages)


@pytest.mark.parametrize(
    ("status", "filled", "tif", "expected"),
    [
        ("Filled", "0.1", TimeInForce.IOC, OrderState.FILLED),
        ("PartiallyFilled", "0.04", TimeInForce.IOC, OrderState.EXPIRED),
        ("Expired", "0", TimeInForce.IOC, OrderState.EXPIRED),
        ("Cancelled", "0.04", TimeInForce.IOC, OrderState.EXPIRED),
        ("New", "0", TimeInForce.IOC, OrderState.ACCEPTED),
        ("Filled", "0.04", TimeInForce.IOC, OrderState.UNKNOWN),
        ("Dreaming", "0", TimeInForce.IOC, OrderState.UNKNOWN),
        ("New", "0", TimeInForce.GTC, OrderState.ACCEPTED),
        ("PartiallyFilled", "0.04", TimeInForce.GTC, OrderState.PARTIALLY_FILLED),
        ("Expired", "0", TimeInForce.GTC, OrderState.EXPIRED),
    ],
)
def test_a_replys_status_is_read_with_its_quantity(status: str, filled: str, tif: TimeInForce, expected: OrderState) -> None:
    """What is left of an IOC is over; a word that the quantity contradicts is not believed."""
    body = order_body(status=status, executedQuantity=filled)
    report = placed(ok(body), time_in_force=tif)[1]
    assert isinstance(report, OrderReported)
    assert (expected, Decimal(filled)) == (report.state, report.filled_quantity)


def test_filled_without_a_quantity_in_the_reply_is_measured_by_the_order() -> None:
    """A null quantity in the reply does not make 0.04 of 0.1 complete."""
    report = placed(ok(order_body(quantity=None, executedQuantity="0.04")))[1]
    assert isinstance(report, OrderReported)
    assert report.state is OrderState.UNKNOWN


@pytest.mark.parametrize(
    "outcome",
    [
        Ok(200, {}, b"<html>all is well</html>"),
        Ok(200, {}, b""),
        Ok(200, {}, b"{}"),
        Ok(204, {}, b""),
        ok(order_body(executedQuantity="NaN")),
        ok(order_body(executedQuantity=None)),
        ok(order_body(clientId=8)),
        ok(order_body(symbol="SOL_USDC_PERP")),
        ok(order_body(side="Bid")),
        Unknown("status 503", 503, b"Unknown error, please check your request or try again later."),
        Unknown("ReadTimeout"),
        refused(408, {"code": "TIMEOUT", "message": "later"}),
        refused(403, "<html>blocked</html>"),
        refused(307, ""),
    ],
)
def test_an_answer_that_may_hide_an_order_is_unknown(outcome: Outcome) -> None:
    """Unparsable 2xx, another order's reply, 5xx, TIMEOUT, lost answers, gateways and redirects."""
    assert [SubmitUnknown] == [type(message) for message in placed(outcome)]


@pytest.mark.parametrize(
    ("outcome", "code", "permanent"),
    [
        (refused(400, {"code": "INVALID_ORDER", "message": "Order would immediately match and take liquidity"}), "INVALID_ORDER", False),
        (refused(400, 'parse request payload error: failed to parse "MarketSymbol"'), "BAD_PAYLOAD", True),
        (refused(400, {"code": "INVALID_SYMBOL", "message": "no"}), "INVALID_SYMBOL", True),
        (refused(400, {"code": "INSUFFICIENT_MARGIN", "message": "no"}), "INSUFFICIENT_MARGIN", True),
    ],
)  # fmt: skip
def test_a_certain_refusal_is_a_rejection(outcome: Outcome, code: str, permanent: bool) -> None:
    """One message, with the venue's code."""
    [rejection] = placed(outcome)
    assert isinstance(rejection, OrderRejected)
    assert (code, permanent) == (rejection.code, rejection.permanent)


def test_a_429_is_a_rejection_and_a_rate_limit() -> None:
    """The venue's pause is passed on."""
    rejection, limit = placed(refused(429, {"code": "TOO_MANY_REQUESTS", "message": "slow"}, retry_after_s=3.0))
    assert isinstance(rejection, OrderRejected)
    assert isinstance(limit, RateLimited)
    assert (rejection.permanent, limit.retry_after_s) == (False, 3.0)


def test_a_request_that_never_left_is_not_sent() -> None:
    """And may be sent again."""
    assert [SubmitNotSent] == [type(message) for message in placed(NotSent("NewConnectionError"))]


def test_an_expired_window_sets_the_clock_right() -> None:
    """One look at the venue's clock, so that the next order is not refused too."""
    rest = FakeRest(
        refused(400, {"code": "INVALID_CLIENT_REQUEST", "message": "Request has expired"}), ok(int(WALL_S * 1_000) + 4_000)
    )
    api = make_api(rest)
    [rejection] = BackpackTradeLane(api, SubmitTimes()).place(hedge_order())
    assert isinstance(rejection, OrderRejected)
    assert (rejection.code, rejection.permanent, int(api.clock.offset_ms)) == ("EXPIRED_WINDOW", False, 4_000)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (ok(order_body(status="Cancelled", executedQuantity="0.04")), [CancelAcknowledged, OrderReported]),
        (ok({}, status=202), [CancelAcknowledged]),
        (Ok(202, {}, b""), [CancelAcknowledged]),
        (refused(429, {"code": "TOO_MANY_REQUESTS", "message": "slow"}), [CancelFailed, RateLimited]),
    ],
)
def test_a_cancels_answer_is_one_outcome_and_its_reports(outcome: Outcome, expected: list[type]) -> None:
    """202 is received and not yet executed: nothing is reported of it."""
    assert expected == [type(message) for message in lane_of(outcome)[0].cancel(cancel())]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (NOT_FOUND, "refused"),
        (refused(404, "<html>no such page</html>"), "unknown"),
        (NotSent("refused"), "not_sent"),
        (Unknown("ReadTimeout"), "unknown"),
        (Ok(200, {}, b"<html>"), "unknown"),
        (ok(order_body(clientId=8)), "unknown"),
        (ok(order_body(id="1")), "unknown"),
    ],
)
def test_a_failed_cancel_says_how(outcome: Outcome, kind: str) -> None:
    """ "Not found" is the venue's refusal, not proof of anything; a reply about another order is no answer."""
    [failure] = lane_of(outcome)[0].cancel(cancel("28563660001"))
    assert isinstance(failure, CancelFailed)
    assert kind == failure.kind


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (ok([]), []),
        (Ok(202, {}, b""), []),
        (Unknown("ReadTimeout"), [QueryFailed]),
        (NotSent("x"), [QueryFailed]),
        (refused(429, {"code": "TOO_MANY_REQUESTS", "message": "slow"}), [QueryFailed, RateLimited]),
    ],
)
def test_cancel_all_is_silent_on_success(outcome: Outcome, expected: list[type]) -> None:
    """Otherwise QueryFailed, and RateLimited on a 429."""
    assert expected == [type(message) for message in lane_of(outcome)[0].cancel_all(CancelAll(venue=VENUE, symbol=SYMBOL))]


def test_there_is_no_dead_man_switch() -> None:
    """Nothing is sent, nothing claimed."""
    lane, rest = lane_of()
    assert (lane.renew_dead_man(RenewDeadMan(venue=VENUE, countdown_s=10.0)), rest.sent) == ((), [])
