"""Claims on the trade lane: what each answer to an order or a cancel becomes."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import parse_qsl

import pytest

from adapters.apex.client import ApexTradeLane
from adapters.apex.requests import Account
from adapters.apex.zk import NotSignable
from adapters.transport.rest import NotSent, Ok, Outcome, Unknown
from core.messages import (
    CancelAcknowledged,
    CancelAll,
    CancelFailed,
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
from core.ports import VenueRefused
from core.types import OrderState
from tests.adapters.apex.support import (
    ACCOUNT,
    BAN_PAGE,
    BTC,
    KEY_TEXT,
    NOT_FOUND,
    PASSPHRASE,
    SYMBOL,
    VENUE,
    WALL_MS,
    FakeRest,
    FakeSigner,
    account_body,
    cancel,
    denied,
    make_api,
    ok,
    order,
    order_body,
    refused,
)

LOST: list[Outcome] = [
    Ok(200, {}, b"<html>all is well</html>"),
    Ok(200, {}, b""),
    Ok(200, {}, b"{}"),
    ok(None),
    ok("800000000000000001"),
    ok(order_body(cumSuccessFillSize="NaN")),
    ok(order_body(clientId="pf-8", clientOrderId="pf-8")),
    ok(order_body(symbol="ETH-USDT")),
    ok(order_body(side="BUY")),
    denied(10001),
    denied(10004),
    denied(31337),
    denied(3, key="ORDER_CLIENT_ORDER_DATA_CONFLICT"),
    refused(404, "<html>"),
    refused(307, ""),
    Unknown("status 502", 502, b"<html>"),
    Unknown("ReadTimeout"),
]


def lane_of(
    *outcomes: Outcome, account: Account | None = ACCOUNT, refusal: Exception | None = None
) -> tuple[ApexTradeLane, FakeRest]:
    rest = FakeRest(*outcomes)
    return ApexTradeLane(make_api(rest, account=account), BTC, FakeSigner(refusal)), rest


def placed(*outcomes: Outcome, **changes: object) -> tuple[Message, ...]:
    return lane_of(*outcomes)[0].place(order(**changes))


def test_an_order_is_posted_once() -> None:
    """A form with our id; the answer's venue id is taken over."""
    lane, rest = lane_of(ok(order_body()))
    accepted, report = lane.place(order())
    [sent] = rest.sent
    assert isinstance(accepted, OrderAccepted)
    assert isinstance(report, OrderReported)
    form = dict(parse_qsl((sent.body or b"").decode()))
    expected = ("POST", "/api/v3/order", "pf-7", "800000000000000001", OrderState.SUBMITTED)
    assert expected == (sent.method, sent.path, form["clientId"], accepted.venue_order_id, report.state)


def test_a_trigger_order_waits_at_the_venue() -> None:
    """UNTRIGGERED is alive."""
    body = order_body(status="UNTRIGGERED", type="STOP_MARKET", triggerPrice="58000")
    report = placed(ok(body), trigger_price=Decimal(58000), trigger_kind="stop", is_market=True)[1]
    assert isinstance(report, OrderReported)
    assert (OrderState.ACCEPTED, "untriggered") == (report.state, report.reason)


def test_a_market_orders_rewritten_answer_is_its_own() -> None:
    """The venue changes price and time in force of market orders (apex.md §1.5)."""
    messages = placed(ok(order_body(type="MARKET", price="58990.1", timeInForce="IMMEDIATE_OR_CANCEL")), is_market=True)
    assert [OrderAccepted, OrderReported] == [type(message) for message in messages]


@pytest.mark.parametrize("outcome", LOST)
def test_an_answer_that_may_hide_an_order_is_unknown(outcome: Outcome) -> None:
    """No JSON, no data, another order's, failures without a reason, gateways, lost answers."""
    assert [SubmitUnknown] == [type(message) for message in placed(outcome)]


@pytest.mark.parametrize(
    ("outcome", "code", "permanent"),
    [
        (denied(3, "no margin", key="ORDER_THERE_IS_NOT_ENOUGH_MARGIN_TO_OPEN_POSITION"),
         "ORDER_THERE_IS_NOT_ENOUGH_MARGIN_TO_OPEN_POSITION", True),
        (denied(3, "price", key="ORDER_WITH_THIS_PRICE_CANNOT_REDUCE_POSITION_ONLY"),
         "ORDER_WITH_THIS_PRICE_CANNOT_REDUCE_POSITION_ONLY", False),
        (denied(3, "invalid symbol: CLUSDT"), "3", True),
        (denied(20016), "20016", True),
        (denied(10002, f"[apiKey={KEY_TEXT}]"), "10002", True),
        (refused(400, {"code": 400, "msg": "strconv"}), "400", True),
    ],
)  # fmt: skip
def test_a_certain_refusal_is_a_rejection(outcome: Outcome, code: str, permanent: bool) -> None:
    """Inside HTTP 200 or not; one message, with the venue's key."""
    [rejection] = placed(outcome)
    assert isinstance(rejection, OrderRejected)
    assert (code, permanent, False) == (rejection.code, rejection.permanent, rejection.is_throttled)


@pytest.mark.parametrize(
    ("outcome", "pause_s"), [(BAN_PAGE, 60.0), (refused(429, "", retry_after_s=3.0), 3.0), (denied(10003, "slow"), None)]
)
def test_a_ban_page_and_too_many_requests_throttle(outcome: Outcome, pause_s: float | None) -> None:
    """The order was not taken and may be decided anew; the limiter learns of it."""
    rejection, limit = placed(outcome)
    assert isinstance(rejection, OrderRejected)
    assert isinstance(limit, RateLimited)
    assert (True, False, pause_s) == (rejection.is_throttled, rejection.permanent, limit.retry_after_s)


def test_a_request_that_never_left_is_not_sent() -> None:
    """And may be sent again."""
    assert [SubmitNotSent] == [type(message) for message in placed(NotSent("NewConnectionError"))]


@pytest.mark.parametrize("refusal", [NotSignable("0 is not a number"), VenueRefused("apex: the order signer is not installed")])
def test_an_order_that_cannot_be_signed_is_rejected_for_good(refusal: Exception) -> None:
    """Nothing is sent."""
    lane, rest = lane_of(refusal=refusal)
    [rejection] = lane.place(order())
    assert isinstance(rejection, OrderRejected)
    assert ("unsignable", True, []) == (rejection.code, rejection.permanent, rest.sent)


def test_an_unknown_account_is_read_first() -> None:
    """Id and fee rates are part of the signature."""
    lane, rest = lane_of(ok(account_body()), ok(order_body()), account=None)
    messages = lane.place(order())
    assert ([OrderAccepted, OrderReported], ["/api/v3/account", "/api/v3/order"]) == (
        [type(message) for message in messages],
        [sent.path for sent in rest.sent],
    )


def test_an_account_that_cannot_be_read_sends_no_order() -> None:
    """It would be signed for nobody."""
    lane, rest = lane_of(Unknown("ReadTimeout"), account=None)
    assert ([SubmitNotSent], 1) == ([type(message) for message in lane.place(order())], len(rest.sent))


def test_a_refused_timestamp_sets_the_clock_right() -> None:
    """One look at the venue's clock, so that the next order is not refused too."""
    rest = FakeRest(denied(20002, "timestamp"), ok({"time": WALL_MS + 4_000}))
    api = make_api(rest)
    [rejection] = ApexTradeLane(api, BTC, FakeSigner()).place(order())
    assert isinstance(rejection, OrderRejected)
    assert (False, 4_000) == (rejection.permanent, int(api.clock.offset_ms))


@pytest.mark.parametrize(("key", "permanent"), [("ORDER_LIMIT_FEE_NOT_ENOUGH", False), ("INVALID_L2_SIGNATURE", True)])
def test_an_order_refused_for_old_fee_rates_has_the_account_read_anew(key: str, permanent: bool) -> None:
    """The venue may have changed them since our last look: the next order states the new ones."""
    rates = {"takerFeeRate": "0.00100", "makerFeeRate": "0.00020"}
    lane, rest = lane_of(denied(3, "no", key=key), ok(account_body(contractAccount=rates)), ok(order_body()))
    [rejection] = lane.place(order())
    assert isinstance(rejection, OrderRejected)
    messages = lane.place(order())
    forms = [dict(parse_qsl((sent.body or b"").decode())) for sent in rest.sent]
    assert (permanent, [OrderAccepted, OrderReported]) == (rejection.permanent, [type(message) for message in messages])
    assert (["0.059000", None, "0.118000"], "/api/v3/account") == ([form.get("limitFee") for form in forms], rest.sent[1].path)


def test_other_refusals_leave_the_account_known() -> None:
    """Every read before an order delays it."""
    lane, rest = lane_of(denied(3, "no", key="ORDER_SYMBOL_DISABLE_TRADE"), ok(order_body()))
    lane.place(order())
    assert [OrderAccepted, OrderReported] == [type(message) for message in lane.place(order())]
    assert {"/api/v3/order"} == {sent.path for sent in rest.sent}


@pytest.mark.parametrize(
    ("known", "path", "field"),
    [(None, "delete-client-order-id", "pf-7"), ("800000000000000001", "delete-order", "800000000000000001")],
)
def test_a_cancel_names_the_best_known_id(known: str | None, path: str, field: str) -> None:
    """The venue's own where it is known."""
    lane, rest = lane_of(ok("x"))
    lane.cancel(cancel(known))
    assert (f"/api/v3/{path}", f"id={field}".encode()) == (rest.sent[0].path, rest.sent[0].body)


def test_an_acknowledged_cancel_reports_nothing_of_the_order() -> None:
    """What became of it comes by stream or query (apex.md §1.3)."""
    assert [CancelAcknowledged] == [type(message) for message in lane_of(ok("800000000000000001"))[0].cancel(cancel())]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (NOT_FOUND, "refused"),
        (denied(3, key="ORDER_NOT_CANCEL_FILLED"), "refused"),
        (denied(20016), "refused"),
        (denied(10004), "unknown"),
        (Ok(200, {}, b"not json at all"), "unknown"),
        (Ok(200, {}, b""), "unknown"),
        (Ok(200, {}, b'{"message":"x"}'), "unknown"),
        (Unknown("ReadTimeout"), "unknown"),
        (NotSent("refused"), "not_sent"),
    ],
)
def test_a_failed_cancel_says_how(outcome: Outcome, kind: str) -> None:
    """A non-JSON answer was seen for an order that had just filled: it proves nothing (apex.md §1.7)."""
    [failure] = lane_of(outcome)[0].cancel(cancel())
    assert isinstance(failure, CancelFailed)
    assert kind == failure.kind


def test_a_banned_cancel_is_refused_and_throttles() -> None:
    """It went no further than the edge."""
    failure, limit = lane_of(BAN_PAGE)[0].cancel(cancel())
    assert isinstance(failure, CancelFailed)
    assert isinstance(limit, RateLimited)
    assert "refused" == failure.kind


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Ok(200, {}, b"{}"), []),
        (Ok(200, {}, b""), []),
        (ok(None), []),
        (Ok(200, {}, b"<html>"), [QueryFailed]),
        (refused(302, ""), [QueryFailed]),
        (refused(401, ""), [QueryFailed]),
        (refused(404, ""), [QueryFailed]),
        (denied(20016), [QueryFailed]),
        (Unknown("ReadTimeout"), [QueryFailed]),
        (NotSent("x"), [QueryFailed]),
        (BAN_PAGE, [QueryFailed, RateLimited]),
        (denied(10003), [QueryFailed, RateLimited]),
    ],
)
def test_cancel_all_is_silent_on_success(outcome: Outcome, expected: list[type]) -> None:
    """The answer is an empty object or nothing, with a 2xx: nothing else says that the orders are gone."""
    assert expected == [type(message) for message in lane_of(outcome)[0].cancel_all(CancelAll(venue=VENUE, symbol=SYMBOL))]


def test_there_is_no_dead_man_switch() -> None:
    """Nothing is sent, nothing claimed."""
    lane, rest = lane_of()
    assert ((), []) == (lane.renew_dead_man(RenewDeadMan(venue=VENUE, countdown_s=10.0)), rest.sent)


@pytest.mark.parametrize(
    "outcome",
    [
        denied(10002, f"Api credential is invalid [apiKey={KEY_TEXT}]!"),
        denied(20006, f"sign error {PASSPHRASE} passphrase"),
        Ok(200, {}, f'["{KEY_TEXT}","{PASSPHRASE}"] passphrase'.encode()),
        refused(403, f"<html>{KEY_TEXT} {PASSPHRASE}"),
    ],
)
def test_no_message_repeats_a_credential(outcome: Outcome) -> None:
    """Whatever the venue echoes."""
    shown = repr(placed(outcome)) + repr(lane_of(outcome)[0].cancel(cancel()))
    assert [] == [secret for secret in (KEY_TEXT, PASSPHRASE) if secret in shown]
