"""``status``, ``doctor``, ``flatten``, ``--dry-run`` and the health signal, each as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from tests.faults.processes import health_dump
from tests.process.kit import ETH, PATIENCE_S, ROOT, World, by_night, printed_residue, until

DUMP_KEYS = {
    *("ts", "pid", "state", "uptime_s", "actors", "feeds", "orders", "positions", "net_delta", "uncovered", "unknown_orders"),
    *("limits", "metrics"),
}
ACTORS = {
    *("recorder", "order_tracker", "risk", "fallback", "hedger", "quoter"),
    *(f"{kind}.{venue}" for kind in ("rate_limiter", "order_gateway", "rest_poller") for venue in ("grvt", "backpack")),
    *(f"{kind}_feed.{venue}" for kind in ("market", "account") for venue in ("grvt", "backpack")),
}
METRICS = {
    *("ws_events_received", "oco_success", "oco_failures", "avg_latency_ms", "ws_disconnects", "rest_fallback_triggers"),
    "dead_letters",
}


def healthy(dump: dict[str, Any]) -> dict[str, Any] | None:
    """None where somebody was too busy with a venue to answer in time, or the venues too slow for quotes."""
    return dump if {"running"} == {actor["state"] for actor in dump["actors"]} and dump["state"] == "ACTIVE" else None


def test_the_health_signal_writes_everything(world: World) -> None:
    """Every key of the contract, every actor running, both venues' limits, the seed's metrics, dead letters; and the run goes on."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    dump = until(lambda: healthy(health_dump(world, bot)), "a dump in which all is well")
    assert (DUMP_KEYS, bot.pid) == (set(dump), dump["pid"])
    assert ACTORS == {actor["name"] for actor in dump["actors"]}
    assert ["LIVE"] * 4 == [feed["state"] for feed in dump["feeds"]]
    assert ({"grvt", "backpack"}, set()) == (set(dump["limits"]), METRICS - set(dump["metrics"]))
    assert bot.is_running


def test_the_health_dump_lists_the_resting_order(world: World) -> None:
    """With the ids of both sides, as the venue has it."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()

    def resting() -> list[tuple[str, str, Decimal]]:
        return [(order["client_id"], order["side"], Decimal(order["price"])) for order in world.venues.open_orders()]

    def listed() -> list[tuple[str, str, Decimal]]:
        orders = health_dump(world, bot)["orders"]
        return [(str(2**63 + order["client_order_id"]), order["side"], Decimal(order["price"])) for order in orders]

    until(lambda: [] != resting() == listed(), "the order at the venue to be the one in the dump")


def test_status_prints_the_dump_of_the_running_process(world: World) -> None:
    """Exit code 0 and JSON on standard output, from the process that holds the folder."""
    bot = world.run()
    world.until_active()
    status = world.start("status", "--state-dir", str(world.state))
    code = status.wait()
    assert (0, bot.pid) == (code, json.loads(status.stdout)["pid"])


def test_status_without_a_running_process_says_so(world: World) -> None:
    """Exit code 2, one line."""
    status = world.start("status", "--state-dir", str(world.state))
    assert (2, 1) == (status.wait(), status.stderr.count("\n"))


def test_doctor_says_go(world: World) -> None:
    """Exit code 0, and no order request reached a venue."""
    doctor = world.command("doctor")
    assert (0, "GO", 0) == (doctor.wait(), doctor.stdout.split()[-1], world.venues.orders_sent())


def test_doctor_says_no_go(world: World) -> None:
    """A foreign order at a venue: exit code 2."""
    world.venues.post("/order", venue="backpack", symbol=ETH["backpack"], side="BUY", quantity="0.10", price="2900")
    doctor = world.command("doctor")
    assert (2, "NO-GO", 0) == (doctor.wait(), doctor.stdout.split()[-1], world.venues.orders_sent())


def test_flatten_cancels_and_closes_what_is_not_ours(world: World) -> None:
    """It is the way out for an account that the preflight refuses."""
    for venue in ETH:
        world.venues.post("/order", venue=venue, symbol=ETH[venue], side="BUY", quantity="0.20", tif="IOC")
        world.venues.post("/order", venue=venue, symbol=ETH[venue], side="BUY", quantity="0.10", price="2900", client_id="77")
    flatten = world.command("flatten")
    code = flatten.wait()
    ledger = world.venues.ledger()
    assert (0, "", True, []) == (code, flatten.stderr, ledger.is_flat, ledger.open_orders)


def test_flatten_closes_what_a_killed_run_left_and_the_next_run_goes_on(world: World) -> None:
    """The journal knows the closing orders, so the next preflight has nothing to object to."""
    bot = world.run()
    world.until_filled(venue="backpack")
    bot.kill()
    flatten = world.command("flatten")
    assert (0, "", True) == (flatten.wait(), flatten.stderr, world.venues.ledger().is_flat)
    again = world.run()
    world.until_holding(again)
    world.until_filled_anew()
    code = again.end()
    ledger = world.venues.ledger()
    assert ("", 0, [], 0 if ledger.is_flat else 3) == (again.stderr, ledger.net, ledger.reused_client_ids, code)


def test_flatten_says_what_it_could_not_close(world: World) -> None:
    """Nobody to trade with at one venue: exit code 3 and the position in a line."""
    world.venues.post("/order", venue="backpack", symbol=ETH["backpack"], side="BUY", quantity="0.20", tif="IOC")
    world.venues.post("/market", remove_liquidity="backpack")
    flatten = world.command("flatten")
    assert (3, {"backpack": Decimal("0.2")}) == (flatten.wait(), printed_residue(flatten.stdout)), flatten.stdout


def test_flatten_with_a_damaged_journal_cancels_and_closes_nothing(world: World) -> None:
    """No order leaves without its intent; what rests is cancelled all the same, and the file and what is held are named."""
    world.venues.post("/order", venue="grvt", symbol=ETH["grvt"], side="BUY", quantity="0.10", tif="IOC")
    world.venues.post(
        "/order", venue="backpack", symbol=ETH["backpack"], side="BUY", quantity="0.10", price="2900", client_id="77"
    )
    world.state.mkdir(parents=True)
    (world.state / "journal.sqlite").write_bytes(b"damaged" * 100)
    flatten = world.command("flatten")
    code, ledger = flatten.wait(), world.venues.ledger()
    assert (3, "", []) == (code, flatten.stderr, ledger.open_orders)
    assert ({"grvt": Decimal("0.1")}, True) == (printed_residue(flatten.stdout), "nothing is closed: " in flatten.stdout)


@pytest.mark.parametrize("away", ["backpack", *by_night("grvt")])
def test_flatten_with_a_venue_out_of_reach_makes_no_exposure(world: World, away: str) -> None:
    """Each leg covers the other: the orders that can be reached go, no leg does, and both venues are named. Later it closes all."""
    here = next(venue for venue in ETH if venue != away)
    for venue, side in (("grvt", "BUY"), ("backpack", "SELL")):
        world.venues.post("/order", venue=venue, symbol=ETH[venue], side=side, quantity="0.10", tif="IOC")
        world.venues.post("/order", venue=venue, symbol=ETH[venue], side="BUY", quantity="0.10", price="2900", client_id="77")
    held = world.venues.ledger().positions
    world.venues.post("/refuse", venue=away, channel="rest", is_on=True)
    flatten = world.command("flatten")
    code = flatten.wait()
    resting = [venue for venue, orders in world.venues.get("/orders").items() for _ in orders]
    assert (3, held, [away], "") == (code, world.venues.ledger().positions, resting, flatten.stderr)
    assert ({here: held[here]}, True) == (printed_residue(flatten.stdout), f"left at {away}: not reachable" in flatten.stdout)
    world.venues.post("/refuse", venue=away, channel="rest", is_on=False)
    again = world.command("flatten")
    ended = again.wait()
    ledger = world.venues.ledger()
    assert (0, True, []) == (ended, ledger.is_flat, ledger.open_orders), again.stdout


def test_flatten_keeps_away_from_a_running_bot(world: World) -> None:
    """Exit code 4, and nothing is asked of the venues; the bot is held still so that no request is its own."""
    bot = world.run()
    world.until_quoting()
    bot.send(signal.SIGSTOP)
    until(lambda: bot.is_stopped, "the bot to hold still")
    before = world.venues.get("/requests")
    code = world.command("flatten").wait()
    after = world.venues.get("/requests")
    bot.send(signal.SIGCONT)
    assert (4, before) == (code, after)


def test_a_dry_run_decides_and_sends_nothing(world: World) -> None:
    """Attempts are in the log, no order request at a venue; the first line says so, and the log how it ended."""
    bot = world.run("--dry-run")
    until(lambda: world.log("AttemptStarted"), "an attempt")
    until(lambda: world.log("OrderRejected"), "an order that is held back")
    code = bot.end()
    assert (0, 0, "", "dry run: ") == (code, world.venues.orders_sent(), bot.stderr, bot.stdout[:9])
    assert [(0, "")] == [(line["exit_code"], line["left"]) for line in world.log("ended")]


@pytest.mark.parametrize("arguments", [("--size", "0.05")], ids=lambda pair: pair[0])
def test_a_flag_overrides_the_file(world: World, arguments: tuple[str, str]) -> None:
    """The first quote has the size of the flag, or of the file where the flag says nothing of it."""
    bot = world.run(*arguments)
    world.until_quoting()
    bot.end()
    first = next(order for venue, order in world.venues.ledger().orders if venue == "grvt")
    assert Decimal("0.05" if arguments[0] == "--size" else "0.10") == Decimal(first["quantity"])


INTERRUPTED_IMPORT = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "pykka":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
runpy.run_path("supervisor.py", run_name="__main__")
"""


def test_an_interrupt_among_the_imports_ends_it_without_a_traceback() -> None:
    """They take half a second, in which a hand may well think better of it."""
    command = [sys.executable, "-c", INTERRUPTED_IMPORT]
    ended = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, timeout=PATIENCE_S)
    assert (-signal.SIGINT, b"", b"") == (ended.returncode, ended.stdout, ended.stderr)
