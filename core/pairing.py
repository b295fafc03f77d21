"""Which hedge covered which maker fill, and what the pair earned.

Fills are matched first in, first out against open fills of the opposite direction. It decides nothing: the exposure that is hedged is
the hedge planner's business, so an error here can cost a report but never a trade. Quantities and money are conserved: what was
filled is open or in rows, and the rows add up to the result. A stranger's fill is hedged like one of ours, so it is matched like one;
what strangers do among themselves is not ours to report.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeVar

import msgspec

from core.messages import AttemptStarted, BookLost, BookUpdated, FillRecorded, FillReported, OrderSnapshot, OrderSubmitted
from core.types import BPS, ZERO, ClientOrderId, Role, Side, VenueId

PairPhase = Literal["BUILD", "UNWIND", "REPAIR", "STRANGER"]
PairEvent = AttemptStarted | OrderSubmitted | BookUpdated | BookLost | FillRecorded

_K = TypeVar("_K")
_V = TypeVar("_V")
_ONE = Decimal(1)
_ATTEMPTS_REMEMBERED = 64
_REFERENCES_REMEMBERED = 1_000


class PairRow(msgspec.Struct, frozen=True, kw_only=True):
    """A maker fill, or part of one, and what covered it. ``side`` is the maker's.

    Money is in the maker venue's quote currency, but ``hedge_vwap`` and ``taker_fee`` in that of ``cover_venue``; ``fx`` converts
    (STRATEGY: edge on the maker price). ``fill_to_hedge_ms`` is negative where the cover was seen first. ``slippage_bps``: cover price
    against its order's reference price, positive = worse; None, like ``basis_bps``, where it was not known. ``cover_role`` MAKER: two
    maker fills of opposite sides that met each other. REPAIR rows pair two fills of which neither is a maker's: an overshoot and its
    correction. STRANGER rows have somebody else's fill (a hand's, a liquidation) in the maker's place, without a cycle, and ours as cover.
    """

    cycle_id: int
    phase: PairPhase
    side: Side
    quantity: Decimal
    maker_venue: VenueId
    maker_price: Decimal
    cover_venue: VenueId
    cover_role: Role
    cover_cycle_id: int
    hedge_vwap: Decimal
    fx: Decimal
    basis_bps: Decimal | None
    edge_bps: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    net_usd: Decimal
    net_bps: Decimal
    fill_to_hedge_ms: int
    slippage_bps: Decimal | None
    at: float


@dataclass(slots=True)
class _Lot:
    """What is left of one fill. ``fee_left`` shrinks with it, so that the parts add up to the fee exactly. ``role`` None: a stranger's."""

    role: Role | None
    venue: VenueId
    side: Side
    price: Decimal
    left: Decimal
    fee_left: Decimal
    cycle_id: int
    received_at: float
    basis_bps: Decimal | None
    slippage_bps: Decimal | None

    def take(self, quantity: Decimal) -> Decimal:
        """Remove a part and return its share of the fee."""
        fee = self.fee_left if quantity == self.left else self.fee_left * quantity / self.left
        self.left -= quantity
        self.fee_left -= fee
        return fee


class PairLedger:
    """``fx``: quote of the maker venue per quote of the hedge venue (USDC -> USDT)."""

    def __init__(self, *, maker_venue: VenueId, hedge_venue: VenueId, fx: Decimal = _ONE) -> None:
        self._maker_venue = maker_venue
        self._hedge_venue = hedge_venue
        self._fx = {maker_venue: _ONE, hedge_venue: fx}
        self._open: deque[_Lot] = deque()
        self._mids: dict[VenueId, Decimal] = {}
        self._attempts: dict[tuple[int, Side], AttemptStarted] = {}
        self._references: dict[ClientOrderId, Decimal] = {}

    @property
    def exposure(self) -> Decimal:
        """Signed base quantity of all fills that nothing covers yet."""
        return sum((lot.side.sign * lot.left for lot in self._open), ZERO)

    @property
    def open_quantity(self) -> Decimal:
        """Base quantity of maker fills that nothing covers yet."""
        return sum((lot.left for lot in self._open if lot.role is Role.MAKER), ZERO)

    def resume(self, fills: Iterable[FillRecorded]) -> None:
        """Hold what these fills, of which all rows are known, have left open, and nothing else."""
        self._open.clear()
        for fill in fills:
            self.handle(fill)

    def handle(self, event: PairEvent) -> tuple[PairRow, ...]:
        """The rows that this event completes."""
        match event:
            case FillRecorded(fill=fill, order=order):
                return self._fill(self._lot(fill, order), event.at)
            case AttemptStarted(cycle_id=cycle_id, side=side):
                _remember(self._attempts, (cycle_id, side), event, _ATTEMPTS_REMEMBERED)
            case OrderSubmitted(order=submitted) if submitted.role is not Role.MAKER:
                _remember(self._references, submitted.client_order_id, submitted.reference_price, _REFERENCES_REMEMBERED)
            case BookUpdated(venue=venue, bids=bids, asks=asks) if bids and asks:
                self._mids[venue] = (bids[0].price + asks[0].price) / 2
            case BookUpdated(venue=venue) | BookLost(venue=venue):
                self._mids.pop(venue, None)
            case _:
                pass
        return ()

    def _fill(self, lot: _Lot, at: float) -> tuple[PairRow, ...]:
        rows = []
        while lot.left > 0 and self._open and self._open[0].side is not lot.side:
            earlier = self._open[0]
            quantity = min(earlier.left, lot.left)
            if earlier.role is None and lot.role is None:
                earlier.take(quantity)
                lot.take(quantity)
            else:
                rows.append(self._pair(earlier, lot, quantity, at))
            if not earlier.left:
                self._open.popleft()
        if lot.left > 0:
            self._open.append(lot)
        return tuple(rows)

    def _lot(self, fill: FillReported, order: OrderSnapshot | None) -> _Lot:
        is_maker = order is not None and order.role is Role.MAKER
        cycle_id = order.cycle_id if order is not None else 0
        return _Lot(
            role=order.role if order is not None else None,
            venue=fill.venue,
            side=fill.side,
            price=fill.price,
            left=fill.quantity,
            fee_left=fill.fee,
            cycle_id=cycle_id,
            received_at=fill.received_at,
            basis_bps=self._basis_bps(cycle_id, fill.side) if is_maker else None,
            slippage_bps=self._slippage_bps(order.client_order_id, fill.side, fill.price) if order is not None else None,
        )

    def _pair(self, earlier: _Lot, later: _Lot, quantity: Decimal, at: float) -> PairRow:
        maker, cover = (later, earlier) if _rank(later) < _rank(earlier) else (earlier, later)
        assert cover.role is not None, "strangers among themselves make no row"
        maker_x, cover_x = self._fx[maker.venue], self._fx[cover.venue]
        maker_value, cover_value = maker.price * maker_x, cover.price * cover_x
        gain = maker.side.sign * (cover_value - maker_value)
        maker_fee, cover_fee = maker.take(quantity) * maker_x, cover.take(quantity)
        net = quantity * gain - maker_fee - cover_fee * cover_x
        return PairRow(
            cycle_id=maker.cycle_id,
            phase=self._phase(maker),
            side=maker.side,
            quantity=quantity,
            maker_venue=maker.venue,
            maker_price=maker.price,
            cover_venue=cover.venue,
            cover_role=cover.role,
            cover_cycle_id=cover.cycle_id,
            hedge_vwap=cover.price,
            fx=cover_x,
            basis_bps=maker.basis_bps,
            edge_bps=gain / maker_value / BPS,
            maker_fee=maker_fee,
            taker_fee=cover_fee,
            net_usd=net,
            net_bps=net / (quantity * maker_value) / BPS,
            fill_to_hedge_ms=round((cover.received_at - maker.received_at) * 1000),
            slippage_bps=cover.slippage_bps,
            at=at,
        )

    def _phase(self, maker: _Lot) -> PairPhase:
        """Of the attempt that the fill belongs to; a fill from before a restart, whose attempt is not known, counts as BUILD."""
        if maker.role is None:
            return "STRANGER"
        if maker.role is Role.ENTRY:
            return "BUILD"
        if maker.role is not Role.MAKER:
            return "REPAIR"
        attempt = self._attempts.get((maker.cycle_id, maker.side))
        return attempt.phase if attempt is not None else "BUILD"

    def _basis_bps(self, cycle_id: int, side: Side) -> Decimal | None:
        """Maker mid over hedge mid at this moment, in bps of the maker mid; without both books, that of the attempt's start."""
        maker, hedge = self._mids.get(self._maker_venue), self._mids.get(self._hedge_venue)
        if maker and hedge:
            return (maker - hedge * self._fx[self._hedge_venue]) / maker / BPS
        attempt = self._attempts.get((cycle_id, side))
        return attempt.basis_bps if attempt is not None else None

    def _slippage_bps(self, client_order_id: ClientOrderId, side: Side, price: Decimal) -> Decimal | None:
        reference = self._references.get(client_order_id)
        return side.sign * (price - reference) / reference / BPS if reference else None


def _rank(lot: _Lot) -> int:
    """Whose place is the maker's: a stranger's, else the maker's, else the earlier one's."""
    return 0 if lot.role is None else 1 if lot.role is Role.MAKER else 2


def _remember(memory: dict[_K, _V], key: _K, value: _V, limit: int) -> None:
    memory[key] = value
    if len(memory) > limit:
        del memory[next(iter(memory))]
