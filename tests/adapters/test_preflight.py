"""Claims on what a start asks the venues, and what it makes of an answer that does not come."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

import supervisor
from adapters.journal import SqliteJournal
from adapters.patience import StartStopped, StopBell
from adapters.preflight import Found, doctor, facts_to_trade_on
from adapters.redacted import RedactedVenue
from core.config import parse_config
from core.instrument import Instrument
from core.messages import BookUpdated, Message
from core.ports import AccountInfo, Venue, VenueRefused, VenueUnreachable
from core.types import Fees, VenueId
from tests.core.builders import BACKPACK, GRVT, HEDGE_TOML, NO_FEES, VENUES, D, book, filled, instrument, place

CONFIG = parse_config(HEDGE_TOML + 'fx = { "USDC/USDT" = "1.0" }', "test")
QUESTIONS = ("resolve", "clock_offset_ms", "account", "open_orders", "fees", "position", "book")


class AskedVenue:
    """Answers every question, after it has failed the one named in ``failures`` with each of its errors. Is its own set-up."""

    def __init__(self, name: VenueId, calls: list[str]) -> None:
        self.name = self.venue = name
        self.setup: Any = self
        self.limits: dict[str, float] = {}
        self.calls = calls
        self.failures: dict[str, list[Exception]] = {}
        self.held = D(0)

    def _note(self, question: str) -> None:
        self.calls.append(f"{self.name} {question}")
        if self.failures.get(question):
            raise self.failures[question].pop(0)

    def resolve(self, ticker: str) -> Instrument:
        self._note("resolve")
        return instrument(self.name)

    def clock_offset_ms(self) -> float:
        self._note("clock_offset_ms")
        return 0.0

    def account(self) -> AccountInfo:
        self._note("account")
        return AccountInfo(can_trade=True, detail="may trade")

    def open_orders(self, _: Instrument) -> tuple[Message, ...]:
        self._note("open_orders")
        return ()

    def fees(self, _: Instrument) -> Fees:
        self._note("fees")
        return NO_FEES

    def position(self, _: Instrument) -> Decimal:
        self._note("position")
        return self.held

    def book(self, _: Instrument) -> BookUpdated:
        self._note("book")
        return book(self.name)


class Bell:
    """In the place of the one that hears signals: no wait takes time."""

    def __init__(self, *, is_rung: bool = False) -> None:
        self._is_rung = is_rung

    def wait(self, _seconds: float) -> bool:
        return self._is_rung


class Rig:
    def __init__(self, folder: Path) -> None:
        self.calls: list[str] = []
        self.said: list[str] = []
        self.venues = {name: AskedVenue(name, self.calls) for name in VENUES}
        self.journal = SqliteJournal(folder / "journal.sqlite")

    @property
    def asked(self) -> list[Venue]:
        return [cast(Venue, each) for each in self.venues.values()]

    def start(self, *, is_stopped: bool = False) -> Found:
        bell = cast(StopBell, Bell(is_rung=is_stopped))
        return facts_to_trade_on(CONFIG, self.asked, self.journal, bell, self.said.append)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


LOST = VenueUnreachable("grvt: status 502")


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("venue", VENUES)
def test_one_lost_answer_to_any_question_does_not_end_a_start(rig: Rig, venue: VenueId, question: str) -> None:
    """It is asked again, and the run starts on the facts of both."""
    rig.venues[venue].failures[question] = [LOST]
    assert [GRVT, BACKPACK] == [facts.instrument.venue for _, facts in rig.start()]
    assert 2 == rig.calls.count(f"{venue} {question}")


def test_prices_of_before_a_wait_are_not_compared_with_those_after_it(rig: Rig) -> None:
    """The books come last; if one of them has to be waited for, both are read anew."""
    rig.venues[BACKPACK].failures["book"] = [LOST]
    rig.start()
    assert [f"{venue} book" for venue in (GRVT, BACKPACK, GRVT, BACKPACK)] == rig.calls[-4:]


def test_a_signed_question_is_put_with_the_venues_clock(rig: Rig) -> None:
    """A clock that is off is a no-go with its offset, not a request that has expired."""
    rig.start()
    for venue in VENUES:
        own = [call for call in rig.calls if call.startswith(venue)]
        assert own.index(f"{venue} clock_offset_ms") == 1


def held_and_intended(journal: SqliteJournal) -> None:
    """0.1 bought at the primary, and a hedge of it whose end is not known."""
    journal.note(filled(place(1), "t1", "0.10"))
    journal.record_intent(place(2, venue=BACKPACK), 1)
    journal.flush()


@pytest.mark.parametrize(("is_stopped", "error"), [(False, VenueUnreachable), (True, StartStopped)])
def test_a_start_that_ends_unanswered_says_what_the_journal_knows(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, is_stopped: bool, error: type[Exception]
) -> None:
    """Nobody has looked at the venues: venue, side and quantity as they were last known."""
    monkeypatch.setattr("adapters.patience.WAIT_LIMIT_S", 0.0 if not is_stopped else 60.0)
    held_and_intended(rig.journal)
    rig.venues[GRVT].failures["position"] = [LOST] * 9
    with pytest.raises(error):
        rig.start(is_stopped=is_stopped)
    left = [line for line in rig.said if line.startswith("left at ")]
    assert ["left at grvt: BUY 0.10", "left at backpack: order 2 BUY 0.10"] == [
        " ".join(line.split()[:end]) for line, end in zip(left, (5, 7), strict=True)
    ]


def test_a_no_go_is_for_good(rig: Rig) -> None:
    """A stranger's position: said once, nothing is waited for."""
    rig.venues[GRVT].held = D("0.5")
    with pytest.raises(VenueRefused, match="no-go: grvt position") as caught:
        rig.start()
    assert (False, 1, []) == (
        isinstance(caught.value, VenueUnreachable),
        rig.calls.count("grvt position"),
        rig.said,
    )


def test_doctor_asks_once_and_says_no_go(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever called it is looking: venue and reason stand in its table."""
    rig.venues[GRVT].failures["account"] = [LOST]
    is_go = doctor(CONFIG, rig.asked, None)
    told = capsys.readouterr().out
    assert (False, 1, True, "NO-GO") == (is_go, rig.calls.count("grvt account"), "status 502" in told, told.split()[-1])


def test_a_failure_of_asking_stays_one_without_its_secrets(rig: Rig) -> None:
    """What stands in front of every venue cleans the line, and keeps the kind and the pause."""
    rig.venues[GRVT].failures["account"] = [VenueUnreachable("grvt: canary", 7.0)]
    venue = RedactedVenue(rig.asked[0], lambda text: text.replace("canary", "***"))
    with pytest.raises(VenueUnreachable) as caught:
        venue.setup.account()
    assert ("grvt: ***", 7.0) == (str(caught.value), caught.value.retry_after_s)


def raising(error: Exception) -> Callable[..., Any]:
    def call(*_: object) -> Any:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code", "stdout", "stderr"),
    [
        (LOST, 1, "", str(LOST)),
        (VenueRefused("grvt: no perpetual"), 2, "", "grvt: no perpetual"),
        (StartStopped("grvt: status 502"), 3, "left: unknown, grvt: status 502", ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_exit_code_tells_whether_a_restart_may_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int, stdout: str, stderr: str
) -> None:
    """1 for what could not be asked, 2 for what was refused, 3 for a stop with the venues unseen; one line each."""
    monkeypatch.setattr(supervisor, "load_config", raising(error))
    found = supervisor.main(["doctor", "any.toml"])
    told = capsys.readouterr()
    assert (code, stdout, len(stderr) > 0) == (found, told.out.strip(), stderr in told.err and told.err != "")
