"""How a run ends, in this process: what is left is said first, and no error of the main thread ends it with quotes at the venues."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import supervisor
from actors.run_loop import DEAD_MAN_S
from core.routing import HEDGER, RISK, TRACKER
from tests.faults.house import BACKPACK, House
from tests.faults.rig import CONFIG, Saboteur, assert_adds_up, quicken, running, until
from tests.faults.test_supervision import crash_for_ever
from tests.process.kit import by_night

BROKEN = OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_is_left_is_said_before_all_that_takes_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between build and unwind: venue, side and quantity; only then the dead-man switch, the dump and the summary."""
    quicken(monkeypatch)
    house = House()
    events: list[Any] = []
    house.maker.dead_man_s = events
    monkeypatch.setattr("tests.faults.rig._Blind.say", lambda _, text: events.append(text))
    monkeypatch.setattr(supervisor, "write_atomically", lambda path, content: events.append(path.name))
    with running(tmp_path, house, monkeypatch) as run:
        (quote,) = until(lambda: house.maker.open_orders, "a quote")
        house.maker.hit(quote)
        until(lambda: not house.net and house.hedge.fills, "the hedge")
        assert 3 == run.end()
    held = [(venue.name, "BUY" if venue.position > 0 else "SELL", abs(venue.position)) for venue in house.venues]
    said = "".join(f"\nleft at {name}: {side} {quantity}" for name, side, quantity in held)
    first, *later = [each for each in events if each != DEAD_MAN_S]
    assert (said, {0.0, "health.json"}) == (first, set(later))
    assert_adds_up(house)


@pytest.mark.parametrize("error", [BROKEN, ValueError("unthought of")], ids=lambda error: type(error).__name__)
def test_an_error_of_the_main_thread_cancels_before_it_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Exit 1 with the error told; the quote that rested is gone, and none comes after it."""
    quicken(monkeypatch)
    house = House()
    due: list[Exception] = []

    def offset_ms() -> float:
        for each in due:
            raise each
        return 0.0

    monkeypatch.setattr(house.maker, "clock_offset_ms", offset_ms)
    with running(tmp_path, house, monkeypatch) as run:
        until(lambda: house.maker.open_orders, "a quote")
        due.append(error)
        code = run.wait()
    told = f"{type(error).__name__}: {error}"
    assert (1, f"the main thread: {told}", [told]) == (code, run.loop.failure, [crash.error for crash in run.crashes])
    assert_adds_up(house)


@pytest.mark.parametrize("name", [RISK, *by_night(TRACKER, HEDGER, f"rate_limiter.{BACKPACK}")])
def test_a_part_that_is_gone_for_good_leaves_no_quote_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Without its judge the run cannot be halted: the quoter would put a new quote in the place of the one that was cancelled."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with running(tmp_path, house, monkeypatch) as run:
        until(lambda: house.maker.open_orders, "a quote")
        crash_for_ever(run, saboteur, name)
        assert 1 == run.wait()
    assert_adds_up(house)


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The arguments of a ``run`` that may begin: nobody is asked, nothing is looked at."""
    path = tmp_path / "bot.toml"
    path.write_text(CONFIG.replace("unused", str(tmp_path / "state")))
    before = signal.getsignal(signal.SIGUSR1)
    for name in ("RunSignals", "load_credentials", "claims", "open_venues"):
        monkeypatch.setattr(supervisor, name, lambda *_: {})
    monkeypatch.setattr(supervisor, "facts_to_trade_on", lambda *_: ())
    monkeypatch.setattr(supervisor, "setup_logging", _Finished)
    monkeypatch.setattr(supervisor, "_Run", _Finished)
    yield ["run", str(path)]
    signal.signal(signal.SIGUSR1, before)


class _Finished:
    """In the place of a run: over at once. And of its log."""

    def __init__(self, *_: object, is_dry_run: bool = False) -> None:
        pass

    def go(self, _: object) -> int:
        return 0

    def close(self) -> None:
        pass


def _break(*_: object) -> int:
    raise BROKEN


@pytest.mark.parametrize(("where", "code"), [("nowhere", 0), ("facts_to_trade_on", 2), ("_Finished.go", 1)])
def test_an_error_of_the_system_is_a_refusal_only_before_the_run(
    ready: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str, code: int
) -> None:
    """Whoever starts it again must not take a run that has traded for one that never began."""
    if where == "facts_to_trade_on":
        monkeypatch.setattr(supervisor, where, _break)
    elif where == "_Finished.go":
        monkeypatch.setattr(_Finished, "go", _break)
    assert (code, bool(code)) == (supervisor.main(ready), "Input/output error" in capsys.readouterr().err)
