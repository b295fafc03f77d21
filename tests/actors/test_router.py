"""Messages to addresses: by the table, by content, and never with an exception."""

from __future__ import annotations

from typing import Any, cast

import pytest

from actors.mailbox import Addresses
from actors.router import Router
from core.messages import CancelOrder, ClientIdsLeased, LeaseClientIds, LedgerSnapshot, Message, Stop
from core.routing import ROUTES
from tests.actors.fakes import BACKPACK, GRVT, cancel

VENUES = (GRVT, BACKPACK)


class Everybody:
    """Every address of the table has a listener that keeps (name, message)."""

    def __init__(self, *names: str) -> None:
        self.addresses = Addresses()
        self.heard: list[tuple[str, Message]] = []
        for name in names:
            self.addresses.register(name, cast(Any, _Listener(name, self.heard)), 1)

    def router(self, sender: str = "hedger", aliases: dict[str, str | None] | None = None) -> Router:
        return Router(self.addresses, VENUES, "order_gateway.grvt", sender, aliases)


class _Listener:
    def __init__(self, name: str, heard: list[tuple[str, Message]]) -> None:
        self._name, self._heard = name, heard

    def tell(self, message: Message) -> None:
        self._heard.append((self._name, message))


def test_a_command_goes_to_the_limiter_of_its_venue() -> None:
    """Nothing reaches a lane that has not been granted."""
    everybody = Everybody("rate_limiter.grvt", "rate_limiter.backpack", "order_gateway.grvt")
    everybody.router()(cancel())
    assert [("rate_limiter.grvt", cancel())] == everybody.heard


def test_a_granted_command_goes_to_the_lane() -> None:
    """The limiter is the sender."""
    everybody = Everybody("rate_limiter.grvt", "order_gateway.grvt")
    everybody.router("rate_limiter.grvt")(cancel())
    assert [("order_gateway.grvt", cancel())] == everybody.heard


def test_the_venue_is_part_of_what_is_remembered() -> None:
    """A second command of the same kind to another venue does not go where the first went."""
    everybody = Everybody("rate_limiter.grvt", "rate_limiter.backpack")
    router = everybody.router()
    other = CancelOrder(venue=BACKPACK, symbol="ETH", client_order_id=cancel().client_order_id, reason="")
    router(cancel())
    router(other)
    assert [("rate_limiter.grvt", cancel()), ("rate_limiter.backpack", other)] == everybody.heard


@pytest.mark.parametrize(
    "message",
    [ClientIdsLeased(owner="quoter", start=1, end=2), LedgerSnapshot(owner="quoter", positions=(), orders=(), at=0.0)],
    ids=lambda message: type(message).__name__,
)
def test_an_answer_goes_to_the_one_who_asked(message: Message) -> None:
    """The owner is in the message; a second answer to another owner is not sent to the first."""
    everybody = Everybody("hedger", "quoter")
    everybody.router()(message)
    assert [("quoter", message)] == everybody.heard


def test_the_clerk_is_one_gateway() -> None:
    """Client ids come from one counter."""
    everybody = Everybody("order_gateway.grvt", "order_gateway.backpack")
    lease = LeaseClientIds(owner="hedger")
    everybody.router()(lease)
    assert [("order_gateway.grvt", lease)] == everybody.heard


def test_an_alias_stands_for_another_or_for_nobody() -> None:
    """A kind of run that has no such actor says so once, at its composition."""
    everybody = Everybody("risk", "oco_pair")
    everybody.router(aliases={"quoter": "oco_pair", "risk": None})(Stop(reason=""))
    assert ["oco_pair"] == [name for name, _ in everybody.heard]


def test_a_recipient_that_is_down_is_a_dead_letter_and_no_exception() -> None:
    """The others hear it all the same."""
    everybody = Everybody("risk")
    everybody.router()(Stop(reason=""))
    assert (["risk"], {"quoter": 1}) == ([name for name, _ in everybody.heard], everybody.addresses.dead_letters())


def test_recipients_are_told_in_the_tables_order() -> None:
    """A gate folds an event before the core that may act on it hears of it."""
    everybody = Everybody("quoter", "risk")
    everybody.router()(Stop(reason=""))
    assert list(ROUTES[Stop]) == [name for name, _ in everybody.heard]
