"""The words every other module speaks: identifiers, enums and small values.

Decimals stand for every price, quantity and fee; floats only ever carry seconds.
"""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Literal, NamedTuple, NewType

VenueId = NewType("VenueId", str)
ClientOrderId = NewType("ClientOrderId", int)
"""Our own order number: drawn from the journaled counter, unique for ever. Adapters map it to the venue's id space."""
VenueOrderId = NewType("VenueOrderId", str)
TradeId = NewType("TradeId", str)

ZERO = Decimal(0)
BPS = Decimal("0.0001")


class Side(enum.Enum):
    """Direction of an order or a fill."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> Literal[1, -1]:
        """+1 for BUY, -1 for SELL: what one unit does to the signed position."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY

    @staticmethod
    def of(signed_quantity: Decimal) -> Side:
        """The side whose fill has the sign of ``signed_quantity``; zero is an error."""
        if signed_quantity == 0:
            raise ValueError("zero quantity has no side")
        return Side.BUY if signed_quantity > 0 else Side.SELL


class OrderState(enum.Enum):
    """Life of an order; the venues' own words map to these at the parser (core/order.py holds the transitions)."""

    INITIALIZED = "INITIALIZED"
    DENIED = "DENIED"
    SUBMITTED = "SUBMITTED"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class TimeInForce(enum.Enum):
    GTC = "GTC"
    IOC = "IOC"


class Liquidity(enum.Enum):
    MAKER = "MAKER"
    TAKER = "TAKER"


class Role(enum.Enum):
    """Why an order exists; the journal and ``fills.csv`` carry it in lower case."""

    MAKER = "maker"
    HEDGE = "hedge"
    UNWIND = "unwind"
    ENTRY = "entry"
    TP = "tp"
    SL = "sl"
    REPAIR = "repair"


class Source(enum.Enum):
    """Which path told us: the stream, a REST answer, or the reconciliation at start."""

    WS = "ws"
    REST = "rest"
    RECOVERY = "recovery"


class Channel(enum.Enum):
    MARKET = "market"
    ACCOUNT = "account"


class FeedState(enum.Enum):
    """Connected, subscribed, synced and fresh told apart: only LIVE may carry a decision."""

    CONNECTING = "CONNECTING"
    SYNCING = "SYNCING"
    LIVE = "LIVE"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"


class TradingState(enum.Enum):
    """ACTIVE quotes and hedges; REDUCING only cancels and reduces; HALTED only cancels."""

    STARTING = "STARTING"
    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"
    STOPPING = "STOPPING"


class Priority(enum.IntEnum):
    """Admission classes of the rate limiter, most urgent first."""

    P0 = 0  # hedge, cancel, OCO sibling
    P1 = 1  # status of an unknown order
    P2 = 2  # quotes
    P3 = 3  # audits, polls, books


class Level(NamedTuple):
    """One price level of a book: price in quote per base, quantity in base."""

    price: Decimal
    quantity: Decimal


class Fees(NamedTuple):
    """Signed fee rates as fractions of notional (0.0005 = 5 bps); negative = rebate."""

    maker: Decimal
    taker: Decimal
