"""A bracket run at wire level: each of the four ways an OCO pair can end, and the ends of the process in between."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.process.kit import ROOT, Bot, World, by_night, until

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("apexomni") is None, reason="the order signer of ApeX is not installed: make test-apex"
)

SYMBOL = "ETH-USDT"
WIDE = 'take_profit_pct = "5"\nstop_loss_pct   = "5"'


class ApexWorld(World):
    """The same world with ApeX alone in it; both legs are far from the market unless the test moves it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--venues", "apex")

    def write_config(self, *, iterations: int = 1, change: Callable[[str], str] = str, closed: str = "") -> None:
        text = (ROOT / "configs/paper-bracket.toml").read_text()
        text = text.replace("state/paper-bracket", "state").replace("iterations = 3", f"iterations = {iterations}")
        text = text.replace('take_profit_pct = "0.002"\nstop_loss_pct   = "0.002"', WIDE)
        urls = "".join(f'{key} = "{url}"\n' for key, url in self.venues.directory["apex"].items())
        self.config.write_text(change(text) + f"\n[venues.apex.endpoints]\n{urls}")

    def states(self) -> list[str]:
        return [line["state"] for line in self.log("PairStateChanged")]

    def until_armed(self) -> None:
        until(lambda: "ARMED" in self.states(), "the pair to be armed")

    def move_to(self, price: str) -> None:
        self.venues.post("/trick", venue="apex", name="force_price", symbol=SYMBOL, price=price)

    def orders(self) -> list[dict[str, Any]]:
        return [order for order in self.log("OrderChanged") if order["order"]["role"] in ("tp", "sl")]

    def position(self) -> Decimal:
        fills = self.venues.get("/ledger")["apex"]["fills"]
        return sum((Decimal(fill["quantity"]) * (1 if fill["side"] == "BUY" else -1) for fill in fills), Decimal(0))

    def open_at_venue(self) -> list[dict[str, Any]]:
        return [order for order in self.venues.get("/ledger")["apex"]["orders"] if order["status"] == "OPEN"]

    def leg(self, role: str) -> dict[str, Any]:
        legs = [line["order"] for line in self.log("OrderChanged") if line["order"]["role"] == role]
        return dict(legs[-1])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApexWorld]:
    made = ApexWorld(tmp_path)
    yield made
    made.close()


def assert_ended_flat(world: ApexWorld, bot: Bot) -> None:
    code = bot.wait()
    assert (0, Decimal(0), []) == (code, world.position(), world.open_at_venue()), bot.stdout + bot.stderr


ROUNDS = [0, *by_night(*range(1, 20))]


@pytest.mark.parametrize("_round", ROUNDS)
@pytest.mark.parametrize(("price", "winner", "loser"), [("3200", "tp", "sl"), ("2800", "sl", "tp")])
def test_one_leg_wins_and_the_other_is_seen_to_end(world: ApexWorld, price: str, winner: str, loser: str, _round: int) -> None:
    """The market reaches one leg: it fills, the sibling is cancelled, the run ends flat."""
    bot = world.run()
    world.until_armed()
    world.move_to(price)
    assert_ended_flat(world, bot)
    assert ("FILLED", "0") == (world.leg(winner)["state"], world.leg(loser)["filled_quantity"])


@pytest.mark.parametrize("_round", ROUNDS)
def test_a_killed_run_resumes_its_pair(world: ApexWorld, _round: int) -> None:
    """SIGKILL with both legs resting: the next life takes them over, and the pair still has one winner."""
    first = world.run()
    world.until_armed()
    first.kill()
    bot = world.run()
    until(lambda: world.states().count("ARMED") == 2, "the pair to be armed again")
    world.move_to("3200")
    assert_ended_flat(world, bot)


@pytest.mark.parametrize("_round", ROUNDS)
def test_a_stop_signal_ends_the_bracket_flat(world: ApexWorld, _round: int) -> None:
    """SIGTERM with the pair armed: the position is closed, no leg stays behind."""
    bot = world.run()
    world.until_armed()
    bot.send(signal.SIGTERM)
    assert_ended_flat(world, bot)


@pytest.mark.parametrize("_round", ROUNDS)
@pytest.mark.parametrize(("policy", "code", "held"), [("cancel_sibling", 3, "0.1"), ("keep_stop", 0, "0"), ("close", 0, "0")])
def test_a_leg_cancelled_by_hand_is_answered_by_the_policy(
    tmp_path: Path, policy: str, code: int, held: str, _round: int
) -> None:
    """cancel_sibling: the user has the position now; keep_stop: the stop still ends it; close: it is closed at once."""
    world = ApexWorld(tmp_path)
    try:
        world.write_config(change=lambda text: text.replace(WIDE, f'{WIDE}\non_manual_cancel = "{policy}"'))
        bot = world.run()
        world.until_armed()
        world.venues.post("/trick", venue="apex", name="cancel_by_user", order_id=int(world.leg("tp")["venue_order_id"]))
        until(lambda: any(line["key"] == "manual-cancel" for line in world.log("Alert")), "the alert")
        if policy == "keep_stop":
            world.move_to("2800")
        assert (code, Decimal(held), []) == (bot.wait(), world.position(), world.open_at_venue()), bot.stdout
    finally:
        world.close()
