"""``qualify``: the report of one venue, every line of it measured, held against what the venue itself recorded."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from adapters.journal import SqliteJournal
from adapters.lock import Claim, SingleInstance
from tests.process.bracket_kit import NEEDS_SIGNER, PLACE, ApexWorld
from tests.process.canaries import searched
from tests.process.kit import CREATE, Bot, World, by_night, until

SPREAD = r"p50 \d+\.\d ms, p99 \d+\.\d ms \({n} samples\)"
EXPECTED = {
    "native OCO or bracket orders": r"OCO (yes|no), attached TP/SL (yes|no)",
    "sibling cancelled by the venue": r"shown|not shown: the pair guards",
    "dead-man switch": r"yes|no",
    "own bound on a late order": r"\d+ s",
    "discovered instrument": r"{symbol}: tick 0\.01, lot 0\.01, minimum 0\.01 and [\d.]+ USD[CT]",
    "orders accepted": r"{n} of {n}",
    "cancel reliability": r"{n} of {n} seen to end",
    "order status flow seen": r".*ACCEPTED.* > CANCELED",
    "place to event": SPREAD,
    "cancel to terminal state": SPREAD,
    "event before the REST answer": r"\d+ of {n}",
    "REST fallback agrees with the stream": r"stream yes, look-up yes, list yes, position read yes",
    "reconnection": r"live again after \d+\.\d\d s",
    "venue clock minus ours": r"[+-]\d+ ms",
}
SYMBOLS = {"grvt": "ETH_USDT_Perp", "backpack": "ETH_USDC_PERP", "apex": "ETH-USDT"}
BOUNDS = {"grvt": "65 s", "backpack": "2 s", "apex": "66 s"}
"""The life of a signature, the request window, the first probed age beyond the 60 s that the simulator allows; each with a margin."""
CANCELS = {"grvt": "cancel_order", "backpack": "DELETE /api/v1/order", "apex": "POST /api/v3/delete-client-order-id"}
PLACES = {**CREATE, "apex": PLACE}
VENUES = ["grvt", "backpack", "apex"]


class Bench(NamedTuple):
    """A world that has the venue, and its report."""

    venue: str
    world: World

    def start(self, pairs: int) -> Bot:
        world = self.world
        arguments = (str(world.config), "--env-file", str(world.env_file), "--venue", self.venue, "--pairs", str(pairs))
        return world.start("qualify", *arguments)

    def report(self) -> dict[str, str]:
        text = (self.world.state / f"qualify-{self.venue}.md").read_text("utf-8")
        rows = re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE)
        return {question: answer for question, answer in rows if question != "question"}

    def orders(self) -> list[dict[str, object]]:
        """All that ever reached the venue."""
        return list(self.world.venues.get("/ledger")[self.venue]["orders"])

    def open_orders(self) -> list[dict[str, object]]:
        return list(self.world.venues.get("/orders")[self.venue])

    def open_in_journal(self) -> int:
        """Orders of which the next run must find out what became."""
        journal = SqliteJournal(self.world.state / "journal.sqlite")
        try:
            return len(journal.fold().unsettled)
        finally:
            journal.close(is_clean=False)

    def fault(self, kind: str, on: str, **fields: object) -> None:
        self.world.venues.post("/fault", venue=self.venue, kind=kind, on=on, **fields)


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    venue = request.param
    for world in searched(tmp_path, ApexWorld if venue == "apex" else World):
        yield Bench(venue, world)


def on_venues(day: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Those of ``day`` at every commit, the others by night."""
    marks = {venue: [NEEDS_SIGNER] * (venue == "apex") + [pytest.mark.night] * (venue not in day) for venue in VENUES}
    return pytest.mark.parametrize("bench", [pytest.param(venue, marks=marks[venue]) for venue in VENUES], indirect=True)


@on_venues(day=("grvt", "apex"))
@pytest.mark.parametrize("pairs", [2, *by_night(20)])
def test_every_question_is_answered_by_a_measurement(bench: Bench, pairs: int) -> None:
    """And the venue agrees: so many orders came, none filled, none is left."""
    code = (bot := bench.start(pairs)).wait()
    report = bench.report()
    patterns = {question: text.format(n=pairs, symbol=SYMBOLS[bench.venue]) for question, text in EXPECTED.items()}
    unanswered = {
        question: report.get(question) for question, text in patterns.items() if not re.fullmatch(text, report.get(question, ""))
    }
    assert (0, "", {}, set(EXPECTED)) == (code, bot.stderr, unanswered, set(report)), bot.stdout
    ends = {order["status"] for order in bench.orders()}
    assert (pairs + 1, {"CANCELLED"}, [], 0) == (len(bench.orders()), ends, bench.open_orders(), bench.open_in_journal())
    assert BOUNDS[bench.venue] == report["own bound on a late order"]


@on_venues()
def test_a_cancel_that_is_lost_is_not_called_reliable(bench: Bench) -> None:
    """Two of three never arrive: the report counts them, the exit code is that of orders without a known end, the journal keeps them."""
    bench.fault("lose_request", CANCELS[bench.venue], count=2)
    code = bench.start(3).wait()
    told = bench.report()["cancel reliability"]
    assert (3, "1 of 3 seen to end", 2, []) == (code, told, bench.open_in_journal(), bench.open_orders())


@on_venues()
def test_an_order_whose_answer_is_lost_must_be_seen_to_end_all_the_same(bench: Bench) -> None:
    """It was not accepted as far as anybody knows, but it may rest there."""
    bench.fault("lose_answer", PLACES[bench.venue], count=1)
    bench.fault("lose_request", CANCELS[bench.venue], count=1)
    code = bench.start(2).wait()
    report = bench.report()
    assert (3, "1 of 2", "1 of 2 seen to end") == (code, report["orders accepted"], report["cancel reliability"])


@on_venues()
def test_a_stream_that_falls_silent_is_not_passed_over(bench: Bench) -> None:
    """Nothing is heard of any order, and it does not come back: the report says both; what REST shows of the ends is told as such."""
    bot = bench.start(1)
    until(lambda: bench.world.venues.get("/health")["peers"][bench.venue]["account"], "the stream")
    until(lambda: bench.orders() or not bot.is_running, "the first order")
    bench.world.venues.post("/refuse", venue=bench.venue, channel="account", is_on=True)
    code = bot.wait()
    report = bench.report()
    heard = report["REST fallback agrees with the stream"]
    assert ("not within the limit", True) == (report["reconnection"], heard.startswith("stream no")), bot.stdout
    assert (code == 0) is (report["cancel reliability"] == "1 of 1 seen to end" and bench.open_in_journal() == 0)


@on_venues()
def test_a_stream_that_never_gets_ready_is_a_refusal(bench: Bench) -> None:
    """No order is sent that nobody could hear of."""
    bench.world.venues.post("/refuse", venue=bench.venue, channel="account", is_on=True)
    bot = bench.start(1)
    assert (2, True, []) == (bot.wait(), "the account stream did not get ready" in bot.stderr, bench.orders())


@pytest.mark.parametrize("bench", ["grvt"], indirect=True)
def test_no_pairs_measure_nothing(bench: Bench) -> None:
    """Nor would a report without a measurement be one."""
    bot = bench.start(0)
    assert (2, "perpfarm: --pairs 0; accepted: 1 or more\n", []) == (bot.wait(), bot.stderr, bench.orders())


@pytest.mark.parametrize("bench", ["backpack"], indirect=True)
def test_an_account_that_another_process_holds_is_left_alone(bench: Bench) -> None:
    """Also where the configuration's strategy does not trade there: cancelling all would take the other's stop away."""
    world = bench.world
    world.write_config(change=lambda text: text.replace('"backpack"', '"apex"'))
    held = Claim("backpack", world.venues.credentials["BACKPACK_PUBLIC_KEY"], "ETH")
    with SingleInstance(world.folder / "other", [held], runtime_dirs=[world.folder / "run" / f"perpfarm-{os.getuid()}"]):
        bot = bench.start(1)
        assert (4, []) == (bot.wait(), bench.orders())
    assert f"perpfarm: the backpack account for ETH is held by process {os.getpid()}\n" == bot.stderr


@on_venues(day=("grvt",))
def test_an_order_that_rests_already_is_not_cancelled(bench: Bench) -> None:
    """It may be the stop of a position whose bot has died."""
    bench.world.venues.post("/order", venue=bench.venue, side="BUY", quantity="0.01", price="2500", symbol=SYMBOLS[bench.venue])
    bot = bench.start(1)
    assert (2, 1, 1) == (bot.wait(), len(bench.orders()), len(bench.open_orders()))
    assert f"perpfarm: {bench.venue}: 1 open order of {SYMBOLS[bench.venue]} would be cancelled" in bot.stderr


@pytest.mark.parametrize("bench", ["grvt"], indirect=True)
def test_a_stop_leaves_nothing_resting(bench: Bench) -> None:
    """Its cancels never arrive, so that an order rests when the signal comes."""
    bench.fault("lose_request", CANCELS["grvt"])
    bot = bench.start(1)
    until(bench.open_orders, "a resting order")
    assert (3, "perpfarm: interrupted\n", []) == (bot.end(signal.SIGTERM), bot.stderr, bench.open_orders())
