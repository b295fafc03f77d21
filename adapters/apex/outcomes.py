"""What the answers to an order and to a cancel mean, as messages (apex.md §1.3, §1.5, §4). Pure.

An answer that could hide an accepted order becomes SubmitUnknown, never a refusal; an acknowledged cancel reports nothing of the order.
"""

from __future__ import annotations

from typing import Literal, assert_never

import msgspec

from adapters.apex import parse
from adapters.apex.api import ReadFailed
from adapters.apex.errors import RATE_LIMITED, Answered, Banned, Denied, Garbled, Lost, Reply, Verdict
from adapters.apex.values import VENUE, WireRefused
from adapters.transport.rest import NotSent
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
from core.types import ClientOrderId

CancelFailure = Literal["refused", "not_sent", "unknown"]
UNSIGNABLE = "unsignable"


def submit_messages(order: PlaceOrder, reply: Reply, at: float) -> tuple[Message, ...]:
    """The answer to a POST as exactly one SubmitOutcome and what the reply reports."""
    client_id = order.client_order_id
    match reply:
        case Answered(data=data):
            try:
                report = _reply_report(order, data, at)
            except WireRefused as refused:
                return (_unknown(client_id, f"unusable reply: {refused}", at),)
            return (OrderAccepted(venue=VENUE, client_order_id=client_id, venue_order_id=report.venue_order_id, at=at), report)
        case Denied(verdict=Verdict.UNKNOWN, reason=reason) | Garbled(reason=reason) | Lost(reason=reason):
            return (_unknown(client_id, reason, at),)
        case Denied(verdict=verdict, code=code, reason=reason):
            return (rejected(client_id, reason, code, at, permanent=verdict is Verdict.PERMANENT), *rate_limit(reply, at))
        case Banned(reason=reason):
            return (rejected(client_id, reason, RATE_LIMITED, at, permanent=False), *rate_limit(reply, at))
        case NotSent(reason=reason):
            return (SubmitNotSent(venue=VENUE, client_order_id=client_id, reason=reason, at=at),)
        case _:
            assert_never(reply)


def _unknown(client_id: ClientOrderId, reason: str, at: float) -> SubmitUnknown:
    return SubmitUnknown(venue=VENUE, client_order_id=client_id, reason=reason, at=at)


def rejected(client_id: ClientOrderId, reason: str, code: str, at: float, *, permanent: bool) -> OrderRejected:
    return OrderRejected(
        venue=VENUE,
        client_order_id=client_id,
        reason=reason,
        code=code,
        permanent=permanent,
        at=at,
        is_throttled=code == RATE_LIMITED,
    )


def _reply_report(order: PlaceOrder, data: bytes, at: float) -> OrderReported:
    """The order as the venue took it, before any matching; a reply about another order is refused."""
    report = parse.parse_order(data, at)
    is_ours = report.client_order_id in (None, order.client_order_id)
    if not is_ours or report.symbol != order.symbol or report.side is not order.side:
        raise WireRefused("the reply is about another order")
    return msgspec.structs.replace(report, client_order_id=order.client_order_id)


def cancel_messages(command: CancelOrder, reply: Reply, at: float) -> tuple[Message, ...]:
    """The answer to a cancel as exactly one CancelOutcome. ``data`` is the id, an acknowledgement of the request only (apex.md §1.3)."""
    match reply:
        case Answered(data=b"null"):
            return (_cancel_failed(command, "an answer without data", "unknown", at),)
        case Answered():
            return (CancelAcknowledged(venue=VENUE, client_order_id=command.client_order_id, at=at),)
        case Denied(verdict=verdict, reason=reason):
            kind: CancelFailure = "unknown" if verdict is Verdict.UNKNOWN else "refused"
            return (_cancel_failed(command, reason, kind, at), *rate_limit(reply, at))
        case Banned(reason=reason):
            return (_cancel_failed(command, reason, "refused", at), *rate_limit(reply, at))
        case Garbled(reason=reason) | Lost(reason=reason):
            return (_cancel_failed(command, reason, "unknown", at),)
        case NotSent(reason=reason):
            return (_cancel_failed(command, reason, "not_sent", at),)
        case _:
            assert_never(reply)


def _cancel_failed(command: CancelOrder, reason: str, kind: CancelFailure, at: float) -> CancelFailed:
    return CancelFailed(venue=VENUE, client_order_id=command.client_order_id, reason=reason, kind=kind, at=at)


def is_about(report: OrderReported, command: QueryOrder) -> bool:
    """Whether a reply describes the order that was asked for; an id that either side leaves out proves nothing against it."""
    is_same_client = report.client_order_id in (None, command.client_order_id)
    is_same_venue = command.venue_order_id in (None, report.venue_order_id)
    return report.symbol == command.symbol and is_same_client and is_same_venue


def rate_limit(reply: Denied | Banned, at: float) -> tuple[RateLimited, ...]:
    if isinstance(reply, Denied) and not reply.is_rate_limit:
        return ()
    return (RateLimited(venue=VENUE, reason=reply.reason, retry_after_s=reply.retry_after_s, at=at),)


def query_failed(query: str, failure: ReadFailed, at: float, client_order_id: ClientOrderId | None = None) -> tuple[Message, ...]:
    answer = QueryFailed(venue=VENUE, query=query, reason=failure.reason, at=at, client_order_id=client_order_id)
    if not failure.is_rate_limit:
        return (answer,)
    return (answer, RateLimited(venue=VENUE, reason=failure.reason, retry_after_s=failure.retry_after_s, at=at))
