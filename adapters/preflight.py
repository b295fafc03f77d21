"""Asks the venues what the preflight judges (core/preflight.py). It reads only and sends nothing that can trade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.journal import SqliteJournal
from adapters.patience import Ask, Patience, StartStopped, StopBell, once
from core.config import Config
from core.instrument import Instrument
from core.journal_state import JournalState
from core.messages import OrderReported
from core.ports import Venue, VenueRefused, VenueUnreachable
from core.preflight import Check, VenueFacts, is_go, judge_bracket, judge_pair
from core.recovery import explained_positions
from core.types import ClientOrderId, Side

Found = tuple[tuple[Venue, VenueFacts], ...]


def preflight(
    config: Config, venues: Sequence[Venue], state: JournalState | None, ask: Ask = once
) -> tuple[tuple[Check, ...], Found]:
    """Every check of this run, and the facts they were made on. Raises VenueRefused where a venue refuses to say them, VenueUnreachable
    where ``ask`` gets no answer."""
    known = frozenset(entry.order.client_order_id for entry in state.orders) if state is not None else frozenset()
    instruments = [ask(partial(venue.setup.resolve, config.strategy.ticker)) for venue in venues]
    asked = list(zip(venues, instruments, strict=True))
    unpriced = [_unpriced(venue, instrument, ask, is_ours=known.__contains__) for venue, instrument in asked]
    # Together and last: prices are compared, and any question before this one may have had to wait.
    books = ask(lambda: [venue.setup.book(instrument) for venue, instrument in asked])
    facts = [each(book=book) for each, book in zip(unpriced, books, strict=True)]
    explained = explained_positions(state, instruments)
    if config.strategy.kind == "bracket":
        checks = judge_bracket(facts[0], config.strategy, explained)
    else:
        checks = judge_pair(facts[0], facts[1], config.strategy, explained=explained)
    return checks, tuple(zip(venues, facts, strict=True))


def _unpriced(venue: Venue, instrument: Instrument, ask: Ask, *, is_ours: Callable[[ClientOrderId], bool]) -> partial[VenueFacts]:
    """All facts of one venue but its book. The clock comes first: what is signed needs it."""
    setup = venue.setup
    clock_offset_ms = ask(setup.clock_offset_ms)
    account = ask(setup.account)
    orders = [order for order in ask(lambda: setup.open_orders(instrument)) if isinstance(order, OrderReported)]
    return partial(
        VenueFacts,
        instrument=instrument,
        fees=ask(lambda: setup.fees(instrument)),
        position=ask(lambda: setup.position(instrument)),
        foreign_orders=tuple(_describe(order) for order in orders if _is_foreign(order, is_ours)),
        clock_offset_ms=clock_offset_ms,
        can_trade=account.can_trade,
        account_detail=account.detail,
    )


def facts_to_trade_on(
    config: Config, venues: Sequence[Venue], journal: SqliteJournal, bell: StopBell, say: Callable[[str], None]
) -> Found:
    """The facts of a run that may start; a venue that cannot be asked is waited for. Raises what ``preflight`` raises, VenueRefused for
    a no-go and StartStopped; the journal is closed then."""
    state = journal.fold()
    try:
        checks, found = preflight(config, venues, state, Patience(say, bell.wait))
        if not is_go(checks):
            failed = [f"{check.venue} {check.name}: {check.detail}" for check in checks if check.verdict == "fail"]
            raise VenueRefused(f"no-go: {' | '.join(failed)}")
        return found
    except (VenueRefused, StartStopped) as reason:
        journal.close(is_clean=False)
        if isinstance(reason, VenueUnreachable | StartStopped):
            for line in _left_by_the_journal(state):
                say(line)
        raise


def _left_by_the_journal(state: JournalState) -> list[str]:
    """What may be left at venues that could not be asked: there is no other word on it."""
    found = []
    for position in state.positions:
        if position.quantity:
            side = Side.of(position.quantity).value
            found.append(f"left at {position.venue}: {side} {abs(position.quantity)} by the journal")
    for order in (entry.order for entry in state.unsettled):
        found.append(
            f"left at {order.venue}: order {order.client_order_id} {order.side.value} {order.quantity} without an end in the journal"
        )
    return found


def doctor(config: Config, venues: Sequence[Venue], state: JournalState | None) -> bool:
    """Prints the go / no-go table; whether it is go. It asks once: whoever called it is looking."""
    try:
        checks, _ = preflight(config, venues, state)
    except VenueRefused as refusal:
        venue, _, detail = str(refusal).partition(": ")
        checks = (Check(venue, "answer", "fail", detail),)
    _print_checks(checks, is_go=is_go(checks))
    return is_go(checks)


def _is_foreign(order: OrderReported, is_ours: Callable[[ClientOrderId], bool]) -> bool:
    return order.client_order_id is None or not is_ours(order.client_order_id)


def _describe(order: OrderReported) -> str:
    side = order.side.value if order.side is not None else "order"
    return f"{side} {order.quantity} @ {order.price} (venue id {order.venue_order_id})"


def _print_checks(checks: Sequence[Check], *, is_go: bool) -> None:
    table = Table(title="Preflight", title_justify="left")
    for heading in ("Venue", "Check", "", "Finding"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        style = {"ok": "green", "warn": "yellow", "fail": "bold red"}[check.verdict]
        table.add_row(check.venue, check.name, Text(check.verdict, style=style), Text(check.detail))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print("GO" if is_go else "NO-GO", style="bold green" if is_go else "bold red")
