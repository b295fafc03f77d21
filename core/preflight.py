"""Go or no-go before anything is sent: what two venues say of themselves, judged against the configuration.

Every check is a value with a verdict and one line of reason; it never asks a venue itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, NamedTuple

from core.config import BracketConfig, StrategyConfig
from core.instrument import Instrument
from core.messages import BookUpdated
from core.oco_orders import STOP_SLIPPAGE_BPS
from core.quote_policy import mid
from core.types import BPS, ZERO, Fees, VenueId

TICK_SHARE_MAX = Decimal("0.001")
MID_GAP_MAX = Decimal("0.02")
CLOCK_OFFSET_MAX_MS = 1_000.0

Verdict = Literal["ok", "warn", "fail"]
_Judgement = tuple[Verdict, str]


class VenueFacts(NamedTuple):
    """One venue as its API describes it now. ``position`` signed base, ``foreign_orders`` one line each, ``clock_offset_ms`` venue - ours."""

    instrument: Instrument
    fees: Fees
    book: BookUpdated
    position: Decimal
    foreign_orders: tuple[str, ...]
    clock_offset_ms: float
    can_trade: bool
    account_detail: str


class Explained(NamedTuple):
    """A position as the journal knows it; ``slack``: what orders without a known end may have added."""

    quantity: Decimal
    slack: Decimal


class Check(NamedTuple):
    venue: str
    name: str
    verdict: Verdict
    detail: str


def judge_pair(
    maker: VenueFacts, hedge: VenueFacts, strategy: StrategyConfig, *, explained: Mapping[VenueId, Explained]
) -> tuple[Check, ...]:
    """All checks of both venues and of the pair; ``explained``: the positions that our own journal accounts for."""
    checks = [check for facts in (maker, hedge) for check in judge_venue(facts, strategy.size, explained)]
    checks.append(_rate(maker.instrument, hedge.instrument, strategy.fx))
    return (*checks, _mids(maker, hedge, strategy), _common_size(maker.instrument, hedge.instrument, strategy.size))


def judge_bracket(facts: VenueFacts, strategy: StrategyConfig, explained: Mapping[VenueId, Explained]) -> tuple[Check, ...]:
    """All checks of the one venue, and that it would take the exits of a whole position."""
    assert strategy.bracket is not None
    verdict, detail = _exits(facts, strategy.size, strategy.bracket)
    return (*judge_venue(facts, strategy.size, explained), Check(facts.instrument.venue, "exits", verdict, detail))


def judge_venue(facts: VenueFacts, size: Decimal, explained: Mapping[VenueId, Explained]) -> tuple[Check, ...]:
    """The checks that one venue must pass alone."""
    venue = facts.instrument.venue
    rows: tuple[tuple[str, _Judgement], ...] = (
        ("account", _account(facts)),
        ("book", _book(facts.book)),
        ("tick", _tick(facts)),
        ("size", _size(facts, size)),
        ("clock", _clock(facts.clock_offset_ms)),
        ("fees", ("ok", f"maker {facts.fees.maker / BPS:f} bps, taker {facts.fees.taker / BPS:f} bps")),
        ("position", _position(facts, explained.get(venue, Explained(ZERO, ZERO)))),
        ("orders", _orders(facts)),
    )
    return tuple(Check(venue, name, verdict, detail) for name, (verdict, detail) in rows)


def is_go(checks: tuple[Check, ...]) -> bool:
    return all(check.verdict != "fail" for check in checks)


def _account(facts: VenueFacts) -> _Judgement:
    return ("ok" if facts.can_trade else "fail", facts.account_detail)


def _book(book: BookUpdated) -> _Judgement:
    if not book.bids or not book.asks:
        return ("fail", "one side of the book is empty")
    bid, ask = book.bids[0].price, book.asks[0].price
    return ("ok" if bid < ask else "fail", f"bid {bid}, ask {ask}")


def _tick(facts: VenueFacts) -> _Judgement:
    """A tick that is not a small part of the price means a wrong symbol or a wrong scale."""
    price, tick = mid(facts.book), facts.instrument.tick_size
    if price is None:
        return ("fail", "no price to judge the tick by")
    share = tick / price
    good = 0 < share < TICK_SHARE_MAX
    return (
        "ok" if good else "fail",
        f"{facts.instrument.symbol}: tick {tick} is {share:.2E} of the price; accepted: above 0, below 1E-3",
    )


def _size(facts: VenueFacts, size: Decimal) -> _Judgement:
    instrument, price = facts.instrument, mid(facts.book)
    if price is None:
        return ("fail", "no price to judge the size by")
    if instrument.is_tradable(size, price) and size % instrument.lot_size == 0:
        return ("ok", f"{size} is {size * price:.2f} {instrument.quote}, lot {instrument.lot_size}")
    needed = max(instrument.min_quantity, instrument.min_notional / price)
    return ("fail", f"strategy.size {size}; accepted: a multiple of {instrument.lot_size}, at least {needed:.6f}")


def _exits(facts: VenueFacts, size: Decimal, bracket: BracketConfig) -> _Judgement:
    """The venue values an order at its price: a stop that sells at its worst one, a take-profit that buys below the entry."""
    instrument, price = facts.instrument, mid(facts.book)
    if price is None:
        return ("fail", "no price to judge the exits by")
    is_long = bracket.side == "BUY"
    least = (1 - bracket.stop_loss_pct / 100) * (1 - STOP_SLIPPAGE_BPS * BPS) if is_long else 1 - bracket.take_profit_pct / 100
    worth = size * price * least
    name = "stop" if is_long else "take-profit"
    if instrument.is_tradable(size, price * least):
        return ("ok", f"{name} {worth:.2f} {instrument.quote}")
    return ("fail", f"strategy.size {size}: its {name} is worth {worth:.2f}; accepted: {instrument.min_notional} and more")


def _clock(offset_ms: float) -> _Judgement:
    verdict: Verdict = "ok" if abs(offset_ms) <= CLOCK_OFFSET_MAX_MS else "fail"
    return (verdict, f"venue clock minus ours {offset_ms:+.0f} ms; accepted: within {CLOCK_OFFSET_MAX_MS:.0f} ms")


def _position(facts: VenueFacts, explained: Explained) -> _Judgement:
    """A position that the journal does not explain is somebody else's: it is never traded on, and never quoted on top of."""
    lot = facts.instrument.lot_size
    if abs(facts.position - explained.quantity) < lot + explained.slack:
        return ("ok", f"{facts.position} as expected")
    return ("fail", f"{facts.position}, but our own fills add up to {explained.quantity}; flatten it or start with its journal")


def _orders(facts: VenueFacts) -> _Judgement:
    if not facts.foreign_orders:
        return ("ok", "no foreign orders")
    return ("fail", f"orders that are not ours: {'; '.join(facts.foreign_orders[:3])}; cancel them first")


def _mids(maker: VenueFacts, hedge: VenueFacts, strategy: StrategyConfig) -> Check:
    name = f"{maker.instrument.venue}+{hedge.instrument.venue}"
    ours, theirs = mid(maker.book), mid(hedge.book)
    if ours is None or theirs is None:
        return Check(name, "mids", "fail", "a book is empty")
    rate = fx_rate(strategy.fx, hedge.instrument.quote, maker.instrument.quote)
    gap = abs(ours - rate * theirs) / ours
    return Check(
        name, "mids", "ok" if gap <= MID_GAP_MAX else "fail", f"{ours} and {theirs} differ by {gap / BPS:.1f} bps; accepted: 2 %"
    )


def _rate(maker: Instrument, hedge: Instrument, fx: dict[str, Decimal]) -> Check:
    """A pair that is misspelt would count as 1 without a word."""
    name, pairs = f"{maker.venue}+{hedge.venue}", (f"{hedge.quote}/{maker.quote}", f"{maker.quote}/{hedge.quote}")
    if hedge.quote != maker.quote and fx and not any(pair in fx for pair in pairs):
        return Check(name, "fx", "fail", f"strategy.fx names {', '.join(fx)}; accepted: {' or '.join(pairs)}, or nothing for 1")
    return Check(name, "fx", "ok", f"1 {hedge.quote} = {fx_rate(fx, hedge.quote, maker.quote):.6f} {maker.quote}")


def _common_size(maker: Instrument, hedge: Instrument, size: Decimal) -> Check:
    lot = max(maker.lot_size, hedge.lot_size)
    smaller = min(maker.lot_size, hedge.lot_size)
    name = f"{maker.venue}+{hedge.venue}"
    if maker.base != hedge.base:
        return Check(name, "lots", "fail", f"{maker.base} and {hedge.base} are different assets")
    if lot % smaller != 0 or size % lot != 0:
        return Check(name, "lots", "fail", f"strategy.size {size}; accepted: a multiple of the common lot {lot}")
    return Check(name, "lots", "ok", f"common lot {lot}")


def fx_rate(fx: dict[str, Decimal], source: str, target: str) -> Decimal:
    """Quote currency of the hedge venue into that of the maker venue; 1 where the configuration names none."""
    if source == target:
        return Decimal(1)
    direct = fx.get(f"{source}/{target}")
    if direct is not None:
        return direct
    inverse = fx.get(f"{target}/{source}")
    return 1 / inverse if inverse is not None else Decimal(1)
