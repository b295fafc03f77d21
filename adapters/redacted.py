"""A venue whose refusals have lost every credential that they quote, before anybody notes, prints or journals them.

It changes nothing but the ``reason`` of an answer and the line of a VenueRefused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec

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
from core.ports import AccountInfo, Capabilities, QueryLane, Stream, TradeLane, Venue, VenueRefused, VenueSetup, VenueUnreachable
from core.types import Fees, VenueId

T = TypeVar("T")
Redact = Callable[[str], str]


class RedactedVenue:
    """The streams are the venue's own: their reasons are words of its protocol."""

    def __init__(self, venue: Venue, redact: Redact) -> None:
        self._venue = venue
        self._redact = redact
        self.name: VenueId = venue.name
        self.setup: VenueSetup = _Setup(venue.setup, redact)
        self.limits: Mapping[str, float] = venue.limits
        self.clock_offset_ms = venue.clock_offset_ms

    @property
    def capabilities(self) -> Capabilities:
        return self._venue.capabilities

    def trade_lane(self, instrument: Instrument) -> TradeLane:
        return _Trade(self._venue.trade_lane(instrument), self._redact)

    def query_lane(self, instrument: Instrument) -> QueryLane:
        return _Query(self._venue.query_lane(instrument), self._redact)

    def market_stream(self, instrument: Instrument) -> Stream:
        return self._venue.market_stream(instrument)

    def account_stream(self, instrument: Instrument) -> Stream:
        return self._venue.account_stream(instrument)


class _Setup:
    def __init__(self, setup: VenueSetup, redact: Redact) -> None:
        self._setup = setup
        self._redact = redact
        self.venue = setup.venue

    def resolve(self, ticker: str) -> Instrument:
        return self._ask(lambda: self._setup.resolve(ticker))

    def fees(self, instrument: Instrument) -> Fees:
        return self._ask(lambda: self._setup.fees(instrument))

    def clock_offset_ms(self) -> float:
        return self._ask(self._setup.clock_offset_ms)

    def account(self) -> AccountInfo:
        return self._ask(self._setup.account)

    def book(self, instrument: Instrument) -> BookUpdated:
        return self._ask(lambda: self._setup.book(instrument))

    def position(self, instrument: Instrument) -> Decimal:
        return self._ask(lambda: self._setup.position(instrument))

    def open_orders(self, instrument: Instrument) -> Sequence[Message]:
        return self._ask(lambda: self._setup.open_orders(instrument))

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except VenueUnreachable as failure:
            raise VenueUnreachable(self._redact(str(failure)), failure.retry_after_s) from None
        except VenueRefused as refusal:
            raise VenueRefused(self._redact(str(refusal))) from None


class _Trade:
    def __init__(self, lane: TradeLane, redact: Redact) -> None:
        self._lane = lane
        self._redact = redact
        self.capabilities = lane.capabilities

    def place(self, order: PlaceOrder) -> tuple[Message, ...]:
        return _cleaned(self._lane.place(order), self._redact)

    def place_oco(self, pair: PlaceOco) -> tuple[Message, ...]:
        return _cleaned(self._lane.place_oco(pair), self._redact)

    def cancel(self, command: CancelOrder) -> tuple[Message, ...]:
        return _cleaned(self._lane.cancel(command), self._redact)

    def cancel_all(self, command: CancelAll) -> tuple[Message, ...]:
        return _cleaned(self._lane.cancel_all(command), self._redact)

    def renew_dead_man(self, command: RenewDeadMan) -> tuple[Message, ...]:
        return _cleaned(self._lane.renew_dead_man(command), self._redact)

    def close(self) -> None:
        self._lane.close()


class _Query:
    def __init__(self, lane: QueryLane, redact: Redact) -> None:
        self._lane = lane
        self._redact = redact

    def query_order(self, command: QueryOrder) -> tuple[Message, ...]:
        return _cleaned(self._lane.query_order(command), self._redact)

    def fetch_open_orders(self, command: FetchOpenOrders) -> tuple[Message, ...]:
        return _cleaned(self._lane.fetch_open_orders(command), self._redact)

    def fetch_fills(self, command: FetchFills) -> tuple[Message, ...]:
        return _cleaned(self._lane.fetch_fills(command), self._redact)

    def fetch_position(self, command: FetchPosition) -> tuple[Message, ...]:
        return _cleaned(self._lane.fetch_position(command), self._redact)

    def fetch_book(self, symbol: str) -> BookUpdated | None:
        return self._lane.fetch_book(symbol)

    def close(self) -> None:
        self._lane.close()


def _cleaned(events: tuple[Message, ...], redact: Redact) -> tuple[Message, ...]:
    return tuple(_clean(event, redact) for event in events)


def _clean(event: Message, redact: Redact) -> Message:
    reason = getattr(event, "reason", "")
    return msgspec.structs.replace(event, reason=redact(reason)) if reason else event
