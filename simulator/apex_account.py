"""The account behind the ApeX face: a long and a short row per symbol, fills with their settlement state, profit (apex.md §3).

Must never match or change an order: it is told of fills as they pass the venue's checks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

from core.types import ZERO, Side
from simulator.apex_orders import ApexOrder, Tally
from simulator.exchange import AccountFill

FillStatus: TypeAlias = Literal[
    "PENDING_CENSORING", "SUCCESS", "SUCCESS_L2_APPROVED", "FAILED_CENSOR_FAILURE", "FAILED_L2_REJECTED"
]
PositionSide: TypeAlias = Literal["LONG", "SHORT"]


@dataclass(eq=False)
class ApexFill:
    """One execution of ours; ``fill`` is the exchange's record of it."""

    fill: AccountFill
    order: ApexOrder
    is_closing: bool
    updated_at: float
    status: FillStatus = "PENDING_CENSORING"


@dataclass(eq=False)
class PositionRow:
    """One side of one symbol; flat rows stay, with size 0."""

    symbol: str
    side: PositionSide
    updated_at: float
    size: Decimal = ZERO
    entry_price: Decimal = ZERO
    exit_price: Decimal = ZERO
    realized: Decimal = ZERO
    opened: Tally = field(default_factory=Tally)
    closed: Tally = field(default_factory=Tally)

    @property
    def sign(self) -> Literal[1, -1]:
        return 1 if self.side == "LONG" else -1

    def open(self, size: Decimal, price: Decimal, fee: Decimal) -> None:
        """Grows at average cost."""
        self.entry_price = (self.size * self.entry_price + size * price) / (self.size + size)
        self.size += size
        self.opened.add(size, price, fee)

    def close(self, size: Decimal, price: Decimal, fee: Decimal) -> None:
        """Shrinks at profit; ``size`` is at most what is held."""
        self.realized += (price - self.entry_price) * size * self.sign
        self.exit_price = price
        self.size -= size
        self.closed.add(size, price, fee)

    def unrealized(self, mark: Decimal) -> Decimal:
        """Profit in quote at ``mark``."""
        return (mark - self.entry_price) * self.size * self.sign


class ApexAccount:
    """Positions and fills; a fill counts from the moment it passed censoring."""

    def __init__(self, symbols: Iterable[str], collateral: Decimal, now: float) -> None:
        self._collateral = collateral
        self.rows: dict[tuple[str, PositionSide], PositionRow] = {}
        for symbol in symbols:
            self.rows[symbol, "LONG"] = PositionRow(symbol, "LONG", now)
            self.rows[symbol, "SHORT"] = PositionRow(symbol, "SHORT", now)
        self.fills: list[ApexFill] = []

    def net(self, symbol: str) -> Decimal:
        """Signed position, base."""
        return self.rows[symbol, "LONG"].size - self.rows[symbol, "SHORT"].size

    def is_closing(self, symbol: str, side: Side) -> bool:
        """Whether a fill of that side reduces what is held."""
        return self.net(symbol) * side.sign < 0

    def apply(self, symbol: str, side: Side, size: Decimal, price: Decimal, fee: Decimal, now: float) -> list[PositionRow]:
        """Closes the other side first, opens this one with the rest; both rows of the symbol, as a frame tells them."""
        own, other = self._sides(symbol, side)
        closing = min(size, other.size)
        if closing:
            other.close(closing, price, fee * closing / size)
        if size > closing:
            own.open(size - closing, price, fee * (size - closing) / size)
        own.updated_at = other.updated_at = now
        return [self.rows[symbol, "LONG"], self.rows[symbol, "SHORT"]]

    def equity(self, marks: dict[str, Decimal]) -> Decimal:
        """Collateral, profit realized and not, less fees."""
        equity = self._collateral
        for row in self.rows.values():
            equity += row.realized - row.opened.fee - row.closed.fee
            equity += row.unrealized(marks.get(row.symbol, row.entry_price))
        return equity

    def _sides(self, symbol: str, side: Side) -> tuple[PositionRow, PositionRow]:
        long, short = self.rows[symbol, "LONG"], self.rows[symbol, "SHORT"]
        return (long, short) if side is Side.BUY else (short, long)
