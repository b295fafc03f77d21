"""Judges a finished trial by the venue's ledger, the journal and what the story asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.journal_state import FillKey
from core.oco_legs import DOUBT_S
from core.oco_states import PairState
from core.routing import OCO_PAIR, TRACKER
from core.types import OrderState, Role, TradeId
from tests.sim.oco_scenario import APEX
from tests.sim.scenario import START_S
from tests.sim.wire import ACCOUNT

if TYPE_CHECKING:
    from tests.sim.oco_world import OcoWorld

CLOSED_IN_S = 3.0


def judge(world: OcoWorld) -> None:
    """Adds what is wrong to the inspector's ``violations``."""
    inspector = world.inspector
    if not world.is_bot_alive:
        inspector.fail("healed: the bot is not running at the end")
        return
    world.journal.flush()
    _complete(world)
    _ended(world)
    _repaired(world)
    if world.scenario.is_clean:
        _told_story(world)


def _complete(world: OcoWorld) -> None:
    """I5, I6: journal and ledger hold the same fills, every order of the venue had an intent."""
    inspector, state = world.inspector, world.journal.fold()
    truth = {FillKey(APEX, TradeId(str(fill.trade_id))) for fill in world.exchange.fills(ACCOUNT)}
    known = set(state.fill_keys)
    if missing := truth - known:
        inspector.fail(f"I5: fills not in the journal: {sorted(missing)}")
    if invented := known - truth:
        inspector.fail(f"I5: fills only in the journal: {sorted(invented)}")
    if unknown := inspector.arrivals - {entry.order.client_order_id for entry in state.orders}:
        inspector.fail(f"I6: orders at the venue without an intent: {sorted(unknown)}")
    assert world.bot is not None
    ours = world.bot.core(TRACKER).positions[APEX]
    if ours != inspector.position:
        inspector.fail(f"I5: the tracker holds {ours}, the venue {inspector.position}")


def _ended(world: OcoWorld) -> None:
    """Flat with nothing alive, or in the user's hands with nothing of ours alive."""
    inspector = world.inspector
    assert world.bot is not None
    state = world.bot.core(OCO_PAIR).pair.state
    is_released = state is PairState.RELEASED
    if is_released and inspector.by_hand_at is None:
        inspector.fail("unwanted: the pair let go of a position that nobody asked for")
    if inspector.held < 0 or (inspector.position and not is_released):
        inspector.fail(f"end: {inspector.position} is held, the pair is {state.value}")
    for resting in world.exchange.open_orders(ACCOUNT):
        if resting.client_id:
            inspector.fail(f"end: order {resting.client_id} rests at the venue")
    for key, waiting in world.wire.waiting.items():
        if waiting.is_waiting:
            inspector.fail(f"end: stop {key} waits at the venue")
    for order in world.bot.core(TRACKER).open_orders:
        if order.state is OrderState.UNKNOWN or not order.is_fully_recorded:
            inspector.fail(f"healed: order {order.place.client_order_id} is still {order.state.value}")
    if state not in (PairState.IDLE, PairState.RELEASED):
        inspector.fail(f"end: the pair is still {state.value}")
    if inspector.finished_at is None and not world.was_stopped:
        inspector.fail("end: the run never finished")


def _repaired(world: OcoWorld) -> None:
    """I13: an overshoot is bought back exactly, once, and told."""
    inspector = world.inspector
    if inspector.overshot and world.scenario.venue.reduces_only:
        inspector.fail(f"I13: {inspector.overshot} sold beyond flat although the venue enforces reduce-only")
    if inspector.bought_back != inspector.overshot and not inspector.position:
        inspector.fail(f"I13: {inspector.bought_back} bought back for {inspector.overshot} beyond flat")
    if inspector.overshot and not any(key == "both-legs" for _, key, _ in inspector.alerts):
        inspector.fail("I13: nobody was told that both legs filled")


# ---- what each story asks for, where nothing else went wrong -----------------------------------------------------------------------


def _told_story(world: OcoWorld) -> None:
    inspector, scenario = world.inspector, world.scenario
    exits = {order.role for order in inspector.orders.values() if _filled(world, order.client_order_id)} - {Role.ENTRY}
    pair = world.bot.core(OCO_PAIR).pair  # type: ignore[union-attr]  # the bot is alive
    if Role.ENTRY not in {order.role for order in inspector.orders.values()}:
        inspector.fail("story: nothing was entered")
    match scenario.story:
        case "tp":
            _expect(world, exits == {Role.TP}, f"the take-profit won, but {exits} filled")
            _expect(world, (pair.successes, pair.failures) == (1, 0), f"one success, got {pair.successes}/{pair.failures}")
        case "sl":
            _expect(world, exits in ({Role.SL}, {Role.SL, Role.REPAIR}), f"the stop won, but {exits} filled")
            _expect(world, (pair.successes, pair.failures) == (1, 0), f"one success, got {pair.successes}/{pair.failures}")
        case "manual":
            _manual(world, exits)
        case "partial":
            is_slow = scenario.venue.refused_cancels > 0
            _expect(world, is_slow or not inspector.overshot, f"{inspector.overshot} sold beyond flat")
            wanted = (0, 1) if inspector.overshot else (1, 0)
            _expect(world, (pair.successes, pair.failures) == wanted, f"{wanted}, got {pair.successes}/{pair.failures}")
        case "both":
            is_failure = inspector.overshot > 0
            _expect(world, (pair.successes, pair.failures) == (1 - is_failure, int(is_failure)), "counted wrongly")


def _manual(world: OcoWorld, exits: set[Role]) -> None:
    """Each policy does what it says, and a person is told."""
    inspector, scenario = world.inspector, world.scenario
    if inspector.by_hand_at is None:
        inspector.fail("story: no leg was cancelled by hand")
        return
    if inspector.by_hand_at - world.born_at < DOUBT_S and world.born_at > START_S + 0.3:
        return  # So soon after a restart a cancel that is seen may be the earlier life's own: the leg is placed again.
    _expect(world, any(key == "manual-cancel" for _, key, _ in inspector.alerts), "nobody was told of the manual cancel")
    match scenario.policy:
        case "cancel_sibling":
            _expect(world, inspector.pair_state == PairState.RELEASED.value, f"released, but {inspector.pair_state}")
            is_slow = scenario.venue.refused_cancels > 0
            _expect(world, is_slow or (not exits and inspector.held > 0), f"the position is the user's, but {exits} filled")
        case "keep_stop":
            allowed = (
                ({Role.SL}, {Role.SL, Role.REPAIR})
                if scenario.hand is Role.TP
                else ({Role.SL}, {Role.SL, Role.REPAIR}, {Role.TP})
            )
            _expect(world, exits in allowed, f"{exits} filled")
        case "close":
            if scenario.venue.refused_cancels and not scenario.venue.reduces_only:
                return  # The take-profit may fill while its cancel is refused; that it is repaired is checked for every trial.
            _expect(world, exits == {Role.REPAIR}, f"closed at once, but {exits} filled")
            closed_s = max(fill.time for fill in inspector.fills) - (inspector.by_hand_at + world.wire.wall_s - world.engine.now)
            _expect(world, closed_s <= CLOSED_IN_S, f"closed after {closed_s:.1f} s")


def _expect(world: OcoWorld, is_so: bool, text: str) -> None:
    if not is_so:
        world.inspector.fail(f"story {world.scenario.story}: expected: {text}")


def _filled(world: OcoWorld, client_order_id: int) -> bool:
    return any(fill.client_id == str(client_order_id) for fill in world.inspector.fills)
