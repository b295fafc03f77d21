"""Every message that passes between actors.

Frozen, keyword-only, tagged; tuples instead of lists, so that a message can be shared between threads and hashed. Events are in
the past tense and travel up; commands are in the imperative and travel down. ``received_at``, ``asked_at`` and ``at`` are
monotonic seconds of this process; ``venue_time_ms`` is the venue's own clock and is used in reports only.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from core.commands import (
    CancelAll,
    CancelOrder,
    ClientIdsLeased,
    FetchBook,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    LeaseClientIds,
    LedgerRequested,
    Message,
    PlaceOco,
    PlaceOrder,
    QueryOrder,
    RenewDeadMan,
    Resync,
    SetPolling,
    Stop,
    Tick,
)
from core.types import (
    Channel,
    ClientOrderId,
    FeedState,
    Level,
    Liquidity,
    OrderState,
    Role,
    Side,
    Source,
    TradeId,
    TradingState,
    VenueId,
    VenueOrderId,
)

# fmt: off
__all__ = [
    "AccountEvent", "Alert", "AttemptFinished", "AttemptStarted", "BookLost", "BookUpdated", "CancelAcknowledged",
    "CancelAll", "CancelFailed", "CancelOrder", "CancelOutcome", "ClientIdsLeased", "CycleFinished", "FeedChanged",
    "FetchBook", "FetchFills", "FetchOpenOrders", "FetchPosition", "FillRecorded", "FillReported", "FillsFetched",
    "ForeignActivity", "FrameRejected", "HedgeStalled", "LeaseClientIds", "LedgerRequested", "LedgerSnapshot", "Message",
    "OpenOrdersFetched", "OrderAccepted", "OrderChanged", "OrderDenied", "OrderNotFound", "OrderRejected", "OrderReported",
    "OrderSnapshot", "OrderSubmitted", "PairClosed", "PairStateChanged", "PlaceOco", "PlaceOrder", "PositionMismatch", "PositionReported",
    "Query", "QueryAnswer", "QueryFailed", "QueryOrder", "QuoteSkipped", "RateLimited", "RenewDeadMan", "Resync",
    "RunFinished", "SetPolling", "Stop", "SubmitNotSent", "SubmitOutcome", "SubmitUnknown", "Tick", "TradeCommand",
    "TradingStateChanged", "VenueReconciled",
]
# fmt: on

# ---- market data -------------------------------------------------------------------------------------------------------------


class BookUpdated(Message, frozen=True, kw_only=True):
    """A trusted book: best levels first on both sides, at most 20 a side; an empty side is possible."""

    venue: VenueId
    symbol: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    received_at: float
    venue_time_ms: int = 0


class BookLost(Message, frozen=True, kw_only=True):
    """The book of this venue may not be traded on until the next BookUpdated."""

    venue: VenueId
    symbol: str
    reason: str
    at: float


# ---- account facts, by stream or by REST: the same types, told apart by ``source`` --------------------------------------------


class OrderReported(Message, frozen=True, kw_only=True):
    """What a venue says of one order.

    ``filled_quantity`` is cumulative base quantity. ``client_order_id`` is None for an order that is not of our id space.
    ``price``/``quantity`` are None where the venue's frame does not carry them.
    """

    venue: VenueId
    symbol: str
    client_order_id: ClientOrderId | None
    venue_order_id: VenueOrderId | None
    state: OrderState
    filled_quantity: Decimal
    source: Source
    received_at: float
    side: Side | None = None
    price: Decimal | None = None
    quantity: Decimal | None = None
    reason: str = ""
    is_historical: bool = False


class FillReported(Message, frozen=True, kw_only=True):
    """One execution of an order of this account. ``fee`` is signed: positive paid, negative rebate, in ``fee_currency``."""

    venue: VenueId
    symbol: str
    trade_id: TradeId
    client_order_id: ClientOrderId | None
    venue_order_id: VenueOrderId | None
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: Liquidity
    venue_time_ms: int
    source: Source
    received_at: float


class PositionReported(Message, frozen=True, kw_only=True):
    """The venue's own word on the signed net position (base); never traded on alone."""

    venue: VenueId
    symbol: str
    quantity: Decimal
    source: Source
    received_at: float


# ---- answers of the query lane -------------------------------------------------------------------------------------------------


class OrderNotFound(Message, frozen=True, kw_only=True):
    """The venue does not show this order. Evidence only together with a bound that the venue enforces."""

    venue: VenueId
    client_order_id: ClientOrderId
    asked_at: float
    received_at: float


class OpenOrdersFetched(Message, frozen=True, kw_only=True):
    """All resting orders of the symbol; absence from it is never a fill and never, alone, a cancel."""

    venue: VenueId
    symbol: str
    orders: tuple[OrderReported, ...]
    asked_at: float
    received_at: float


class FillsFetched(Message, frozen=True, kw_only=True):
    """All fills of the symbol in the ``lookback_s`` seconds before ``asked_at`` that the venue shows now (it may lag)."""

    venue: VenueId
    symbol: str
    fills: tuple[FillReported, ...]
    lookback_s: float
    asked_at: float
    received_at: float
    source: Source = Source.REST


class QueryFailed(Message, frozen=True, kw_only=True):
    """A read got no usable answer: it says nothing about the account. ``query`` is the command's tag."""

    venue: VenueId
    query: str
    reason: str
    at: float
    client_order_id: ClientOrderId | None = None


# ---- what the gateway saw ------------------------------------------------------------------------------------------------------


class OrderSubmitted(Message, frozen=True, kw_only=True):
    """The intent is durable and the bytes are about to leave. Emitted before the send."""

    order: PlaceOrder
    at: float


class OrderAccepted(Message, frozen=True, kw_only=True):
    venue: VenueId
    client_order_id: ClientOrderId
    venue_order_id: VenueOrderId | None
    at: float


class OrderRejected(Message, frozen=True, kw_only=True):
    """The venue refused the order for certain. ``permanent``: sending the same again cannot help (symbol, permission, price scale).

    ``is_throttled``: only the rate limit stood against it; it may be decided anew.
    """

    venue: VenueId
    client_order_id: ClientOrderId
    reason: str
    code: str
    permanent: bool
    at: float
    is_throttled: bool = False


class OrderDenied(Message, frozen=True, kw_only=True):
    """Refused by ourselves before anything left: risk gate, journal, stale command."""

    venue: VenueId
    client_order_id: ClientOrderId
    role: Role
    reason: str
    at: float


class SubmitNotSent(Message, frozen=True, kw_only=True):
    """The request provably never reached the venue."""

    venue: VenueId
    client_order_id: ClientOrderId
    reason: str
    at: float


class SubmitUnknown(Message, frozen=True, kw_only=True):
    """The request may or may not have reached the venue."""

    venue: VenueId
    client_order_id: ClientOrderId
    reason: str
    at: float


class CancelAcknowledged(Message, frozen=True, kw_only=True):
    """The venue received the cancel; the outcome is a later OrderReported."""

    venue: VenueId
    client_order_id: ClientOrderId
    at: float


class CancelFailed(Message, frozen=True, kw_only=True):
    """The cancel was refused, not sent, or its answer was lost. Proof of nothing about the order."""

    venue: VenueId
    client_order_id: ClientOrderId
    reason: str
    kind: Literal["refused", "not_sent", "unknown"]
    at: float


class RateLimited(Message, frozen=True, kw_only=True):
    """The venue answered 429 or the like; ``retry_after_s`` is None where it named no time."""

    venue: VenueId
    reason: str
    retry_after_s: float | None
    at: float


# ---- feeds ---------------------------------------------------------------------------------------------------------------------


class FeedChanged(Message, frozen=True, kw_only=True):
    """A feed entered another state. ``reconnects`` and ``gaps`` count since the feed's start.

    ``is_refused``: DOWN because the venue refuses us, or we its certificate; trying again helps only when somebody changes something.
    """

    venue: VenueId
    channel: Channel
    state: FeedState
    source: Source
    reason: str
    at: float
    reconnects: int = 0
    gaps: int = 0
    is_refused: bool = False


class FrameRejected(Message, frozen=True, kw_only=True):
    """A frame that no rule accepts; it changed nothing. ``head`` is its first 200 characters, secrets removed."""

    venue: VenueId
    channel: Channel
    reason: str
    head: str
    at: float


# ---- what the order tracker concludes ------------------------------------------------------------------------------------------


class OrderSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One of our orders as the tracker knows it.

    ``filled_quantity`` is the highest cumulative quantity any source told; ``recorded_quantity`` the sum of the fills seen.
    ``is_closed``: no further fill is expected (a late one is still counted). ``is_inferred``: its state was concluded, not told.
    """

    client_order_id: ClientOrderId
    venue: VenueId
    symbol: str
    side: Side
    role: Role
    price: Decimal
    quantity: Decimal
    state: OrderState
    filled_quantity: Decimal
    recorded_quantity: Decimal
    cycle_id: int
    reason: str = ""
    venue_order_id: VenueOrderId | None = None
    permanent: bool = False
    linked_to: ClientOrderId | None = None
    is_inferred: bool = False

    @property
    def is_closed(self) -> bool:
        return self.state in _CLOSED

    @property
    def pending_quantity(self) -> Decimal:
        """Base quantity that may still turn into recorded fills: all leaves while open, the told-but-unseen part when closed."""
        ceiling = self.filled_quantity if self.is_closed else max(self.quantity, self.filled_quantity)
        return max(ceiling - self.recorded_quantity, Decimal(0))


_CLOSED = frozenset({OrderState.DENIED, OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED})


class OrderChanged(Message, frozen=True, kw_only=True):
    order: OrderSnapshot
    at: float


class FillRecorded(Message, frozen=True, kw_only=True):
    """A fill seen for the first time, with the order it belongs to (None: not an order of ours)."""

    fill: FillReported
    order: OrderSnapshot | None
    at: float


class LedgerSnapshot(Message, frozen=True, kw_only=True):
    """Everything an exposure ledger needs; events told before it are contained in it. ``positions``: (venue, signed base)."""

    owner: str
    positions: tuple[tuple[VenueId, Decimal], ...]
    orders: tuple[OrderSnapshot, ...]
    at: float


class ForeignActivity(Message, frozen=True, kw_only=True):
    """Somebody else trades this account and symbol: the delta bound does not hold any more. ``order``: a name of the stranger's order."""

    venue: VenueId
    order: str
    detail: str
    at: float


class PositionMismatch(Message, frozen=True, kw_only=True):
    """The venue's position differs from the sum of our fills by at least a lot for longer than the tolerance."""

    venue: VenueId
    reported: Decimal
    expected: Decimal
    at: float


class VenueReconciled(Message, frozen=True, kw_only=True):
    """After the account feed went live, fills, open orders and position were read and agree with what we hold."""

    venue: VenueId
    at: float


# ---- strategy ------------------------------------------------------------------------------------------------------------------


class QuoteSkipped(Message, frozen=True, kw_only=True):
    """An attempt was not opened (filter or pause); emitted when the reason changes, not at every evaluation."""

    cycle_id: int
    phase: Literal["BUILD", "UNWIND"]
    reason: str
    at: float


class AttemptStarted(Message, frozen=True, kw_only=True):
    """A maker order chain opened. ``target`` base quantity."""

    cycle_id: int
    phase: Literal["BUILD", "UNWIND"]
    side: Side
    target: Decimal
    basis_bps: Decimal
    at: float


class AttemptFinished(Message, frozen=True, kw_only=True):
    cycle_id: int
    phase: Literal["BUILD", "UNWIND"]
    intended: Decimal
    filled: Decimal
    requotes: int
    cancels: int
    reason: str
    at: float


class CycleFinished(Message, frozen=True, kw_only=True):
    """Back to flat (``done``), or nothing was built (``no_fill``)."""

    cycle_id: int
    started_at: float
    result: Literal["done", "no_fill"]
    intended: Decimal
    filled: Decimal
    requotes: int
    cancels: int
    skips: int
    at: float


class RunFinished(Message, frozen=True, kw_only=True):
    """The configured number of cycles is complete and the strategy is flat."""

    cycles: int
    at: float


class HedgeStalled(Message, frozen=True, kw_only=True):
    """The ladder of the hedge is exhausted; the planner unwinds ``quantity`` on the maker venue and the quoter must stay away.

    ``is_permanent``: the hedge venue refuses for good, so trading halts.
    """

    quantity: Decimal
    is_permanent: bool
    reason: str
    at: float


class PairStateChanged(Message, frozen=True, kw_only=True):
    """An OCO pair entered another state (core/oco_pair.py has them)."""

    cycle_id: int
    state: str
    reason: str
    at: float


class PairClosed(Message, frozen=True, kw_only=True):
    """A maker fill is covered; ``net`` result in quote currency after fees, negative = lost."""

    cycle_id: int
    net: Decimal
    at: float


class TradingStateChanged(Message, frozen=True, kw_only=True):
    state: TradingState
    reason: str
    at: float


class Alert(Message, frozen=True, kw_only=True):
    """Something a person should know. ``key`` debounces: one alert a key a minute."""

    level: Literal["info", "warning", "critical"]
    key: str
    text: str
    at: float


AccountEvent = OrderReported | FillReported | PositionReported
QueryAnswer = OrderReported | OrderNotFound | OpenOrdersFetched | FillsFetched | PositionReported | QueryFailed | RateLimited
SubmitOutcome = OrderAccepted | OrderRejected | SubmitNotSent | SubmitUnknown
CancelOutcome = CancelAcknowledged | CancelFailed
Query = QueryOrder | FetchOpenOrders | FetchFills | FetchPosition | FetchBook
TradeCommand = PlaceOrder | PlaceOco | CancelOrder | CancelAll | RenewDeadMan
