"""Commands: what one part asks another to do. Imperative; they travel down. Part of ``core.messages``, which re-exports them."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from core.types import Channel, ClientOrderId, Priority, Role, Side, TimeInForce, VenueId, VenueOrderId


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all messages; the tag is the class name."""


class PlaceOrder(Message, frozen=True, kw_only=True):
    """Place one order. ``price`` is always a limit, also for IOC. ``lifetime_s``: the venue's own expiry of a resting order.

    ``trigger_price`` and ``trigger_kind``, both or neither: the venue holds the order back until the market reaches that price.
    ``is_market``: the venue fills at the market, immediately or on the trigger, and ``price`` is the worst one allowed.

    ``not_after``: monotonic time past which the order is no longer wanted and must be denied instead of sent late.
    ``linked_to``: the other exit of a pair that the venue was asked to link (``PlaceOco``); the end of one may be the end of both.
    ``owner`` and ``epoch`` name the actor life that decided it: a gateway refuses orders of a life that has been replaced.
    ``reference_price`` is the price the decision was taken on; the gate's collar measures against it.
    """

    client_order_id: ClientOrderId
    venue: VenueId
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    time_in_force: TimeInForce
    role: Role
    cycle_id: int
    reference_price: Decimal
    post_only: bool = False
    reduce_only: bool = False
    lifetime_s: float = 0.0
    not_after: float = 0.0
    attempt: int = 0
    priority: Priority = Priority.P0
    owner: str = ""
    epoch: int = 0
    trigger_price: Decimal | None = None
    trigger_kind: Literal["stop", "take_profit"] | None = None
    is_market: bool = False
    linked_to: ClientOrderId | None = None


class PlaceOco(Message, frozen=True, kw_only=True):
    """Place two exits of one position in one request and have the venue end the other once one of them is triggered. Both or neither leave."""

    stop: PlaceOrder
    take_profit: PlaceOrder

    @property
    def orders(self) -> tuple[PlaceOrder, ...]:
        """The one that protects comes first."""
        return (self.stop, self.take_profit)

    @property
    def venue(self) -> VenueId:
        return self.stop.venue


class CancelOrder(Message, frozen=True, kw_only=True):
    """Cancel one order by client id. ``ttl_ms``: keep the cancel armed against a create that arrives later (GRVT)."""

    venue: VenueId
    symbol: str
    client_order_id: ClientOrderId
    reason: str
    venue_order_id: VenueOrderId | None = None
    ttl_ms: int | None = None


class CancelAll(Message, frozen=True, kw_only=True):
    venue: VenueId
    symbol: str


class QueryOrder(Message, frozen=True, kw_only=True):
    """Ask for one order by id. ``submitted_ms``: wall time of the submit, where the answer needs a fill scan from then on."""

    venue: VenueId
    symbol: str
    client_order_id: ClientOrderId
    venue_order_id: VenueOrderId | None = None


class FetchOpenOrders(Message, frozen=True, kw_only=True):
    venue: VenueId
    symbol: str


class FetchFills(Message, frozen=True, kw_only=True):
    """``lookback_s``: how far back, in seconds before now."""

    venue: VenueId
    symbol: str
    lookback_s: float
    priority: Priority = Priority.P3


class FetchPosition(Message, frozen=True, kw_only=True):
    venue: VenueId
    symbol: str


class FetchBook(Message, frozen=True, kw_only=True):
    venue: VenueId
    symbol: str


class RenewDeadMan(Message, frozen=True, kw_only=True):
    """Arm or refresh the venue's dead-man switch; ``countdown_s`` 0 disarms it."""

    venue: VenueId
    countdown_s: float


class Resync(Message, frozen=True, kw_only=True):
    """Ask a feed to drop its connection and build its state anew."""

    venue: VenueId
    channel: Channel
    reason: str


class SetPolling(Message, frozen=True, kw_only=True):
    """Turn the REST fallback of one venue on or off."""

    venue: VenueId
    channel: Channel
    is_on: bool


class LeaseClientIds(Message, frozen=True, kw_only=True):
    """A core asks for more client order ids before it runs out."""

    owner: str


class ClientIdsLeased(Message, frozen=True, kw_only=True):
    """``start`` inclusive, ``end`` exclusive; durable in the journal before this message exists."""

    owner: str
    start: int
    end: int


class LedgerRequested(Message, frozen=True, kw_only=True):
    """A (re)started core asks for the state of all orders. It goes to every gateway first, which from then on refuses orders of the
    owner's older epochs, and each forwards it to the tracker: what the tracker then answers cannot miss an order."""

    owner: str
    epoch: int
    via: VenueId | None = None


class Tick(Message, frozen=True, kw_only=True):
    """Time passed; cores act only on what is due."""


class Stop(Message, frozen=True, kw_only=True):
    """Drain: no new quotes, cancel, hedge what filled."""

    reason: str
