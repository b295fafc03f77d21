"""Asks a venue what the preflight judges (core/preflight.py). It reads only and sends nothing that can trade."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.config import Config
from core.instrument import Instrument
from core.journal_state import JournalState
from core.messages import OrderReported
from core.ports import Venue
from core.preflight import Check, VenueFacts, judge_bracket, judge_pair
from core.recovery import explained_positions
from core.types import ClientOrderId


def gather(venue: Venue, instrument: Instrument, *, is_ours: Callable[[ClientOrderId], bool]) -> VenueFacts:
    """Everything the checks need, read one after the other. Raises VenueRefused naming the first read that failed."""
    setup = venue.setup
    account = setup.account()
    orders = [order for order in setup.open_orders(instrument) if isinstance(order, OrderReported)]
    return VenueFacts(
        instrument=instrument,
        fees=setup.fees(instrument),
        book=setup.book(instrument),
        position=setup.position(instrument),
        foreign_orders=tuple(_describe(order) for order in orders if _is_foreign(order, is_ours)),
        clock_offset_ms=setup.clock_offset_ms(),
        can_trade=account.can_trade,
        account_detail=account.detail,
    )


def preflight(
    config: Config, venues: Sequence[Venue], state: JournalState | None
) -> tuple[tuple[Check, ...], tuple[tuple[Venue, VenueFacts], ...]]:
    """Every check of this run, and the facts they were made on. Raises VenueRefused where a venue cannot even be asked."""
    known = frozenset(entry.order.client_order_id for entry in state.orders) if state is not None else frozenset()
    found = []
    for venue in venues:
        instrument = venue.setup.resolve(config.strategy.ticker)
        found.append((venue, gather(venue, instrument, is_ours=known.__contains__)))
    explained = explained_positions(state, (facts.instrument for _, facts in found))
    facts = [each for _, each in found]
    if config.strategy.kind == "bracket":
        return judge_bracket(facts[0], config.strategy, explained), tuple(found)
    return judge_pair(facts[0], facts[1], config.strategy, explained=explained), tuple(found)


def _is_foreign(order: OrderReported, is_ours: Callable[[ClientOrderId], bool]) -> bool:
    return order.client_order_id is None or not is_ours(order.client_order_id)


def _describe(order: OrderReported) -> str:
    side = order.side.value if order.side is not None else "order"
    return f"{side} {order.quantity} @ {order.price} (venue id {order.venue_order_id})"


def print_checks(checks: Sequence[Check], *, is_go: bool) -> None:
    """The go / no-go table of ``doctor``."""
    table = Table(title="Preflight", title_justify="left")
    for heading in ("Venue", "Check", "", "Finding"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        style = {"ok": "green", "warn": "yellow", "fail": "bold red"}[check.verdict]
        table.add_row(check.venue, check.name, Text(check.verdict, style=style), Text(check.detail))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print("GO" if is_go else "NO-GO", style="bold green" if is_go else "bold red")
