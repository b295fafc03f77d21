"""The leg orders of one OCO pair: which are alive, what they cover, which are more than is needed. It decides nothing and sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from core.messages import OrderSnapshot
from core.types import ZERO, ClientOrderId, OrderState, Role

UNKNOWN_PATIENCE_S = 0.6
"""An order of unknown outcome covers for so long: the first lookups happen within it, a stop that nobody has seen protects nothing."""
DOUBT_S = 10.0
"""After a restart, an unknown outcome or a cancel under way a cancel that is seen may have been our own."""
ON_REQUEST = frozenset({"", "USER_CANCELED", "CLIENT_CANCEL", "CLIENT_BULK_CANCEL"})
"""Reasons of a cancel that somebody asked for: a person, where it was not us (apex.md §3, grvt.md §3; the other venues give none)."""
_STANDING = (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)


class Leg:
    """What the pair knows and did about one leg order; the facts are in the snapshot. Times are monotonic seconds, None = never."""

    __slots__ = (
        "_cancels",
        "cancel_due_at",
        "cancel_sent_at",
        "doubted_at",
        "ended_at",
        "is_judged",
        "order",
        "stood_at",
        "unknown_since",
    )

    def __init__(self, order: OrderSnapshot) -> None:
        self.order = order
        self.cancel_sent_at: float | None = None
        self._cancels = 0
        self.cancel_due_at = 0.0
        self.doubted_at: float | None = None
        self.unknown_since: float | None = None
        self.stood_at: float | None = None
        self.ended_at: float | None = None
        self.is_judged = False

    def follow(self, order: OrderSnapshot, now: float) -> None:
        self.order = order
        is_unknown = order.state is OrderState.UNKNOWN
        if is_unknown or order.state is OrderState.PENDING_CANCEL:
            self.doubted_at = now
        self.unknown_since = None if not is_unknown else now if self.unknown_since is None else self.unknown_since
        if order.state in _STANDING and self.stood_at is None:
            self.stood_at = now
        if not order.is_closed:
            self.ended_at, self.is_judged = None, False
        elif self.ended_at is None:
            self.ended_at = now

    def asked_to_cancel(self, now: float, pauses_s: Sequence[float]) -> None:
        self.cancel_sent_at = now if self.cancel_sent_at is None else self.cancel_sent_at
        self.cancel_due_at = now + pauses_s[min(self._cancels, len(pauses_s) - 1)]
        self._cancels += 1

    @property
    def is_open(self) -> bool:
        return not self.order.is_closed

    @property
    def is_standing(self) -> bool:
        """Known to the venue, able to fill, and meant to stay."""
        return self.order.state in _STANDING and self.cancel_sent_at is None

    @property
    def was_cancelled_on_request(self) -> bool:
        return self.order.state is OrderState.CANCELED and self.order.reason in ON_REQUEST

    @property
    def is_refused_link(self) -> bool:
        """Refused before it ever stood, as one of a pair that the venue was to link: this leg alone may well be taken."""
        return self.order.linked_to is not None and self.order.state is OrderState.REJECTED and self.stood_at is None

    @property
    def is_in_flight(self) -> bool:
        return self.order.state in (OrderState.INITIALIZED, OrderState.SUBMITTED) and self.cancel_sent_at is None

    def counts(self, now: float) -> bool:
        """Whether it may be relied upon to cover: an order on its way does, one of unknown outcome for a moment only."""
        if not self.is_open or self.cancel_sent_at is not None:
            return False
        return self.unknown_since is None or now - self.unknown_since < UNKNOWN_PATIENCE_S

    def was_doubted(self, now: float) -> bool:
        return self.doubted_at is not None and now - self.doubted_at < DOUBT_S

    @property
    def cover(self) -> Decimal:
        return self.order.pending_quantity

    @property
    def unseen(self) -> Decimal:
        """Quantity the venue says has filled, of which the fills are still to come."""
        return max(self.order.filled_quantity - self.order.recorded_quantity, ZERO)


class Legs:
    """All legs that are not settled yet, by client order id."""

    def __init__(self) -> None:
        self._legs: dict[ClientOrderId, Leg] = {}

    def __iter__(self) -> Iterator[Leg]:
        return iter(self._legs.values())

    def add(self, order: OrderSnapshot) -> Leg:
        leg = self._legs[order.client_order_id] = Leg(order)
        return leg

    def get(self, client_order_id: ClientOrderId) -> Leg | None:
        return self._legs.get(client_order_id)

    def drop(self, client_order_id: ClientOrderId) -> None:
        self._legs.pop(client_order_id, None)

    def of(self, role: Role) -> list[Leg]:
        """The open ones."""
        return [leg for leg in self if leg.is_open and leg.order.role is role]

    def sibling(self, leg: Leg) -> Leg | None:
        """The open leg that the venue ends together with this one."""
        found = self._legs.get(leg.order.linked_to) if leg.order.linked_to is not None else None
        return found if found is not None and found.is_open else None

    def free(self, legs: Iterable[Leg]) -> list[Leg]:
        """Those that can be cancelled alone."""
        return [leg for leg in legs if self.sibling(leg) is None]

    def with_siblings(self, legs: Iterable[Leg]) -> list[Leg]:
        """A cancel of one is a cancel of both: these, and what the venue ends with them."""
        found = {leg.order.client_order_id: leg for leg in legs}
        siblings = [sibling for leg in found.values() if (sibling := self.sibling(leg)) is not None]
        return [*found.values(), *(each for each in siblings if each.order.client_order_id not in found)]

    def is_judging(self, role: Role, *, since: float = float("-inf")) -> bool:
        """Whether a leg of this role has ended after ``since`` and nobody has said yet what that means."""
        ended = (leg.ended_at for leg in self if leg.order.role is role and not leg.is_open and not leg.is_judged)
        return any(at is None or at > since for at in ended)

    @property
    def is_any_open(self) -> bool:
        return any(leg.is_open for leg in self)

    @property
    def unseen(self) -> Decimal:
        return sum((leg.unseen for leg in self), ZERO)

    def sold_unseen(self, now: float, patience_s: float) -> Decimal:
        """``unseen`` of the legs that ended less than ``patience_s`` ago."""
        fresh = (leg for leg in self if not leg.is_open and leg.ended_at is not None and now - leg.ended_at < patience_s)
        return sum((leg.unseen for leg in fresh), ZERO)

    def forget_settled(self) -> None:
        for key in [key for key, leg in self._legs.items() if leg.is_judged and not leg.is_open and leg.cover == 0]:
            del self._legs[key]


def cover_of(legs: Iterable[Leg]) -> Decimal:
    return sum((leg.cover for leg in legs), ZERO)


def keepers(stops: Iterable[Leg], held: Decimal) -> list[Leg]:
    """The standing stops that cover ``held`` with the least excess: the smallest single one that suffices, else all; [] if they do not."""
    standing = [leg for leg in stops if leg.is_standing]
    single = min((leg for leg in standing if leg.cover >= held), key=lambda leg: leg.cover, default=None)
    if single is not None:
        return [single]
    return standing if cover_of(standing) >= held else []
