"""Messages and books for the tests of the cores, each with the fewest words: only what a test is about is an argument."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from core.client_ids import ClientIds
from core.instrument import Instrument
from core.messages import (
    BookUpdated,
    FeedChanged,
    FillRecorded,
    FillReported,
    LedgerSnapshot,
    Message,
    OrderChanged,
    OrderNotFound,
    OrderReported,
    OrderSnapshot,
    OrderSubmitted,
    PlaceOrder,
)
from core.types import (
    Channel,
    ClientOrderId,
    FeedState,
    Fees,
    Level,
    Liquidity,
    OrderState,
    Role,
    Side,
    Source,
    TimeInForce,
    TradeId,
    VenueId,
    VenueOrderId,
)

D = Decimal
GRVT, BACKPACK = VenueId("grvt"), VenueId("backpack")
VENUES = (GRVT, BACKPACK)
SYMBOLS = {GRVT: "ETH_USDT_Perp", BACKPACK: "ETH_USDC_PERP"}
BUY, SELL = Side.BUY, Side.SELL
NO_FEES = Fees(D(0), D(0))
HEDGE_TOML = """
[run]
state_dir = "unused"
[strategy]
kind = "hedge"
ticker = "ETH"
primary = "grvt"
hedge = "backpack"
size = "0.10"
max_delta = "0.10"
max_position = "0.50"
"""
"""A configuration to run with; the strategy is last, so that what a test needs besides can be put behind it."""


def instrument(venue: VenueId, *, lot: str = "0.01", tick: str = "0.01", min_notional: str = "0", **more: Any) -> Instrument:
    return Instrument(
        venue=venue,
        symbol=SYMBOLS[venue],
        base="ETH",
        quote="USDT" if venue == GRVT else "USDC",
        tick_size=D(tick),
        lot_size=D(lot),
        min_quantity=D(more.pop("min_quantity", lot)),
        min_notional=D(min_notional),
        **more,
    )


def place(
    client_order_id: int = 1,
    *,
    venue: VenueId | None = None,
    side: Side = BUY,
    quantity: str = "0.10",
    price: str = "3000",
    role: Role = Role.MAKER,
    **more: Any,
) -> PlaceOrder:
    """A maker order rests on GRVT, anything else takes on Backpack, unless told otherwise."""
    where = venue or (GRVT if role in (Role.MAKER, Role.UNWIND) else BACKPACK)
    return PlaceOrder(
        client_order_id=ClientOrderId(client_order_id),
        venue=where,
        symbol=SYMBOLS[where],
        side=side,
        quantity=D(quantity),
        price=D(price),
        time_in_force=TimeInForce.GTC if role is Role.MAKER else TimeInForce.IOC,
        role=role,
        cycle_id=more.pop("cycle_id", 1),
        reference_price=D(more.pop("reference_price", price)),
        **more,
    )


def submitted(order: PlaceOrder, at: float = 0.0) -> OrderSubmitted:
    return OrderSubmitted(order=order, at=at)


def report(
    order: PlaceOrder,
    state: OrderState,
    filled: str = "0",
    *,
    source: Source = Source.WS,
    at: float = 0.0,
    venue_order_id: str | None = None,
    **more: Any,
) -> OrderReported:
    """A venue's word on one of our orders."""
    return OrderReported(
        venue=order.venue,
        symbol=order.symbol,
        client_order_id=more.pop("client_order_id", order.client_order_id),
        venue_order_id=VenueOrderId(venue_order_id) if venue_order_id is not None else None,
        state=state,
        filled_quantity=D(filled),
        source=source,
        received_at=at,
        **more,
    )


def fill(
    order: PlaceOrder, trade_id: str, quantity: str, *, source: Source = Source.WS, at: float = 0.0, **more: Any
) -> FillReported:
    return FillReported(
        venue=order.venue,
        symbol=order.symbol,
        trade_id=TradeId(trade_id),
        client_order_id=more.pop("client_order_id", order.client_order_id),
        venue_order_id=more.pop("venue_order_id", None),
        side=order.side,
        price=order.price,
        quantity=D(quantity),
        fee=D(0),
        fee_currency="USDT",
        liquidity=Liquidity.MAKER if order.role is Role.MAKER else Liquidity.TAKER,
        venue_time_ms=more.pop("venue_time_ms", 1_000),
        source=source,
        received_at=at,
    )


def not_found(order: PlaceOrder, asked_at: float) -> OrderNotFound:
    return OrderNotFound(venue=order.venue, client_order_id=order.client_order_id, asked_at=asked_at, received_at=asked_at)


def snapshot(order: PlaceOrder, state: OrderState, filled: str = "0", recorded: str | None = None, **more: Any) -> OrderSnapshot:
    """One of our orders as the tracker knows it; every filled quantity has been seen as fills unless told otherwise."""
    return OrderSnapshot(
        client_order_id=order.client_order_id,
        venue=order.venue,
        symbol=order.symbol,
        side=order.side,
        role=order.role,
        price=order.price,
        quantity=order.quantity,
        state=state,
        filled_quantity=D(filled),
        recorded_quantity=D(filled if recorded is None else recorded),
        cycle_id=order.cycle_id,
        **more,
    )


def changed(order: PlaceOrder, state: OrderState, filled: str = "0", recorded: str | None = None, **more: Any) -> OrderChanged:
    return OrderChanged(order=snapshot(order, state, filled, recorded, **more), at=0.0)


def filled(
    order: PlaceOrder, trade_id: str, quantity: str, total: str | None = None, state: OrderState | None = None
) -> FillRecorded:
    """A fill of ``order`` that brings its recorded quantity to ``total`` (default: this fill alone)."""
    so_far = total or quantity
    is_done = D(so_far) >= order.quantity
    now = state or (OrderState.FILLED if is_done else OrderState.PARTIALLY_FILLED)
    return FillRecorded(fill=fill(order, trade_id, quantity), order=snapshot(order, now, so_far), at=0.0)


def ledger(owner: str, *orders: OrderSnapshot, grvt: str = "0", backpack: str = "0") -> LedgerSnapshot:
    return LedgerSnapshot(owner=owner, positions=((GRVT, D(grvt)), (BACKPACK, D(backpack))), orders=orders, at=0.0)


def book(venue: VenueId, *, bid: str = "2999.99", ask: str = "3000.01", depth: str = "100", at: float = 0.0) -> BookUpdated:
    """One level a side; an empty string leaves the side out."""
    bids = (Level(D(bid), D(depth)),) if bid else ()
    asks = (Level(D(ask), D(depth)),) if ask else ()
    return BookUpdated(venue=venue, symbol=SYMBOLS[venue], bids=bids, asks=asks, received_at=at)


def feed(venue: VenueId, channel: Channel, state: FeedState = FeedState.LIVE, source: Source = Source.WS) -> FeedChanged:
    return FeedChanged(venue=venue, channel=channel, state=state, source=source, reason="", at=0.0)


def ids(owner: str, start: int = 100, end: int = 10_000) -> ClientIds:
    return ClientIds(owner, start, end)


def orders_in(messages: tuple[Message, ...]) -> list[PlaceOrder]:
    return [message for message in messages if isinstance(message, PlaceOrder)]


def of_type(messages: tuple[Message, ...], kind: type[Message]) -> list[Any]:
    return [message for message in messages if isinstance(message, kind)]
