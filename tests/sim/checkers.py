"""Judges a finished run by the venues' ledgers and the recorded history: the invariants marked C, and that everything has healed."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from core.exposure import ExposureLedger
from core.journal_state import FillKey, JournalState
from core.messages import OrderSnapshot
from core.order_tracker import OrderTracker
from core.trading_state import QUIET_S as WORRIED_S
from core.types import ZERO, ClientOrderId, OrderState, Role, TradeId, TradingState, VenueId
from simulator.exchange import Exchange
from simulator.ledger import AccountFill
from tests.sim.inspector import Inspector, is_ours
from tests.sim.scenario import CALM_S, MAKER, QUIET_S, START_S, TRADING_S, Scenario
from tests.sim.wire import ACCOUNT

END_S = START_S + TRADING_S + QUIET_S
EXPOSED_LIMIT_S = 5.0
"""I2 where nothing goes wrong: in a seed without faults, and in every seed once the quiet time has healed what went before."""
HEALED_AT_S = START_S + TRADING_S + 18.0
"""The longest bound a venue enforces is 5 s from the last cancel; the process may come back a second late, a read may still be lost."""
UNTOLD_LIMIT_S = 20.0
"""A fill that every stream has swallowed is found by the look at the history each 12 s; 2 s later a person knows."""
STUCK_S = 5.0
"""Refused once a second."""
ON_ITS_WAY_S = 1.0
"""An order planned so late may not have come to the tracker yet: a quote waits no longer for its limiter and its lane."""
ALIVE_S = 5.0
"""Before the last takers come; a quote that they leave rests until the end."""
WORRY_LIMIT_S = WORRIED_S + 2.0
"""What keeps the quotes away is over a minute after it was last heard of, unless it is a position that still differs."""


def check(
    scenario: Scenario,
    inspector: Inspector,
    exchanges: dict[VenueId, Exchange],
    state: JournalState,
    tracker: OrderTracker,
    ledgers: dict[str, ExposureLedger],
) -> None:
    """Adds what is wrong to ``inspector.violations``. ``state``: the journal, flushed; ``ledgers``: of all who have nothing left to read."""
    uncounted = _uncounted(inspector, state)
    _bounded(scenario, inspector)
    _timely(scenario, inspector, is_excused=bool(uncounted))
    _exactly_once(scenario, inspector, _sum(fill for _, fill in uncounted))
    _complete(inspector, exchanges, state, tracker, scenario, uncounted)
    _intents(inspector, state)
    _makers(inspector)
    _healed(inspector, exchanges, tracker)
    _agreed(inspector, tracker, ledgers)
    _alive(inspector, exchanges[MAKER])


def _uncounted(inspector: Inspector, state: JournalState) -> list[tuple[VenueId, AccountFill]]:
    """Strangers' fills from before a life of the tracker: the account's past, which only a person can explain to the bot."""
    known = set(state.fill_keys)
    found = [
        (venue, fill)
        for venue, fill in inspector.fills
        if not is_ours(fill.client_id) and FillKey(venue, TradeId(str(fill.trade_id))) not in known
    ]
    for venue in {venue for venue, _ in found}:
        moved = _sum(fill for where, fill in found if where == venue)
        if moved and (venue not in inspector.mismatched or inspector.state is TradingState.ACTIVE):
            inspector.fail(f"I5: a stranger moved {venue} by {moved} unseen, and the bot goes on or told nobody")
    return found


def _sum(fills: Iterable[AccountFill]) -> Decimal:
    """Signed base quantity."""
    return sum((fill.side.sign * fill.quantity for fill in fills), ZERO)


def _bounded(scenario: Scenario, inspector: Inspector) -> None:
    """What strangers trade comes on top: no gate of ours can bound it."""
    bound = scenario.max_delta + inspector.foreign_quantity
    if inspector.worst_delta > bound:
        inspector.fail(f"I1: |delta| reached {inspector.worst_delta}, the bound is {bound}")


def _timely(scenario: Scenario, inspector: Inspector, *, is_excused: bool) -> None:
    """HALTED for a rival, the bot leaves what is exposed to the person whom it has told."""
    is_excused = is_excused or inspector.is_halted_for_rival
    healed_at = START_S if scenario.is_clean else HEALED_AT_S
    for episode in inspector.episodes:
        began = f"{episode.start - START_S:.1f}"
        if not is_excused and episode.end - max(episode.start, healed_at) > EXPOSED_LIMIT_S:
            inspector.fail(f"I2: exposed from {began} to {episode.end - START_S:.1f}")
        told_by = episode.end - episode.length_s + UNTOLD_LIMIT_S
        is_told = any(episode.start <= at <= told_by for at in inspector.exposure_alerts)
        if episode.length_s > UNTOLD_LIMIT_S and not is_told and not is_excused:
            inspector.fail(f"I2: exposed for {episode.length_s:.1f} s from {began}, and nobody was told in time")


def _exactly_once(scenario: Scenario, inspector: Inspector, past: Decimal) -> None:
    """``past``: what strangers have moved that the bot does not count. At the maker venue there is then another position than it believes, or
    none: what it would close there, for want of a hedge, only reduces and is refused."""
    is_stuck = bool(past) and inspector.nothing_to_reduce_at >= END_S - STUCK_S
    if abs(inspector.delta - past) >= scenario.lot and not is_stuck and not inspector.is_halted_for_rival:
        inspector.fail(f"I3: delta is {inspector.delta} at the end, {past} of it uncounted")
    makers = covers = ZERO
    for _, fill in inspector.fills:
        if not is_ours(fill.client_id):
            continue
        role = _role(inspector, fill.client_id)
        makers += fill.quantity if role is Role.MAKER else ZERO
        covers += fill.quantity if role is not Role.MAKER else ZERO
    if covers > makers + inspector.foreign_quantity + scenario.lot:
        inspector.fail(f"I3: {covers} hedged against {makers} of maker fills")


def _role(inspector: Inspector, client_id: str) -> Role:
    order = next((order for order in inspector.orders.values() if str(order.client_order_id) == client_id), None)
    return order.role if order is not None else Role.REPAIR


def _complete(
    inspector: Inspector,
    exchanges: dict[VenueId, Exchange],
    state: JournalState,
    tracker: OrderTracker,
    scenario: Scenario,
    uncounted: list[tuple[VenueId, AccountFill]],
) -> None:
    keys = {FillKey(venue, TradeId(str(fill.trade_id))) for venue, fill in inspector.fills}
    truth = keys - {FillKey(venue, TradeId(str(fill.trade_id))) for venue, fill in uncounted}
    past = {venue: _sum(fill for where, fill in uncounted if where == venue) for venue in exchanges}
    known = set(state.fill_keys)
    if missing := truth - known:
        inspector.fail(f"I5: fills not in the journal: {sorted(missing)}")
    if invented := known - truth:
        inspector.fail(f"I5: fills only in the journal: {sorted(invented)}")
    for each in state.positions:
        _same_position(
            inspector,
            "journal",
            each.venue,
            each.quantity,
            exchanges[each.venue].position(ACCOUNT, each.symbol) - past[each.venue],
        )
    for venue, exchange in exchanges.items():
        symbol = (scenario.maker if venue == MAKER else scenario.hedge).symbol
        _same_position(inspector, "tracker", venue, tracker.positions[venue], exchange.position(ACCOUNT, symbol) - past[venue])


def _same_position(inspector: Inspector, who: str, venue: VenueId, ours: Decimal, theirs: Decimal) -> None:
    if ours != theirs:
        inspector.fail(f"I5: the {who} holds {ours} at {venue}, the venue {theirs}")


def _intents(inspector: Inspector, state: JournalState) -> None:
    journaled = {entry.order.client_order_id for entry in state.orders}
    if unknown := inspector.arrivals - journaled:
        inspector.fail(f"I6: orders at a venue without an intent: {sorted(unknown)}")


def _makers(inspector: Inspector) -> None:
    for _, fill in inspector.fills:
        if not fill.is_maker and _role(inspector, fill.client_id) is Role.MAKER:
            inspector.fail(f"I15: quote {fill.client_id} took liquidity")


def _healed(inspector: Inspector, exchanges: dict[VenueId, Exchange], tracker: OrderTracker) -> None:
    """After the quiet time: nothing unknown, nothing owed, nothing resting that we do not know of; after a stop, nothing at all."""
    for order in tracker.open_orders:
        if order.state is OrderState.UNKNOWN or not order.is_fully_recorded or order.place.role is not Role.MAKER:
            inspector.fail(f"healed: order {order.place.client_order_id} is still {order.state.value}")
    ours = {str(order.place.client_order_id) for order in tracker.open_orders}
    for venue, exchange in exchanges.items():
        for resting in exchange.open_orders(ACCOUNT):
            if not is_ours(resting.client_id):
                continue
            if resting.client_id not in ours:
                inspector.fail(f"healed: order {resting.client_id} rests at {venue} and nobody knows")
            elif inspector.was_stopped:
                inspector.fail(f"I10: order {resting.client_id} still rests at {venue} after the stop")


def _agreed(inspector: Inspector, tracker: OrderTracker, ledgers: dict[str, ExposureLedger]) -> None:
    """Whoever decides, however often built anew, counts what the tracker counts: nothing twice, nothing for ever, nothing never."""
    for name, ledger in ledgers.items():
        held = {venue: ledger.position(venue) for venue in tracker.positions}
        if held != tracker.positions:
            inspector.fail(f"agreed: {name} holds {held}, the tracker {tracker.positions}")
        pending = {_counted(order) for is_maker in (True, False) for order in ledger.pending(makers=is_maker)}
        differing = pending ^ {_counted(order.snapshot()) for order in tracker.open_orders}
        if differing := {each for each in differing if inspector.planned_at.get(each[0], 0.0) < END_S - ON_ITS_WAY_S}:
            inspector.fail(f"agreed: {name} and the tracker differ over {sorted(differing)}")


def _counted(order: OrderSnapshot) -> tuple[ClientOrderId, str, Decimal]:
    return order.client_order_id, order.state.value, order.pending_quantity


def _alive(inspector: Inspector, exchange: Exchange) -> None:
    """A world without faults is traded in again; staying away needs a reason that a person was told, and that still holds."""
    if inspector.was_stopped:
        return
    has_mismatch = any(reason == "PositionMismatch" for _, reason in inspector.reasons)
    is_worried = has_mismatch or any(at >= END_S - WORRY_LIMIT_S for at, _ in inspector.reasons)
    if inspector.state is TradingState.STARTING and not is_worried:
        inspector.fail("alive: still STARTING at the end")
    is_resting = any(is_ours(order.client_id) for order in exchange.open_orders(ACCOUNT))
    if inspector.state is TradingState.ACTIVE and not is_resting and inspector.last_maker_sent_at < END_S - CALM_S - ALIVE_S:
        inspector.fail(f"alive: ACTIVE, but the last quote was sent at {inspector.last_maker_sent_at - START_S:.1f}")
    is_unexplained = not (is_worried if inspector.state is TradingState.REDUCING else inspector.reasons)
    if inspector.state in (TradingState.REDUCING, TradingState.HALTED) and is_unexplained:
        inspector.fail(f"alive: {inspector.state.value} without a cause: {inspector.states[-1][2]}")
