"""What the answers to an order and to a cancel mean, as messages (backpack.md §4, §5). Pure.

An answer that could hide an accepted order becomes SubmitUnknown, never a refusal; a reply's ``executedQuantity`` is reported as
cumulative quantity, never as a fill.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from adapters.backpack import parse
from adapters.backpack.api import ReadFailed, unknown_reason
from adapters.backpack.errors import RATE_LIMITED, Ruling, Verdict, judge_refusal
from adapters.backpack.values import VENUE, WireRefused, scrub
from adapters.transport.rest import NotSent, Ok, Outcome, Refused, Unknown
from core.messages import (
    CancelAcknowledged,
    CancelFailed,
    CancelOrder,
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
from core.types import ClientOrderId, OrderState, TimeInForce

CancelFailure = Literal["refused", "not_sent", "unknown"]


def submit_messages(order: PlaceOrder, outcome: Outcome, at: float) -> tuple[Message, ...]:
    """The answer to a POST as exactly one SubmitOutcome and what the reply reports."""
    client_id = order.client_order_id
    match outcome:
        case Ok(body=body):
            try:
                report = _reply_report(order, body, at)
            except WireRefused as refused:
                return (_submit_unknown(client_id, f"unusable reply: {refused}", at),)
            return (OrderAccepted(venue=VENUE, client_order_id=client_id, venue_order_id=report.venue_order_id, at=at), report)
        case Refused(status=status, body=body, retry_after_s=retry_after_s):
            ruling = judge_refusal(status, body)
            return (_submit_refused(client_id, ruling, at), *rate_limit(ruling.code, ruling.reason, retry_after_s, at))
        case NotSent(reason=reason):
            return (SubmitNotSent(venue=VENUE, client_order_id=client_id, reason=scrub(reason), at=at),)
        case Unknown(reason=reason, body=body):
            return (_submit_unknown(client_id, unknown_reason(reason, body), at),)


def _submit_unknown(client_id: ClientOrderId, reason: str, at: float) -> SubmitUnknown:
    return SubmitUnknown(venue=VENUE, client_order_id=client_id, reason=reason, at=at)


def _submit_refused(client_id: ClientOrderId, ruling: Ruling, at: float) -> OrderRejected | SubmitUnknown:
    if ruling.verdict is Verdict.UNKNOWN:
        return _submit_unknown(client_id, ruling.reason, at)
    return OrderRejected(
        venue=VENUE,
        client_order_id=client_id,
        reason=ruling.reason,
        code=ruling.code,
        permanent=ruling.verdict is Verdict.PERMANENT,
        at=at,
        is_throttled=ruling.code == RATE_LIMITED,
    )


def _reply_report(order: PlaceOrder, body: bytes, at: float) -> OrderReported:
    """The order after its first matching pass (backpack.md §4); a reply about another order is refused."""
    report = parse.parse_order(body, at)
    is_ours = report.client_order_id in (None, order.client_order_id)
    if not is_ours or report.symbol != order.symbol or report.side is not order.side:
        raise WireRefused("the reply is about another order")
    report = msgspec.structs.replace(report, client_order_id=order.client_order_id)
    if report.state is OrderState.FILLED and report.filled_quantity < order.quantity:
        return msgspec.structs.replace(
            report, state=OrderState.UNKNOWN, reason=f"Filled with {report.filled_quantity} of {order.quantity}"
        )
    ended = (OrderState.PARTIALLY_FILLED, OrderState.CANCELED, OrderState.EXPIRED)
    if order.time_in_force is TimeInForce.IOC and report.state in ended:
        return msgspec.structs.replace(report, state=OrderState.EXPIRED)
    return report


def cancel_messages(command: CancelOrder, outcome: Outcome, at: float) -> tuple[Message, ...]:
    """The answer to a DELETE as exactly one CancelOutcome; 202 is "received, not yet executed" and reports nothing."""
    match outcome:
        case Ok(status=202):
            return (_cancel_acknowledged(command, at),)
        case Ok(body=body):
            try:
                report = parse.parse_order(body, at)
            except WireRefused as refused:
                return (_cancel_failed(command, f"unusable reply: {refused}", "unknown", at),)
            if not is_about(report, command):
                return (_cancel_failed(command, "the reply is about another order", "unknown", at),)
            return (_cancel_acknowledged(command, at), msgspec.structs.replace(report, client_order_id=command.client_order_id))
        case Refused(status=status, body=body, retry_after_s=retry_after_s):
            ruling = judge_refusal(status, body)
            kind: CancelFailure = "unknown" if ruling.verdict is Verdict.UNKNOWN else "refused"
            limit = rate_limit(ruling.code, ruling.reason, retry_after_s, at)
            return (_cancel_failed(command, ruling.reason, kind, at), *limit)
        case NotSent(reason=reason):
            return (_cancel_failed(command, scrub(reason), "not_sent", at),)
        case Unknown(reason=reason, body=body):
            return (_cancel_failed(command, unknown_reason(reason, body), "unknown", at),)


def is_about(report: OrderReported, command: CancelOrder | QueryOrder) -> bool:
    """Whether a reply describes the order that was asked for; an id that either side leaves out proves nothing against it."""
    is_same_client = report.client_order_id in (None, command.client_order_id)
    is_same_venue = command.venue_order_id in (None, report.venue_order_id)
    return report.symbol == command.symbol and is_same_client and is_same_venue


def _cancel_acknowledged(command: CancelOrder, at: float) -> CancelAcknowledged:
    return CancelAcknowledged(venue=VENUE, client_order_id=command.client_order_id, at=at)


def _cancel_failed(command: CancelOrder, reason: str, kind: CancelFailure, at: float) -> CancelFailed:
    return CancelFailed(venue=VENUE, client_order_id=command.client_order_id, reason=reason, kind=kind, at=at)


def rate_limit(code: str, reason: str, retry_after_s: float | None, at: float) -> tuple[RateLimited, ...]:
    if code != RATE_LIMITED:
        return ()
    return (RateLimited(venue=VENUE, reason=reason, retry_after_s=retry_after_s, at=at),)


def query_failed(query: str, failure: ReadFailed, at: float, client_order_id: ClientOrderId | None = None) -> tuple[Message, ...]:
    answer = QueryFailed(venue=VENUE, query=query, reason=failure.reason, at=at, client_order_id=client_order_id)
    return (answer, *rate_limit(failure.code, failure.reason, failure.retry_after_s, at))
