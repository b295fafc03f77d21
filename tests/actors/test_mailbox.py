"""Stable names, dead letters, and the inbox: its alarm, its wake-up time, its latest-wins books."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import pykka

from actors.mailbox import Addresses, Inbox
from core.messages import BookLost, BookUpdated, Stop, Tick
from core.types import VenueId

GUARD_S = 20.0


class Letter(NamedTuple):
    """What pykka puts into an inbox, as far as the inbox looks at it."""

    message: object
    reply_to: None = None


class Receiver(pykka.ThreadingActor):
    use_daemon_thread = True

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Event()
        self.received: list[object] = []

    def on_receive(self, message: Any) -> None:
        self.received.append(message)
        self.arrived.set()


def book(sequence: float, symbol: str = "ETH") -> BookUpdated:
    return BookUpdated(venue=VenueId("grvt"), symbol=symbol, bids=(), asks=(), received_at=sequence)


def lost() -> BookLost:
    return BookLost(venue=VenueId("grvt"), symbol="ETH", reason="gap", at=0.0)


def taken(inbox: Inbox) -> list[object]:
    out = []
    while not inbox.empty():
        out.append(inbox.get().message)
    return out


# ---- names ---------------------------------------------------------------------------------------------------------------------


def test_a_message_to_a_name_reaches_whoever_has_it() -> None:
    """Told through the address, received by the actor."""
    addresses = Addresses()
    ref = Receiver.start()
    actor = ref._actor_weakref()
    assert actor is not None
    addresses.register("quoter", ref, 1)
    addresses.of("quoter").tell("hello")
    assert actor.arrived.wait(GUARD_S)
    ref.stop()
    assert ["hello"] == actor.received


def test_an_address_taken_before_the_actor_exists_reaches_it_later() -> None:
    """Actors are wired by name in any order."""
    addresses = Addresses()
    early = addresses.of("quoter")
    ref = Receiver.start()
    addresses.register("quoter", ref, 1)
    assert early.tell("hello")
    ref.stop()


def test_telling_a_name_that_nobody_has_counts_a_dead_letter() -> None:
    """It does not raise, and it is not silent."""
    addresses = Addresses()
    addresses.of("quoter").tell("hello")
    assert {"quoter": 1} == addresses.dead_letters()


def test_telling_a_dead_actor_counts_a_dead_letter() -> None:
    """pykka would raise ActorDeadError into the sender (RELIABILITY §2.1 row 4)."""
    addresses = Addresses()
    ref = Receiver.start()
    addresses.register("quoter", ref, 1)
    ref.stop()
    for _ in range(1000):
        addresses.of("quoter").tell("hello")
    assert {"quoter": 1000} == addresses.dead_letters()


def test_dead_letters_of_many_threads_are_all_counted() -> None:
    """No increment is lost between threads."""
    address = Addresses().of("nobody")
    threads = [threading.Thread(target=lambda: [address.tell("x") for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD_S)
    assert 16_000 == address.dead_letters


def test_an_older_epoch_cannot_take_the_name_back() -> None:
    """A late start of a replaced child stays without a name."""
    addresses = Addresses()
    young, old = Receiver.start(), Receiver.start()
    addresses.register("hedger", young, 5)
    assert (False, young) == (addresses.register("hedger", old, 4), addresses.ref("hedger"))
    young.stop()
    old.stop()


def test_a_withdrawn_name_belongs_to_nobody() -> None:
    """What is told to an abandoned actor does not reach it."""
    addresses = Addresses()
    ref = Receiver.start()
    addresses.register("hedger", ref, 1)
    addresses.withdraw("hedger")
    assert not addresses.of("hedger").tell("hello")
    ref.stop()


# ---- inbox ---------------------------------------------------------------------------------------------------------------------


def test_messages_come_out_in_the_order_they_went_in() -> None:
    """First in, first out, books in their turn."""
    inbox = Inbox()
    for message in ("a", book(1.0), "b"):
        inbox.put(Letter(message))
    assert ["a", book(1.0), "b"] == taken(inbox)


def test_of_waiting_books_only_the_newest_is_kept() -> None:
    """100,000 books are one message, in the place of the first (D7)."""
    inbox = Inbox()
    inbox.put(Letter("before"))
    for n in range(100_000):
        inbox.put(Letter(book(float(n))))
    inbox.put(Letter("after"))
    assert ["before", book(99_999.0), "after"] == taken(inbox)


def test_a_lost_book_replaces_the_book_that_waits() -> None:
    """A consumer never acts on a book that is already known to be lost."""
    inbox = Inbox()
    for message in (book(1.0), lost()):
        inbox.put(Letter(message))
    assert [lost()] == taken(inbox)


def test_books_of_two_instruments_do_not_replace_each_other() -> None:
    """One slot an instrument."""
    inbox = Inbox()
    for message in (book(1.0, "ETH"), book(2.0, "BTC")):
        inbox.put(Letter(message))
    assert [book(1.0, "ETH"), book(2.0, "BTC")] == taken(inbox)


def test_a_book_after_a_taken_one_is_delivered() -> None:
    """The slot is free again once its book was taken."""
    inbox = Inbox()
    inbox.put(Letter(book(1.0)))
    first = inbox.get().message
    inbox.put(Letter(book(2.0)))
    assert (book(1.0), [book(2.0)]) == (first, taken(inbox))


def test_the_last_book_always_arrives() -> None:
    """A reader and a writer at full speed: the newest book is never left behind in its slot."""
    inbox = Inbox()
    seen: list[float] = []

    def read() -> None:
        while not seen or seen[-1] < 19_999.0:
            seen.append(inbox.get().message.received_at)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for n in range(20_000):
        inbox.put(Letter(book(float(n))))
    reader.join(GUARD_S)
    assert (False, sorted(seen)) == (reader.is_alive(), seen)


def test_the_alarm_rings_once_while_the_inbox_stays_deep() -> None:
    """At the alarm depth, and not for each message above it."""
    inbox, alarms = Inbox(flood_depth=10), []
    inbox.on_flood = alarms.append
    for n in range(50):
        inbox.put(Letter(n))
    assert [10] == alarms


def test_a_flood_drops_nothing() -> None:
    """Above the alarm depth every message is still there."""
    inbox = Inbox(flood_depth=10)
    for n in range(50):
        inbox.put(Letter(n))
    assert list(range(50)) == taken(inbox)


def test_the_alarm_rings_again_after_the_inbox_was_worked_off() -> None:
    """Two floods are two alarms."""
    inbox = Inbox(flood_depth=10)
    for _ in range(2):
        for n in range(20):
            inbox.put(Letter(n))
        taken(inbox)
    assert 2 == inbox.floods


def test_at_its_wake_up_time_the_reader_gets_a_tick() -> None:
    """No message came, and yet it returns."""
    inbox = Inbox()
    inbox.wake_at = 0.0
    assert (Tick(), None) == (inbox.get().message, inbox.wake_at)


def test_a_due_tick_is_not_held_up_by_waiting_messages() -> None:
    """A busy inbox does not stop time; the message comes next."""
    inbox = Inbox()
    inbox.put(Letter("busy"))
    inbox.wake_at = 0.0
    assert [Tick(), "busy"] == [inbox.get().message, inbox.get().message]


def test_a_message_before_the_wake_up_time_is_delivered_at_once() -> None:
    """Waiting with a time limit is still waiting for messages."""
    inbox = Inbox()
    inbox.wake_at = 1e12
    inbox.put(Letter(Stop(reason="x")))
    assert Stop(reason="x") == inbox.get().message
