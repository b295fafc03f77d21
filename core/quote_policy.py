"""Where a maker quote rests and when it must go: pure functions of two books, fees and the order's age (STRATEGY.md D2, D5-D7).

Prices are quote currency of the maker venue per base; ``fx`` converts the hedge venue's quote currency into it and enters edge and PnL only.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from core.book import depth_within, vwap
from core.instrument import Instrument
from core.messages import BookUpdated
from core.types import BPS, ZERO, Fees, Side

Phase = Literal["BUILD", "UNWIND"]


class QuoteSettings(NamedTuple):
    """Quantities base, thresholds bps of one leg's notional, times seconds; defaults reproduce the seeds' 0.5/10/5/180."""

    size: Decimal
    max_position: Decimal
    max_delta: Decimal
    fx: Decimal
    maker_fees: Fees
    hedge_fees: Fees
    hedge_cap_bps: Decimal
    direction: Literal["alternate", "basis"] = "alternate"
    min_build_bps: Decimal = Decimal(-1000)
    min_unwind_bps: Decimal = Decimal(-1000)
    fill_timeout_s: float = 10.0
    hard_timeout_s: float = 180.0
    check_s: float = 0.5
    cancel_pause_s: float = 5.0
    max_hold_s: float = 600.0
    book_age_max_s: float = 2.0
    depth_share: Decimal = Decimal("0.5")
    mid_gap_max: Decimal = Decimal("0.02")
    order_lifetime_s: float = 190.0
    iterations: int = 0


class Market(NamedTuple):
    """Both books at the moment of a decision."""

    maker: BookUpdated
    hedge: BookUpdated


def mid(book: BookUpdated) -> Decimal | None:
    """Middle of the touch; None where a side is missing."""
    return (book.bids[0].price + book.asks[0].price) / 2 if book.bids and book.asks else None


def basis_bps(market: Market, fx: Decimal) -> Decimal:
    """b = (mid_maker - fx * mid_hedge) / mid_maker in bps; zero where a mid is missing."""
    maker_mid, hedge_mid = mid(market.maker), mid(market.hedge)
    if maker_mid is None or hedge_mid is None:
        return ZERO
    return (maker_mid - fx * hedge_mid) / maker_mid / BPS


def join_price(book: BookUpdated, side: Side, instrument: Instrument) -> Decimal | None:
    """The touch of our own side, never closer than a tick to crossing; None without a two-sided, uncrossed book."""
    if not book.bids or not book.asks or book.bids[0].price >= book.asks[0].price:
        return None
    if side is Side.BUY:
        return instrument.price_passive(min(book.bids[0].price, book.asks[0].price - instrument.tick_size), side)
    return instrument.price_passive(max(book.asks[0].price, book.bids[0].price + instrument.tick_size), side)


def is_off_touch(book: BookUpdated, side: Side, price: Decimal) -> bool:
    """Whether others stand in front of our price."""
    if side is Side.BUY:
        return bool(book.bids) and price < book.bids[0].price
    return bool(book.asks) and price > book.asks[0].price


def expected_net_bps(market: Market, side: Side, price: Decimal, quantity: Decimal, settings: QuoteSettings) -> Decimal | None:
    """n of STRATEGY.md D2 if ``quantity`` filled at ``price`` now and were hedged through the hedge book; None: it cannot take it."""
    levels = market.hedge.bids if side is Side.BUY else market.hedge.asks
    average = vwap(levels, quantity)
    if average is None:
        return None
    hedge_price = settings.fx * average
    edge = side.sign * (hedge_price - price) / price
    fees = settings.maker_fees.maker + settings.hedge_fees.taker * hedge_price / price
    return (edge - fees) / BPS


def hedgeable_quantity(market: Market, side: Side, settings: QuoteSettings) -> Decimal:
    """Share of the hedge book within the first price cap that a maker fill of ``side`` may count on."""
    levels = market.hedge.bids if side is Side.BUY else market.hedge.asks
    if not levels:
        return ZERO
    cap = levels[0].price * (1 - side.sign * settings.hedge_cap_bps * BPS)
    return settings.depth_share * depth_within(levels, cap, side.opposite)


def required_bps(phase: Phase, held_s: float, settings: QuoteSettings) -> Decimal | None:
    """Net edge needed to rest an order; the exit filter decays linearly and is gone (None) at ``max_hold_s``."""
    if phase == "BUILD":
        return settings.min_build_bps
    if held_s >= settings.max_hold_s:
        return None
    floor = Decimal(-1000)
    share = Decimal(str(round(max(held_s, 0.0) / settings.max_hold_s, 6)))
    return settings.min_unwind_bps - (settings.min_unwind_bps - floor) * share if settings.min_unwind_bps > floor else floor


def meets_edge(
    market: Market, side: Side, price: Decimal, quantity: Decimal, required: Decimal | None, settings: QuoteSettings
) -> bool:
    """The value cap: resting at ``price`` is worth it after measured fees and the hedge's depth."""
    if required is None:
        return True
    net = expected_net_bps(market, side, price, quantity, settings)
    return net is not None and net >= required


def market_fault(market: Market, settings: QuoteSettings, now: float) -> str | None:
    """Why these books may not be quoted on; None = they may."""
    for book in market:
        if now - book.received_at > settings.book_age_max_s:
            return f"{book.venue} book is stale"
        if not book.bids or not book.asks:
            return f"{book.venue} book is one-sided"
        if book.bids[0].price >= book.asks[0].price:
            return f"{book.venue} book is crossed"
    maker_mid, hedge_mid = mid(market.maker), mid(market.hedge)
    assert maker_mid is not None
    assert hedge_mid is not None
    if abs(maker_mid - settings.fx * hedge_mid) > settings.mid_gap_max * maker_mid:
        return "the venues' mids are too far apart"
    return None


def basis_side(
    samples: Sequence[Decimal], current: Decimal, *, threshold_bps: Decimal = Decimal(2), needed: int = 1000
) -> Side | None:
    """Basis rule of STRATEGY.md D6: sell the maker venue when it is dear against its median, buy when cheap; None = wait."""
    if len(samples) < needed:
        return None
    median = sorted(samples)[len(samples) // 2]
    if current - median >= threshold_bps:
        return Side.SELL
    return Side.BUY if median - current >= threshold_bps else None
