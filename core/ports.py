"""What the shells need from the outside, as Protocols; adapters implement them, tests fake them in a few lines.

Every client method is called from one thread only, blocks for at most the lane's total deadline, and answers with events: no
exception leaves it for anything a network or a venue can do. A programming error may raise and crashes the actor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

from core.instrument import Instrument
from core.messages import (
    BookUpdated,
    CancelAll,
    CancelOrder,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    Message,
    PlaceOco,
    PlaceOrder,
    QueryOrder,
    RenewDeadMan,
)
from core.types import Channel, Fees, VenueId


class Capabilities(NamedTuple):
    """What the venue itself can do; docs/venues.md says how each was shown."""

    native_oco: bool
    """``TradeLane.place_oco`` is one request, and the venue ends the other order when one of them is triggered."""
    attached_tpsl: bool
    sibling_cancel_proven: bool
    dead_man_switch: bool
    cancel_by_client_id: bool
    query_by_client_id: bool
    """False: a lookup finds resting orders only and absence needs a fill scan."""
    amend: bool
    cancel_ttl_ms: int
    """How long a cancel by client id stays armed against a late create; 0 = no such feature."""
    submit_bound_s: float
    """After this many seconds from the send, the venue itself refuses the request (with skew and margin included); inf = never."""
    burst_s: float = 1.0
    """How many seconds' worth of its limits may leave at once: more than one where the venue counts over a longer window."""


class VenueRefused(Exception):
    """Set-up cannot go on: the message is one line for the operator (venue, what was asked, what it answered)."""


class VenueUnreachable(VenueRefused):
    """The venue has said nothing about it for good: not reached, no answer of its own, or too busy. Asking again may help."""

    def __init__(self, line: str, retry_after_s: float | None = None) -> None:
        """``retry_after_s``: the pause that it asks for, None = it names none."""
        super().__init__(line)
        self.retry_after_s = retry_after_s


class TradeLane(Protocol):
    """Orders and cancels of one venue. Each answer may carry reports that the venue put in its reply."""

    capabilities: Capabilities

    def place(self, order: PlaceOrder) -> tuple[Message, ...]:
        """Exactly one SubmitOutcome, then any OrderReported/FillReported; plus RateLimited on a 429."""
        ...

    def place_oco(self, pair: PlaceOco) -> tuple[Message, ...]:
        """Exactly one SubmitOutcome for each of the two, the stop's first; otherwise as ``place``. A venue that links no orders
        (``Capabilities.native_oco``) gets them one by one."""
        ...

    def cancel(self, command: CancelOrder) -> tuple[Message, ...]:
        """Exactly one CancelOutcome, then any reports."""
        ...

    def cancel_all(self, command: CancelAll) -> tuple[Message, ...]:
        """Empty on success, QueryFailed (query="CancelAll") otherwise; plus RateLimited on a 429."""
        ...

    def renew_dead_man(self, command: RenewDeadMan) -> tuple[Message, ...]:
        """Empty on success or where the venue has none; QueryFailed otherwise; plus RateLimited on a 429."""
        ...

    def close(self) -> None: ...


class QueryLane(Protocol):
    """Reads of one venue, on a connection of its own: a stuck read never delays an order."""

    def query_order(self, command: QueryOrder) -> tuple[Message, ...]:
        """OrderReported, or OrderNotFound, or QueryFailed; plus RateLimited on a 429."""
        ...

    def fetch_open_orders(self, command: FetchOpenOrders) -> tuple[Message, ...]: ...

    def fetch_fills(self, command: FetchFills) -> tuple[Message, ...]: ...

    def fetch_position(self, command: FetchPosition) -> tuple[Message, ...]:
        """PositionReported (0 only where the venue positively says flat) or QueryFailed."""
        ...

    def fetch_book(self, symbol: str) -> BookUpdated | None:
        """Best 20 levels by REST, for the fallback; None when the read failed."""
        ...

    def close(self) -> None: ...


class Stream(Protocol):
    """One WebSocket, owned by the one thread that calls ``poll``: it connects, logs in, subscribes, checks and reconnects
    within ``poll``; waiting never takes longer than ``timeout_s``."""

    channel: Channel

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """The events of at most a batch of frames: FeedChanged first when the state changed, then data in wire order."""
        ...

    def resync(self, reason: str) -> None:
        """Build the state anew from the next ``poll`` on."""
        ...

    def vitals(self) -> StreamVitals:
        """Readable from any thread without a lock."""
        ...

    def abort(self) -> None:
        """Called by another thread: shut the socket down so that a blocked poll returns within milliseconds."""
        ...

    def close(self) -> None:
        """Called by the owning thread."""
        ...


class StreamVitals(NamedTuple):
    state: str
    last_frame_at: float
    reconnects: int
    gaps: int
    frames: int
    rejected: int


class AccountInfo(NamedTuple):
    """What the preflight needs to know of one account."""

    can_trade: bool
    detail: str


class VenueSetup(Protocol):
    """Calls made once, before any actor runs; each raises VenueRefused with a line that names the place, VenueUnreachable where only
    the asking failed."""

    venue: VenueId

    def resolve(self, ticker: str) -> Instrument: ...

    def fees(self, instrument: Instrument) -> Fees: ...

    def clock_offset_ms(self) -> float:
        """Venue clock minus ours, by the best of a few samples."""
        ...

    def account(self) -> AccountInfo: ...

    def book(self, instrument: Instrument) -> BookUpdated: ...

    def position(self, instrument: Instrument) -> Decimal: ...

    def open_orders(self, instrument: Instrument) -> Sequence[Message]: ...


class Venue(Protocol):
    """One venue, as the composition sees it: the factory of its lanes and streams. Adapters expose it as ``open_venue(...)``."""

    name: VenueId
    setup: VenueSetup
    limits: Mapping[str, float]
    """Requests per second by the venue's own classes, overrides applied."""

    @property
    def capabilities(self) -> Capabilities:
        """What the set-up measures is in it once the set-up has been asked."""
        ...

    def clock_offset_ms(self) -> float:
        """Venue clock minus ours as signatures carry it now; from any thread, nothing is asked."""
        ...

    def trade_lane(self, instrument: Instrument) -> TradeLane: ...

    def query_lane(self, instrument: Instrument) -> QueryLane: ...

    def market_stream(self, instrument: Instrument) -> Stream: ...

    def account_stream(self, instrument: Instrument) -> Stream: ...


class Journal(Protocol):
    """The write-ahead record. ``record_intent`` is durable when it returns and raises JournalFailed otherwise."""

    def record_intent(self, order: PlaceOrder, epoch: int) -> None: ...

    def note(self, message: Message) -> None:
        """Answers, fills, terminal states: kept in order, durable with the next intent or flush."""
        ...

    def flush(self) -> None: ...

    def lease_client_ids(self, count: int) -> tuple[int, int]: ...


class JournalFailed(Exception):
    """The intent is not durable: nothing may be sent."""
