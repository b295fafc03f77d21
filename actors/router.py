"""Delivers messages by the routing table (core/routing.py); the only place where names become addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.mailbox import Address, Addresses
from core.messages import ClientIdsLeased, LedgerRequested, LedgerSnapshot, Message, Resync
from core.routing import CLERK, recipients
from core.types import VenueId

_BY_CONTENT = (ClientIdsLeased, LedgerSnapshot, LedgerRequested, Resync)


class Router:
    """One per sender. Calling it tells every recipient in the table's order and never raises for a recipient that is down."""

    def __init__(
        self,
        addresses: Addresses,
        venues: Sequence[VenueId],
        clerk: str,
        sender: str,
        aliases: Mapping[str, str | None] | None = None,
    ) -> None:
        """``aliases``: names of the table that another actor has in this kind of run; None: nobody has."""
        self._addresses = addresses
        self._venues = tuple(venues)
        self._sender = sender
        self._aliases = {CLERK: clerk, **(aliases or {})}
        self._cache: dict[tuple[type[Message], str], tuple[Address, ...]] = {}

    def __call__(self, message: Message) -> None:
        for address in self._resolve(message):
            address.tell(message)

    def _resolve(self, message: Message) -> tuple[Address, ...]:
        if isinstance(message, _BY_CONTENT):
            return self._look_up(message)
        key = (type(message), getattr(message, "venue", ""))
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._look_up(message)
        return found

    def _look_up(self, message: Message) -> tuple[Address, ...]:
        names = recipients(message, self._venues, sender=self._sender)
        known = (self._aliases.get(name, name) for name in names)
        return tuple(self._addresses.of(name) for name in known if name is not None)
