"""``flatten`` with a venue, a book or the journal missing: it never makes exposure, and says what is left (RELIABILITY.md E13)."""

from __future__ import annotations

import signal
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from adapters import closing, flatten
from adapters.journal import SqliteJournal
from adapters.run_signals import STOP_SIGNALS
from core.config import parse_config
from core.instrument import Instrument
from core.messages import BookUpdated, FetchFills, FetchPosition, FillRecorded, FillsFetched, Message, PlaceOrder, QueryFailed
from core.ports import JournalFailed, VenueRefused, VenueUnreachable
from core.recovery import explained_positions
from core.types import ZERO, Side, VenueId
from tests.faults.house import BACKPACK, BOT, GRVT, LocalVenue
from tests.faults.rig import CONFIG

BRACKET = """
[run]
state_dir = "unused"
[strategy]
kind = "bracket"
ticker = "ETH"
size = "0.10"
[strategy.bracket]
venue = "grvt"
side = "BUY"
take_profit_pct = "1"
stop_loss_pct = "1"
"""
LEG = Decimal("0.10")


class FlatVenue(LocalVenue):
    """``away``: how many of the next questions what the contract is stay unanswered; the other two as they say."""

    def __init__(self, name: VenueId, spread: int) -> None:
        super().__init__(name, spread)
        self.away = 0
        self.refusal: VenueRefused | None = None
        self.hides_position = False
        self.hides_book = False

    def resolve(self, ticker: str) -> Instrument:
        if self.refusal is not None:
            raise self.refusal
        if self.away > 0:
            self.away -= 1
            raise VenueUnreachable(f"{self.name}: not sent: refused")
        return super().resolve(ticker)

    def fetch_position(self, command: FetchPosition) -> tuple[Message, ...]:
        if self.hides_position:
            return (QueryFailed(venue=self.name, query="FetchPosition", reason="planted", at=0.0),)
        return super().fetch_position(command)

    def fetch_book(self, symbol: str) -> BookUpdated:
        book = super().fetch_book(symbol)
        return BookUpdated(venue=book.venue, symbol=symbol, bids=(), asks=(), received_at=0.0) if self.hides_book else book

    def hold(self, signed: Decimal) -> None:
        """So much more of it."""
        if not signed:
            return
        side = Side.of(signed)
        self.exchange.place(BOT, self.symbol, side, abs(signed), Decimal(3000) + side.sign * 100, tif="IOC", client_id="1")
        self.requote()


class Rig:
    """Both venues with a position of ours, each hedging the other's, and an order at rest."""

    def __init__(self, folder: Path) -> None:
        self.maker, self.hedge = FlatVenue(GRVT, 2), FlatVenue(BACKPACK, 1)
        self.journal = SqliteJournal(folder / "journal.sqlite")
        self.said: list[str] = []
        self.maker.hold(LEG)
        self.hedge.hold(-LEG)
        for venue in (self.maker, self.hedge):
            venue.exchange.place(BOT, venue.symbol, Side.BUY, LEG, Decimal(2900), client_id="77")

    def flatten(self, text: str = CONFIG) -> int:
        venues = (self.maker,) if text == BRACKET else (self.maker, self.hedge)
        return flatten.flatten(parse_config(text, "test"), venues, lambda: self.journal, self.said.append)

    @property
    def held(self) -> tuple[Decimal, Decimal]:
        return self.maker.position, self.hedge.position

    @property
    def resting(self) -> list[str]:
        return [venue.name for venue in (self.maker, self.hedge) for _ in venue.open_orders]

    @property
    def left(self) -> list[str]:
        return [line for line in self.said if line.startswith("left")]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    for module in (closing, flatten):
        monkeypatch.setattr(module, "PAUSE_S", 0.0)
    return Rig(tmp_path)


def test_both_legs_are_closed_and_both_orders_cancelled(rig: Rig) -> None:
    """Every closing order can only reduce."""
    assert (0, (ZERO, ZERO), [], []) == (rig.flatten(), rig.held, rig.resting, rig.left)
    assert {True} == {order.reduce_only for venue in (rig.maker, rig.hedge) for order in venue.sent}


@pytest.mark.parametrize("is_hedge_away", [True, False], ids=["hedge", "primary"])
def test_with_a_venue_away_orders_go_and_no_leg_is_closed_alone(rig: Rig, is_hedge_away: bool) -> None:
    """What is left is said of both: the leg that stays as a cover, and the venue that nobody could ask."""
    here, away = (rig.maker, rig.hedge) if is_hedge_away else (rig.hedge, rig.maker)
    away.away = 1_000
    code = rig.flatten()
    assert (3, (LEG, -LEG), [away.name]) == (code, rig.held, rig.resting)
    held = f"left at {here.name}: {Side.of(here.position).value} 0.10 ETH, not closed while {away.name} cannot be read"
    assert {held, f"left at {away.name}: not reachable"} == set(rig.left)
    assert 1 == rig.said.count(f"{away.name}: not sent: refused")


def test_a_venue_that_comes_back_in_time_is_worked_on(rig: Rig) -> None:
    """A lost answer or two do not leave anything open."""
    rig.hedge.away = 2
    assert (0, (ZERO, ZERO), [], []) == (rig.flatten(), rig.held, rig.resting, rig.left)


def test_a_position_that_cannot_be_read_keeps_its_cover(rig: Rig) -> None:
    """The venue answers everything else."""
    rig.hedge.hides_position = True
    assert (3, (LEG, -LEG), []) == (rig.flatten(), rig.held, rig.resting)
    held = f"left at {GRVT}: BUY 0.10 ETH, not closed while {BACKPACK} cannot be read"
    assert [held, f"left at {BACKPACK}: position unknown"] == rig.left


@pytest.mark.parametrize(("held", "closed_to"), [("0.10", "0.10"), ("0.25", "0.10"), ("0.05", "0.05"), ("-0.10", "0")])
def test_of_a_leg_only_what_covers_nothing_goes_while_the_other_has_no_price(rig: Rig, held: str, closed_to: str) -> None:
    """The other holds -0.10: the net may shrink and never grow."""
    rig.maker.hold(Decimal(held) - LEG)
    rig.hedge.hides_book = True
    assert (3, Decimal(closed_to), -LEG) == (rig.flatten(), *rig.held)


def test_a_refusal_for_good_at_one_venue_does_not_keep_the_other_from_being_looked_at(rig: Rig) -> None:
    """It is said once and not asked again."""
    rig.hedge.refusal = VenueRefused(f"{BACKPACK}: ETH is PostOnly")
    assert (3, [BACKPACK]) == (rig.flatten(), rig.resting)
    assert (1, f"left at {BACKPACK}: unknown, it refuses to be asked") == (
        rig.said.count(f"{BACKPACK}: ETH is PostOnly"),
        rig.left[-1],
    )


def test_a_configuration_that_every_venue_refuses_is_refused(rig: Rig) -> None:
    """There is nothing to be left at a symbol that does not exist."""
    rig.maker.refusal = rig.hedge.refusal = VenueRefused("no perpetual ZZZ")
    with pytest.raises(VenueRefused, match="ZZZ"):
        rig.flatten()


def test_an_order_that_comes_late_is_cancelled_too(rig: Rig) -> None:
    """One whose answer was lost may appear after the first list."""
    place = rig.hedge.place

    def late(order: PlaceOrder) -> tuple[Message, ...]:
        if len(rig.hedge.sent) == 0:
            rig.hedge.exchange.place(BOT, rig.hedge.symbol, Side.BUY, LEG, Decimal(2900), client_id="78")
        return place(order)

    rig.hedge.place = late  # type: ignore[method-assign]
    assert (0, (ZERO, ZERO), []) == (rig.flatten(), rig.held, rig.resting)


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_signal_between_two_legs_leaves_none_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """A terminal that is closed while the first order waits for its answer: the second leaves, then the signal does what it always does."""
    place = rig.maker.place

    def interrupted(order: PlaceOrder) -> tuple[Message, ...]:
        signal.raise_signal(number)
        return place(order)

    monkeypatch.setattr(rig.maker, "place", interrupted)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            rig.flatten()
    finally:
        signal.signal(number, before)
    assert (ZERO, ZERO) == rig.held


# ---- the journal -----------------------------------------------------------------------------------------------------------------


class Failing:
    """In the place of one of the journal's writes: that many calls pass, ``times`` fail."""

    def __init__(self, journal: SqliteJournal, name: str, monkeypatch: pytest.MonkeyPatch, *, after: int, times: int) -> None:
        self._left = [after, times]
        genuine = getattr(journal, name)

        def write(*arguments: object) -> object:
            for number, is_failing in enumerate((False, True)):
                if self._left[number] > 0:
                    self._left[number] -= 1
                    if is_failing:
                        raise JournalFailed("journal not written: disk full")
                    break
            return genuine(*arguments)

        monkeypatch.setattr(journal, name, write)


@pytest.mark.parametrize(
    ("name", "after"),
    [("begin_epoch", 0), ("lease_client_ids", 0), ("lease_client_ids", 1), ("record_intent", 0), ("record_intent", 1)],
)
def test_a_journal_that_fails_leaves_no_leg_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str, after: int) -> None:
    """Also where it fails at the second leg: nothing was sent for the first. Orders are cancelled, what is left is said."""
    Failing(rig.journal, name, monkeypatch, after=after, times=1_000)
    assert (3, (LEG, -LEG), []) == (rig.flatten(), rig.held, rig.resting)
    assert [f"left at {GRVT}: BUY 0.10 ETH", f"left at {BACKPACK}: SELL 0.10 ETH"] == rig.left
    assert "nothing is closed: journal not written: disk full" in rig.said


def test_a_journal_that_comes_back_is_enough(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try closes both."""
    Failing(rig.journal, "record_intent", monkeypatch, after=1, times=1)
    assert (0, (ZERO, ZERO)) == (rig.flatten(), rig.held)


def test_notes_that_are_not_written_are_said(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The venues are flat; the journal does not explain it, and the next preflight will ask."""
    Failing(rig.journal, "flush", monkeypatch, after=0, times=1)
    assert (3, (ZERO, ZERO), ["left: journal not written: disk full"]) == (rig.flatten(), rig.held, rig.left)


def told_at_last(rig: Rig, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """So many reads of the maker's fills fail, or show only what is old."""
    genuine, reads = rig.maker.fetch_fills, iter(range(1_000))

    def fetch(command: FetchFills) -> tuple[Message, ...]:
        (answer,) = genuine(command)
        assert isinstance(answer, FillsFetched)
        match next(reads):
            case number if number >= after:
                return (answer,)
            case number if number % 2:
                return (msgspec.structs.replace(answer, fills=answer.fills[:1]),)
            case _:
                return (QueryFailed(venue=rig.maker.name, query="FetchFills", reason="planted", at=0.0),)

    monkeypatch.setattr(rig.maker, "fetch_fills", fetch)


@pytest.mark.parametrize(("after", "is_settled"), [(0, True), (1, True), (1_000, False)])
def test_the_next_run_finds_every_position_explained(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, after: int, is_settled: bool
) -> None:
    """A history that lags behind its fills is read once more. What it owes even then is asked for by the next run, not taken for nothing."""
    for venue in (rig.maker, rig.hedge):
        (fetched,) = venue.fetch_fills(FetchFills(venue=venue.name, symbol=venue.symbol, lookback_s=60.0))
        assert isinstance(fetched, FillsFetched)
        rig.journal.note(FillRecorded(fill=fetched.fills[0], order=None, at=0.0))
    told_at_last(rig, monkeypatch, after)
    assert (0, (ZERO, ZERO)) == (rig.flatten(), rig.held)
    state = rig.journal.fold()
    explained = explained_positions(state, [rig.maker.instrument, rig.hedge.instrument])
    assert [True, True] == [abs(each.quantity) <= each.slack for each in explained.values()]
    assert is_settled is not bool(state.unsettled)


def test_an_order_that_was_refused_is_no_open_question(rig: Rig) -> None:
    """The second try closes the leg; the journal has an end for both."""
    rig.maker.faults.append("refuse")
    assert (0, (ZERO, ZERO)) == (rig.flatten(), rig.held)
    assert () == rig.journal.fold().unsettled


# ---- one venue -------------------------------------------------------------------------------------------------------------------


def test_a_bracket_is_closed_by_itself(rig: Rig) -> None:
    """There is no other venue to cover anything."""
    assert (0, ZERO, []) == (rig.flatten(BRACKET), rig.maker.position, rig.left)


def test_a_bracket_keeps_its_stop_where_the_journal_fails_from_the_first(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its order protects a position that could not be closed."""
    Failing(rig.journal, "begin_epoch", monkeypatch, after=0, times=1)
    with pytest.raises(JournalFailed):
        rig.flatten(BRACKET)
    assert [GRVT, BACKPACK] == rig.resting


def test_a_bracket_whose_venue_is_away_is_left(rig: Rig) -> None:
    rig.maker.away = 1_000
    assert (3, [f"left at {GRVT}: not reachable"]) == (rig.flatten(BRACKET), rig.left)


def test_a_bracket_that_is_refused_for_good_is_a_refused_configuration(rig: Rig) -> None:
    rig.maker.refusal = VenueRefused("grvt: no perpetual ZZZ")
    with pytest.raises(VenueRefused, match="ZZZ"):
        rig.flatten(BRACKET)
