"""Who is told what: the one table that wires the actors, and the simulation, together.

A name may hold ``{venue}``, filled from the message. ``*`` stands for every venue. Gateways come before the cores that place orders, so that a
gate has folded an event before any order decided on it can arrive.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.messages import (
    Alert,
    AttemptFinished,
    AttemptStarted,
    BookLost,
    BookUpdated,
    CancelAcknowledged,
    CancelAll,
    CancelFailed,
    CancelOrder,
    ClientIdsLeased,
    CycleFinished,
    FeedChanged,
    FetchBook,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    FillRecorded,
    FillReported,
    FillsFetched,
    ForeignActivity,
    FrameRejected,
    HedgeStalled,
    LeaseClientIds,
    LedgerRequested,
    LedgerSnapshot,
    Message,
    OpenOrdersFetched,
    OrderAccepted,
    OrderChanged,
    OrderDenied,
    OrderNotFound,
    OrderRejected,
    OrderReported,
    OrderSubmitted,
    PairClosed,
    PairStateChanged,
    PlaceOco,
    PlaceOrder,
    PositionMismatch,
    PositionReported,
    QueryFailed,
    QueryOrder,
    QuoteSkipped,
    RateLimited,
    RenewDeadMan,
    Resync,
    RunFinished,
    SetPolling,
    Stop,
    SubmitNotSent,
    SubmitUnknown,
    TradingStateChanged,
    VenueReconciled,
)
from core.types import VenueId

TRACKER = "order_tracker"
HEDGER = "hedger"
QUOTER = "quoter"
OCO_PAIR = "oco_pair"
"""Takes the quoter's place in a bracket run."""
RISK = "risk"
FALLBACK = "fallback"
RECORDER = "recorder"
CONTROL = "control"
"""The supervisor's own inbox."""
GATEWAY = "order_gateway.{venue}"
ALL_GATEWAYS = "order_gateway.*"
LIMITER = "rate_limiter.{venue}"
POLLER = "rest_poller.{venue}"
CLERK = "clerk"
"""Stands for the one gateway that leases client order ids; the composition says which."""

_CORES = (ALL_GATEWAYS, HEDGER, QUOTER, RISK, RECORDER)

ROUTES: dict[type[Message], tuple[str, ...]] = {
    BookUpdated: (QUOTER, HEDGER, RECORDER),
    BookLost: (QUOTER, RECORDER),
    OrderReported: (TRACKER,),
    FillReported: (TRACKER, FALLBACK),
    PositionReported: (TRACKER,),
    OrderNotFound: (TRACKER,),
    OpenOrdersFetched: (TRACKER,),
    FillsFetched: (TRACKER,),
    QueryFailed: (TRACKER, RECORDER),
    OrderSubmitted: (TRACKER, RECORDER),
    OrderAccepted: (TRACKER,),
    OrderRejected: (TRACKER, POLLER, RECORDER),
    SubmitNotSent: (TRACKER, RECORDER),
    SubmitUnknown: (TRACKER, RECORDER),
    CancelAcknowledged: (TRACKER,),
    CancelFailed: (TRACKER, RECORDER),
    OrderDenied: (HEDGER, QUOTER, RECORDER),
    RateLimited: (LIMITER, RISK, RECORDER),
    FeedChanged: (TRACKER, QUOTER, RISK, FALLBACK, RECORDER),
    FrameRejected: (TRACKER, RECORDER),
    FillRecorded: (*_CORES, FALLBACK),
    OrderChanged: _CORES,
    LedgerRequested: (ALL_GATEWAYS, RISK, "account_feed.*", "market_feed.*"),
    VenueReconciled: (QUOTER, RISK, FALLBACK, RECORDER, CONTROL),
    PositionMismatch: (RISK, RECORDER),
    ForeignActivity: (RISK, RECORDER),
    HedgeStalled: (RISK, RECORDER),
    PairClosed: (RISK,),
    PairStateChanged: (RECORDER,),
    TradingStateChanged: (ALL_GATEWAYS, HEDGER, QUOTER, RECORDER, CONTROL),
    Alert: (RISK, RECORDER),
    QuoteSkipped: (RECORDER,),
    AttemptStarted: (RECORDER,),
    AttemptFinished: (RECORDER,),
    CycleFinished: (RECORDER,),
    RunFinished: (RECORDER, CONTROL),
    PlaceOrder: (LIMITER,),
    PlaceOco: (LIMITER,),
    CancelOrder: (LIMITER,),
    CancelAll: (LIMITER,),
    RenewDeadMan: (LIMITER,),
    QueryOrder: (LIMITER,),
    FetchFills: (LIMITER,),
    FetchOpenOrders: (LIMITER,),
    FetchPosition: (LIMITER,),
    FetchBook: (LIMITER,),
    SetPolling: (POLLER, RECORDER, CONTROL),
    LeaseClientIds: (CLERK,),
    Stop: (QUOTER, RISK),
}

GRANTED: dict[type[Message], str] = {
    PlaceOrder: GATEWAY,
    PlaceOco: GATEWAY,
    CancelOrder: GATEWAY,
    CancelAll: GATEWAY,
    RenewDeadMan: GATEWAY,
    QueryOrder: POLLER,
    FetchFills: POLLER,
    FetchOpenOrders: POLLER,
    FetchPosition: POLLER,
    FetchBook: POLLER,
}
"""Where a command goes once its rate limiter has let it pass."""


def recipients(message: Message, venues: Iterable[VenueId], *, sender: str = "") -> tuple[str, ...]:
    """Names of the actors that must be told. Commands that a limiter sends have been granted and go to the lane; a LedgerRequested that came
    through a gateway goes to the tracker; snapshots and leases go to the owner they name, a Resync to its feed.
    Raises KeyError for a type nobody handles."""
    match message:
        case LedgerSnapshot() | ClientIdsLeased():
            return (message.owner,)
        case LedgerRequested() if message.via is not None:
            return (TRACKER,)
        case Resync():
            return (f"{message.channel.value}_feed.{message.venue}",)
        case _:
            pass
    kind = type(message)
    if kind in GRANTED and sender.startswith("rate_limiter."):
        return (GRANTED[kind].format(venue=message.venue),)  # type: ignore[attr-defined]  # every granted command names its venue
    names: list[str] = []
    for name in ROUTES[kind]:
        if name.endswith("*"):
            names += [name[:-1] + venue for venue in venues]
        elif "{" in name:
            names.append(name.format(venue=message.venue))  # type: ignore[attr-defined]  # so do all that are routed by venue
        else:
            names.append(name)
    return tuple(names)
