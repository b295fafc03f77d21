"""A flood of books while a fill arrives: books are conflated, and no fill waits behind one (RELIABILITY.md D7, A9, I19)."""

from __future__ import annotations

import queue
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest

from core.messages import BookUpdated, Message, Tick
from core.quoter import Quoter
from core.routing import HEDGER, QUOTER, RECORDER
from tests.faults.house import GRVT, GUARD_S, House, LocalVenue
from tests.faults.rig import Fault, LocalRun, Saboteur, assert_adds_up, quicken, running, until

BOOKS = 100_000
FILL_AT = 50_000
LOOK_EVERY = 500
DEPTH_MAX = 200
"""Waiting messages of one actor; a queue that kept every book would hold thousands."""
SLOW_S = 0.05


def flood(run: LocalRun, venue: LocalVenue, house: House) -> tuple[int, int]:
    """``BOOKS`` books and more, as fast as they can be told, until the fill in their midst is hedged: how many were told before
    the hedge came, and the deepest inbox on the way."""
    route = run.composition.route(f"market_feed.{venue.name}")
    deepest = told = 0
    book = venue.fetch_book("")
    deadline = time.monotonic() + GUARD_S
    while told < BOOKS or (house.hedge.volume == 0 and time.monotonic() < deadline):
        route(book)
        told += 1
        if told % LOOK_EVERY == 0:
            deepest = max(deepest, *(run.depth(name) for name in (HEDGER, QUOTER, RECORDER)))
            book = venue.fetch_book("")
        if told == FILL_AT:
            (quote,) = until(lambda: house.maker.open_orders, "a quote")
            house.maker.hit(quote)
    return told, deepest


@pytest.mark.parametrize("slow", [None, QUOTER, HEDGER])
def test_a_fill_in_a_flood_of_books_is_hedged_while_the_flood_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: str | None
) -> None:
    """With everybody quick, or with one actor that takes its time over every book; no inbox grows with the flood."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with running(tmp_path, house, monkeypatch) as run:
        until(lambda: house.maker.open_orders, "a quote")
        if slow is not None:
            saboteur.plant(Fault(slow, BookUpdated.__name__, block=lambda: time.sleep(SLOW_S)), times=1_000_000)
        _, deepest = flood(run, house.hedge, house)
        assert (True, True, []) == (house.hedge.volume > 0, deepest <= DEPTH_MAX, run.crashes)
        saboteur.disarm()
        assert 3 == run.end()
    assert_adds_up(house)


def test_the_newest_book_is_the_one_that_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quoter is held while the market runs away: the first book it looks at afterwards is the last one."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    entered, gate, seen = threading.Event(), threading.Event(), queue.SimpleQueue[Decimal]()
    handle = Quoter.handle

    def note(quoter: Quoter, message: Message, now: float) -> tuple[Message, ...]:
        if gate.is_set() and isinstance(message, BookUpdated) and message.venue == house.maker.name:
            seen.put(message.bids[0].price)
        return handle(quoter, message, now)

    def hang() -> None:
        entered.set()
        gate.wait(GUARD_S)

    monkeypatch.setattr(Quoter, "handle", note)
    with running(tmp_path, house, monkeypatch) as run:
        until(lambda: house.maker.open_orders, "a quote")
        saboteur.plant(Fault(QUOTER, Tick.__name__, block=hang))
        assert entered.wait(GUARD_S)
        for _ in range(50):
            house.maker.shift(1)
            run.composition.route(f"market_feed.{GRVT}")(house.maker.fetch_book(""))
        newest = house.maker.fetch_book("").bids[0].price
        gate.set()
        assert newest == seen.get(timeout=GUARD_S)
        run.assert_ends_in_order()
    assert_adds_up(house)
