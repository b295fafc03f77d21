"""Children that crash again and again, in a whole run: the table of core/supervision.py as it comes out (RELIABILITY.md §3.1, D2, D5, D6).

The pauses between restarts are shortened; how often and how it ends are the table's own.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from actors import run_loop
from actors.order_tracker import OrderTrackerActor
from core.messages import Alert, CancelOrder, PlaceOrder, SetPolling, Tick
from core.routing import FALLBACK, HEDGER, QUOTER, RECORDER, RISK, TRACKER
from core.supervision import spec_for
from core.types import TradingState
from tests.faults.house import BACKPACK, GRVT, GUARD_S, House
from tests.faults.rig import Fault, LocalRun, Saboteur, assert_adds_up, quicken, running, until
from tests.process.kit import by_night, executions

FOR_EVER = 10_000


def crash_for_ever(run: LocalRun, saboteur: Saboteur, name: str) -> int:
    """``name`` crashes now and at each start from now on; how many crashes its row of the table bears."""
    saboteur.plant(Fault(name, "started"), times=FOR_EVER)
    saboteur.plant(Fault(name, Tick.__name__))
    run.tell(name, Tick())
    return 1 + spec_for(name.partition(".")[0], name).intensity


def crashes_of(run: LocalRun, name: str) -> int:
    return sum(crash.name == name for crash in run.crashes)


@pytest.mark.parametrize("name", [TRACKER, HEDGER, f"rate_limiter.{BACKPACK}", *by_night(RISK, f"rate_limiter.{GRVT}")])
def test_a_part_that_trading_cannot_do_without_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As many restarts as its row allows, then exit 1 with its name; the next run adds up."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with house.takers():
        with running(tmp_path, house, monkeypatch) as run:
            run.until_traded()
            borne = crash_for_ever(run, saboteur, name)
            code = run.wait()
            assert (1, borne, True) == (code, crashes_of(run, name), name in (run.loop.failure or ""))
        saboteur.disarm()
        with running(tmp_path, house, monkeypatch) as run:
            run.until_traded()
            run.assert_ends_in_order()
    assert_adds_up(house)


@pytest.mark.parametrize("name", [f"rest_poller.{GRVT}", FALLBACK, *by_night(f"rest_poller.{BACKPACK}")])
def test_without_its_second_sight_the_bot_only_reduces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No quote any more, what was filled is hedged, the process stays and stops in order."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        run.until_traded()
        borne = crash_for_ever(run, saboteur, name)
        until(lambda: run.state is TradingState.REDUCING, "REDUCING")
        until(lambda: not house.maker.open_orders and house.net == 0, "the quote to go and its fills to be hedged")
        assert (False, borne) == (run.is_over, crashes_of(run, name))
        assert any(name in message.text for message in run.seen(Alert))
        saboteur.disarm()
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_without_its_quoter_the_bot_hedges_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quote that rests when it goes is filled and hedged all the same; what is told to it is counted and harms nobody."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with running(tmp_path, house, monkeypatch) as run:
        (quote,) = until(lambda: house.maker.open_orders, "a quote")
        borne = crash_for_ever(run, saboteur, QUOTER)
        until(lambda: any("stays down" in message.text for message in run.seen(Alert)), "the alert")
        before = run.addresses.dead_letters().get(QUOTER, 0)
        for _ in range(1_000):
            run.tell(QUOTER, Tick())
        house.maker.hit(quote)
        until(lambda: house.hedge.volume == quote.quantity, "the hedge")
        assert (borne, False, True) == (
            crashes_of(run, QUOTER),
            run.is_over,
            run.addresses.dead_letters()[QUOTER] >= before + 1_000,
        )
        assert 3 == run.end()
    assert_adds_up(house)


def test_without_its_recorder_the_bot_trades_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and terminal stand still; fills are hedged, and the next run writes into fills.csv what is missing there."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with house.takers():
        with running(tmp_path, house, monkeypatch) as run:
            run.until_traded()
            borne = crash_for_ever(run, saboteur, RECORDER)
            until(lambda: crashes_of(run, RECORDER) == borne and run.epoch(RECORDER) == 0, "the recorder to be given up")
            run.until_traded(2)
            run.assert_ends_in_order()
        saboteur.disarm()
        with running(tmp_path, house, monkeypatch) as run:
            run.until_traded()
            run.assert_ends_in_order()
    assert_adds_up(house)
    truth = sorted((venue.name, str(fill.trade_id)) for venue in house.venues for fill in venue.fills)
    assert truth == sorted((each.venue, each.trade_id) for each in executions(tmp_path / "fills.csv"))


@pytest.mark.parametrize(
    "name", [f"account_feed.{GRVT}", f"market_feed.{BACKPACK}", *by_night(f"account_feed.{BACKPACK}", f"market_feed.{GRVT}")]
)
def test_a_feed_that_cannot_be_kept_up_is_polled_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The table's restarts, then one take-over by the poller, which finds the fill of the resting quote; no thread is left behind."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with running(tmp_path, house, monkeypatch) as run:
        (quote,) = until(lambda: house.maker.open_orders, "a quote")
        threads = threading.active_count()
        borne = crash_for_ever(run, saboteur, name)
        until(
            lambda: ("fallback", name) in [(event, fields.get("child")) for event, fields in list(run.tap.lines)], "the fallback"
        )
        until(lambda: any(message.is_on for message in run.seen(SetPolling)), "the poller")
        house.maker.hit(quote)
        until(lambda: house.net == 0 and not house.maker.open_orders, "all hedged and nothing quoted")
        until(lambda: threading.active_count() <= threads, "the dead threads to be gone")
        assert (borne, False, 1) == (crashes_of(run, name), run.is_over, sum(message.is_on for message in run.seen(SetPolling)))
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_a_quote_on_its_way_when_the_stop_comes_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow gateway: it passes the quote on once the tracker has said "no orders", and its cancel three answers later."""
    quicken(monkeypatch)
    monkeypatch.setattr(run_loop, "HEALTH_S", 0.1)
    saboteur, house = Saboteur(monkeypatch), House()
    answers, is_asked = itertools.count(1), defaultdict(threading.Event)
    health = OrderTrackerActor.health

    def answer(tracker: OrderTrackerActor) -> Mapping[str, object]:
        found = health(tracker)
        is_asked[next(answers)].set()
        return found

    entered = threading.Event()

    def hang() -> None:
        entered.set()
        is_asked[1].wait(GUARD_S)

    saboteur.plant(Fault(f"order_gateway.{GRVT}", PlaceOrder.__name__, block=hang))
    saboteur.plant(Fault(f"order_gateway.{GRVT}", CancelOrder.__name__, block=lambda: is_asked[4].wait(GUARD_S)))
    monkeypatch.setattr(OrderTrackerActor, "health", answer)
    with running(tmp_path, house, monkeypatch) as run:
        assert entered.wait(GUARD_S)
        assert (0, []) == (run.end(), house.maker.open_orders)
    assert_adds_up(house)
