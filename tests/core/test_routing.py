"""The routing table: every message has somewhere to go, gates hear before deciders, and grants reach the lane of their venue."""

from __future__ import annotations

import inspect as python_inspect
import typing

import pytest

from core import commands, messages
from core.messages import (
    BookUpdated,
    CancelOrder,
    ClientIdsLeased,
    FeedChanged,
    FillRecorded,
    LedgerRequested,
    LedgerSnapshot,
    Message,
    OrderChanged,
    PlaceOrder,
    TradingStateChanged,
)
from core.routing import ALL_GATEWAYS, FALLBACK, GRANTED, HEDGER, QUOTER, RISK, ROUTES, TRACKER, recipients
from core.types import Channel
from tests.core.builders import BACKPACK, GRVT, VENUES, feed, ledger, place

GATEWAYS = ("order_gateway.grvt", "order_gateway.backpack")
DIRECT = {commands.Tick, commands.Resync, LedgerSnapshot, ClientIdsLeased, Message}
"""Not by the table: told to one actor by name, or by its own clock."""


def all_messages() -> list[type[Message]]:
    found = {
        kind
        for module in (messages, commands)
        for _, kind in python_inspect.getmembers(module, python_inspect.isclass)
        if issubclass(kind, Message) and kind not in DIRECT
    }
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", all_messages(), ids=lambda kind: kind.__name__)
def test_every_message_is_heard_by_somebody(kind: type[Message]) -> None:
    assert len(ROUTES[kind]) > 0


@pytest.mark.parametrize("kind", [FillRecorded, OrderChanged, TradingStateChanged])
def test_gates_fold_an_event_before_any_core_can_decide_on_it(kind: type[Message]) -> None:
    """Otherwise an order decided on a fill could reach a gate that does not know of the fill."""
    names = ROUTES[kind]
    assert all(names.index(ALL_GATEWAYS) < names.index(core) for core in (HEDGER, QUOTER) if core in names)


def test_the_tracker_hears_of_a_feed_before_those_who_decide_on_it() -> None:
    names = ROUTES[FeedChanged]
    assert all(names.index(TRACKER) < names.index(core) for core in (QUOTER, RISK, FALLBACK))


def test_a_star_reaches_every_venue() -> None:
    event = OrderChanged(order=ledger_order(), at=0.0)
    assert GATEWAYS == recipients(event, VENUES)[:2]


def ledger_order() -> typing.Any:
    from core.types import OrderState
    from tests.core.builders import snapshot

    return snapshot(place(1), OrderState.ACCEPTED)


@pytest.mark.parametrize("venue", VENUES)
def test_an_order_goes_to_the_limiter_of_its_venue(venue: str) -> None:
    assert (f"rate_limiter.{venue}",) == recipients(place(1, venue=venue), VENUES)  # type: ignore[arg-type]


@pytest.mark.parametrize("venue", VENUES)
def test_a_granted_order_goes_to_the_gateway_of_its_venue(venue: str) -> None:
    sender = f"rate_limiter.{venue}"
    assert (f"order_gateway.{venue}",) == recipients(place(1, venue=venue), VENUES, sender=sender)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(GRANTED, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_whatever_can_be_granted_passes_the_limiter_first(kind: type[Message]) -> None:
    assert ("rate_limiter.{venue}",) == ROUTES[kind]


def test_reads_never_take_the_lane_of_orders() -> None:
    """A stuck read must not delay an order (core/ports.py)."""
    trading = {PlaceOrder, commands.PlaceOco, CancelOrder, commands.CancelAll, commands.RenewDeadMan}
    assert trading == {kind for kind, lane in GRANTED.items() if lane.startswith("order_gateway")}


def test_a_ledger_request_fences_every_gateway_before_the_tracker_hears_it() -> None:
    request = LedgerRequested(owner="hedger", epoch=2)
    names = recipients(request, VENUES)
    assert (True, False) == (set(GATEWAYS) <= set(names), TRACKER in names)


@pytest.mark.parametrize("venue", VENUES)
def test_a_fenced_gateway_passes_the_request_on_to_the_tracker(venue: str) -> None:
    assert (TRACKER,) == recipients(LedgerRequested(owner="hedger", epoch=2, via=venue), VENUES)  # type: ignore[arg-type]


def test_answers_go_to_the_owner_that_asked() -> None:
    lease = ClientIdsLeased(owner="quoter", start=1, end=2)
    assert (("hedger",), ("quoter",)) == (recipients(ledger("hedger"), VENUES), recipients(lease, VENUES))


def test_a_book_never_reaches_those_who_count_fills() -> None:
    """Fills never queue behind books: tracker and gateways hear none."""
    names = ROUTES[BookUpdated]
    assert not {TRACKER, ALL_GATEWAYS, RISK} & set(names)


def test_a_type_that_nobody_handles_is_an_error() -> None:
    with pytest.raises(KeyError):
        recipients(commands.Tick(), VENUES)


def test_builders_speak_of_both_venues() -> None:
    assert {GRVT, BACKPACK} == {feed(venue, messages.Channel.ACCOUNT).venue for venue in VENUES}


@pytest.mark.parametrize("channel", list(Channel))
def test_a_resync_goes_to_the_feed_that_it_names(channel: Channel) -> None:
    resync = commands.Resync(venue=BACKPACK, channel=channel, reason="deaf")
    assert (f"{channel.value}_feed.backpack",) == recipients(resync, VENUES)
