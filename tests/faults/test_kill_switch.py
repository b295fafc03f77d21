"""The kill switch, a file and a command: no new order from then on, cancels still pass (RELIABILITY.md E12, E13, I23)."""

from __future__ import annotations

import threading
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from core.messages import Alert, OrderDenied, Tick, TradingStateChanged
from core.routing import HEDGER, QUOTER, RECORDER, RISK, TRACKER
from core.types import ClientOrderId, TradingState
from tests.faults.house import GRVT, GUARD_S, House
from tests.faults.rig import Fault, LocalRun, Saboteur, assert_adds_up, quicken, running, until
from tests.faults.samples import NOBODYS_ID
from tests.process.kit import VENUES, World, by_night
from tests.process.kit import until as until_told

ENDED = ("CANCELED", "FILLED")


def throw(folder: Path) -> None:
    (folder / "KILL").touch()


def is_halted(run: LocalRun) -> bool:
    return any(message.state is TradingState.HALTED for message in run.seen(TradingStateChanged))


def sent(house: House) -> int:
    return sum(len(venue.sent) for venue in house.venues)


def assert_nothing_more_is_sent(run: LocalRun, house: House) -> None:
    """All parts that could want an order go on for a while, with somebody to trade with, and none leaves."""
    before = sent(house)
    with house.takers():
        for name in (HEDGER, QUOTER, RISK, TRACKER):
            handled = run.handled(name)
            until(lambda: run.handled(name) > handled + 10, f"{name} to have had its chances")  # noqa: B023  called at once
    assert before == sent(house)


def test_the_quote_goes_and_nothing_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file alone does it; the process stays up, and ends in order when it is told to."""
    quicken(monkeypatch)
    house = House()
    with running(tmp_path, house, monkeypatch) as run:
        until(lambda: house.maker.open_orders, "a quote")
        throw(tmp_path)
        until(lambda: not house.maker.open_orders, "the quote to go")
        until(lambda: is_halted(run), "HALTED")
        assert_nothing_more_is_sent(run, house)
        assert (False, 0) == (run.is_over, run.end())
    assert_adds_up(house)


@pytest.mark.parametrize("name", [QUOTER, HEDGER, *by_night(RECORDER, TRACKER)])
def test_it_works_while_an_actor_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The quote goes all the same, at the latest by the actor's successor, which halts like everybody else."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    entered, gate = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        gate.wait(GUARD_S)

    with running(tmp_path, house, monkeypatch) as run:
        until(lambda: house.maker.open_orders, "a quote")
        saboteur.plant(Fault(name, Tick.__name__, block=hang))
        assert entered.wait(GUARD_S)
        throw(tmp_path)
        until(lambda: not house.maker.open_orders, "the quote to go")
        gate.set()
        until(lambda: is_halted(run), "HALTED")
        assert_nothing_more_is_sent(run, house)
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_a_judge_that_never_heard_of_it_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It crashes with the word still in its inbox; its successor knows nothing, and nobody has halted the gateways."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with running(tmp_path, house, monkeypatch) as run:
        until(lambda: house.maker.open_orders, "a quote")
        saboteur.plant(Fault(RISK, Alert.__name__))
        throw(tmp_path)
        until(lambda: is_halted(run) and not house.maker.open_orders, "HALTED")
        assert_nothing_more_is_sent(run, house)
        assert 1 == saboteur.times(RISK)
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_nothing_that_is_built_anew_lifts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge of the trading state crashes after it halted, and begins as if nothing had happened; the gateways remember."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with running(tmp_path, house, monkeypatch) as run:
        until(lambda: house.maker.open_orders, "a quote")
        throw(tmp_path)
        until(lambda: is_halted(run) and not house.maker.open_orders, "HALTED")
        for name in (RISK, HEDGER, QUOTER):
            before = run.epoch(name)
            saboteur.plant(Fault(name, Tick.__name__))
            until(lambda: run.epoch(name) > before, f"a new {name}")  # noqa: B023  called at once
        assert_nothing_more_is_sent(run, house)
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_the_third_absurd_order_throws_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E12. A thousand times the size: denied at the door, and the third halts."""
    quicken(monkeypatch)
    house = House()
    with running(tmp_path, house, monkeypatch) as run:
        until(lambda: house.maker.open_orders, "a quote")
        usual = house.maker.sent[0]
        for number in range(3):
            assert not is_halted(run)
            absurd = msgspec.structs.replace(
                usual, client_order_id=ClientOrderId(NOBODYS_ID + number), quantity=1000 * usual.quantity
            )
            denied = len(run.seen(OrderDenied))
            run.tell(f"rate_limiter.{GRVT}", msgspec.structs.replace(absurd, not_after=0.0))
            until(lambda: len(run.seen(OrderDenied)) > denied, "the denial")  # noqa: B023  called at once
        until(lambda: is_halted(run) and not house.maker.open_orders, "HALTED")
        assert_nothing_more_is_sent(run, house)
        run.assert_ends_in_order()
    assert [] == [order for order in house.maker.sent if order.quantity > usual.quantity]
    assert_adds_up(house)


# ---- the process -----------------------------------------------------------------------------------------------------------------


def until_halted(world: World) -> None:
    until_told(lambda: any(line["state"] == "HALTED" for line in world.log("TradingStateChanged")), "HALTED")


def test_the_command_halts_a_run_whose_network_is_gone(world: World) -> None:
    """Nothing gets through when it is thrown; once something does, it is the cancel, and no order after it. It holds at a restart."""
    bot = world.run()
    world.until_quoting()
    for venue in VENUES:
        for channel in ("rest", "market", "account"):
            world.venues.post("/refuse", venue=venue, channel=channel, is_on=True)
    assert 0 == world.start("halt", "--state-dir", str(world.state)).wait()
    until_halted(world)
    before = world.venues.orders_sent()
    for venue in VENUES:
        for channel in ("rest", "market", "account"):
            world.venues.post("/refuse", venue=venue, channel=channel, is_on=False)
    until_told(lambda: not world.venues.open_orders(), "the quote to go")
    until_told(lambda: any(line["order"]["state"] in ENDED for line in world.log("OrderChanged")), "the bot to know")
    code = bot.end()
    again = world.run()
    assert (2, True) == (again.wait(), "kill switch" in again.stderr)
    ledger = world.venues.ledger()
    assert (before, 0 if ledger.is_flat else 3) == (world.venues.orders_sent(), code)


def test_flatten_is_the_way_out_with_the_switch_thrown_and_the_bot_dead(world: World) -> None:
    """Killed with a fill in the air and the switch thrown: ``flatten`` needs neither the process nor its consent."""
    bot = world.run()
    world.until_filled()
    bot.kill()
    throw(world.state)
    flat = world.command("flatten")
    assert (0, Decimal(0), []) == (flat.wait(), world.venues.ledger().net, world.venues.open_orders())
    assert world.venues.ledger().is_flat
