"""How large a quote may be: the lots and minimums of both venues, the limits, what the hedge book takes.

What both venues hold against each other in less than one of them trades is carried: the next build of the other side works it off.
"""

from __future__ import annotations

from decimal import Decimal

from core.exposure import ExposureLedger
from core.instrument import Instrument
from core.messages import BookUpdated
from core.quote_policy import Market, QuoteSettings, hedgeable_quantity
from core.types import ZERO, Side


class QuoteSizes:
    """Base quantities, always such as both venues can trade; zero where that is none. ``book``: the maker venue's."""

    def __init__(self, maker: Instrument, hedge: Instrument, settings: QuoteSettings) -> None:
        self._maker = maker
        self._hedge = hedge
        self._settings = settings
        self.lot = max(maker.lot_size, hedge.lot_size)

    def quotable(self, quantity: Decimal, book: BookUpdated | None) -> Decimal:
        """Largest quantity both venues accept, worth what our bid would pay."""
        rounded = self._lots(quantity)
        return rounded if book is not None and book.bids and self._is_tradable(rounded, book) else ZERO

    def unwindable(self, ledger: ExposureLedger, book: BookUpdated | None) -> Decimal:
        """What both venues hold against each other and an order can close; without a price, whatever lots can."""
        maker, hedge = ledger.position(self._maker.venue), ledger.position(self._hedge.venue)
        held = self._lots(min(abs(maker), abs(hedge))) if maker * hedge < 0 else ZERO
        return held if book is None or not book.bids or self._is_tradable(held, book) else ZERO

    def unwind(self, ledger: ExposureLedger, book: BookUpdated, closing: Side) -> Decimal:
        return self.quotable(min(self._settings.size, self.unwindable(ledger, book), self._delta_room(ledger, closing)), book)

    def build(self, ledger: ExposureLedger, market: Market, side: Side) -> Decimal:
        """Bounded by the configured size, the limits, and what the hedge book can take."""
        depth = hedgeable_quantity(market, side, self._settings)
        return self.quotable(min(self._settings.size, depth, self._room(ledger, side)), market.maker)

    def has_room(self, ledger: ExposureLedger, book: BookUpdated, side: Side) -> bool:
        """Whether the limits leave room for a build of this side; the hedge book is another matter."""
        return self.quotable(min(self._settings.size, self._room(ledger, side)), book) > 0

    def is_hedgeable(self, exposure: Decimal, book: BookUpdated) -> bool:
        """Whether the hedge venue, whose book this is, trades so little."""
        return self._hedge.is_tradable(self._hedge.quantity_down(abs(exposure)), book.bids[0].price)

    def _room(self, ledger: ExposureLedger, side: Side) -> Decimal:
        """A build against what is carried makes room for itself."""
        limit = self._settings.max_position
        maker = limit - side.sign * ledger.position(self._maker.venue)
        hedge = limit + side.sign * ledger.position(self._hedge.venue)
        return min(maker, hedge, self._delta_room(ledger, side))

    def _delta_room(self, ledger: ExposureLedger, side: Side) -> Decimal:
        """What the delta bound leaves for a quote of this side beside the dust that is carried."""
        return self._settings.max_delta - max(side.sign * ledger.net, ZERO)

    def _lots(self, quantity: Decimal) -> Decimal:
        return (quantity // self.lot) * self.lot if quantity > 0 else ZERO

    def _is_tradable(self, quantity: Decimal, book: BookUpdated) -> bool:
        return all(venue.is_tradable(quantity, book.bids[0].price) for venue in (self._maker, self._hedge))
