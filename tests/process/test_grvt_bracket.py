"""A bracket run on GRVT at wire level, its two exits placed one by one, and as a pair that the venue itself links."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.process.kit import ETH, ROOT, Bot, World, by_night, until

SYMBOL = ETH["grvt"]


class GrvtWorld(World):
    """The same world with GRVT alone in it; both legs are far from the market unless the test moves it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--venues", "grvt")

    def write_config(self, *, iterations: int = 1, change: Callable[[str], str] = str, closed: str = "") -> None:
        text = (ROOT / "configs/grvt-bracket.toml").read_text()
        text = text.replace("state/grvt-bracket-eth", "state").replace("iterations = 1", f"iterations = {iterations}")
        text = text.replace('"0.01"', '"0.10"').replace('"0.10"       #', '"5"  #').replace('"0.05"', '"5"')
        urls = "".join(f'{key} = "{url}"\n' for key, url in self.venues.directory["grvt"].items())
        self.config.write_text(change(text) + f"\n[venues.grvt.endpoints]\n{urls}")

    def states(self) -> list[str]:
        return [line["state"] for line in self.log("PairStateChanged")]

    def until_armed(self) -> None:
        until(lambda: "ARMED" in self.states(), "the pair to be armed")

    def trick(self, name: str, **body: Any) -> None:
        self.venues.post("/trick", venue="grvt", name=name, **body)

    def move_to(self, price: str) -> None:
        self.trick("force_price", symbol=SYMBOL, price=price)

    def position(self) -> Decimal:
        fills = self.venues.get("/ledger")["grvt"]["fills"]
        return sum((Decimal(fill["quantity"]) * (1 if fill["side"] == "BUY" else -1) for fill in fills), Decimal(0))

    def leg(self, role: str) -> dict[str, Any]:
        legs = [line["order"] for line in self.log("OrderChanged") if line["order"]["role"] == role]
        return dict(legs[-1])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GrvtWorld]:
    made = GrvtWorld(tmp_path)
    yield made
    made.close()


def assert_ended_flat(world: GrvtWorld, bot: Bot) -> None:
    code = bot.wait()
    open_orders = [order for order in world.venues.get("/ledger")["grvt"]["orders"] if order["status"] == "OPEN"]
    assert (0, Decimal(0), []) == (code, world.position(), open_orders), bot.stdout + bot.stderr


@pytest.mark.night
@pytest.mark.parametrize(("price", "winner", "loser"), [("3200", "tp", "sl"), ("2800", "sl", "tp")])
def test_one_leg_wins_and_the_other_is_seen_to_end(world: GrvtWorld, price: str, winner: str, loser: str) -> None:
    """The market reaches one leg: it fills, the sibling is cancelled, the run ends flat."""
    bot = world.run()
    world.until_armed()
    world.move_to(price)
    assert_ended_flat(world, bot)
    assert ("FILLED", "0") == (world.leg(winner)["state"], world.leg(loser)["filled_quantity"])


LINKED = 'on_manual_cancel = "cancel_sibling"\nnative_oco = true'


def linked(text: str) -> str:
    return text.replace('on_manual_cancel = "cancel_sibling"', LINKED)


@pytest.mark.parametrize("ignores", [False, *by_night(True)])
@pytest.mark.parametrize(
    ("price", "winner", "loser"), [("3200", "tp", "sl"), pytest.param("2800", "sl", "tp", marks=pytest.mark.night)]
)
def test_a_linked_pair_has_one_winner_whether_the_venue_minds_it_or_not(
    world: GrvtWorld, price: str, winner: str, loser: str, ignores: bool
) -> None:
    """One bulk request places both; the venue ends the sibling, or the pair does where the venue ignores the link."""
    world.trick("ignores_pairs", is_on=ignores)
    world.write_config(change=linked)
    bot = world.run()
    world.until_armed()
    world.move_to(price)
    assert_ended_flat(world, bot)
    assert ("FILLED", "0", 1) == (
        world.leg(winner)["state"],
        world.leg(loser)["filled_quantity"],
        world.venues.count("grvt", "bulk_orders", "200"),
    )
    assert ("CLIENT_CANCEL" if ignores else "OCO_COUNTER_PART_TRIGGERED") == world.leg(loser)["reason"]


@pytest.mark.night
@pytest.mark.parametrize("fault", ["rate_limit", "lose_request", "lose_answer", "status"])
def test_a_position_is_protected_without_the_bulk_request(world: GrvtWorld, fault: str) -> None:
    """Refused or lost: the legs follow one by one, and the bracket ends as any other."""
    world.venues.post("/fault", venue="grvt", on="bulk_orders", kind=fault, count=1, status=502)
    world.write_config(change=linked)
    bot = world.run()
    world.until_armed()
    assert 1 <= world.venues.count("grvt", "bulk_orders")
    world.move_to("2800")
    assert_ended_flat(world, bot)


@pytest.mark.night
@pytest.mark.parametrize("change", [linked, str])
def test_a_killed_run_leaves_its_stop_and_resumes_its_pair(world: GrvtWorld, change: Callable[[str], str]) -> None:
    """No dead-man switch takes the legs away with the process; the next life takes them over."""
    world.write_config(change=change)
    first = world.run()
    world.until_armed()
    first.kill()
    bot = world.run()
    until(lambda: world.states().count("ARMED") == 2, "the pair to be armed again")
    assert 0 == world.venues.count("grvt", "cancel_on_disconnect")
    world.move_to("3200")
    assert_ended_flat(world, bot)


@pytest.mark.night
@pytest.mark.parametrize("change", [linked, str])
def test_a_stop_signal_ends_the_bracket_flat(world: GrvtWorld, change: Callable[[str], str]) -> None:
    """SIGTERM with the pair armed: the position is closed, no leg stays behind."""
    world.write_config(change=change)
    bot = world.run()
    world.until_armed()
    bot.send(signal.SIGTERM)
    assert_ended_flat(world, bot)


@pytest.mark.night
@pytest.mark.parametrize("change", [linked, str])
@pytest.mark.parametrize(("policy", "code", "held"), [("cancel_sibling", 3, "0.1"), ("keep_stop", 0, "0"), ("close", 0, "0")])
def test_a_leg_cancelled_by_hand_is_answered_by_the_policy(
    world: GrvtWorld, policy: str, code: int, held: str, change: Callable[[str], str]
) -> None:
    """Of a linked pair the venue ends both: what is left to decide is the same."""
    world.write_config(change=lambda text: change(text).replace('"cancel_sibling"', f'"{policy}"'))
    bot = world.run()
    world.until_armed()
    client_id = 2**63 + int(world.leg("tp")["client_order_id"])
    world.trick("cancel_by_user", client_id=str(client_id))
    until(lambda: any(line["key"] == "manual-cancel" for line in world.log("Alert")), "the alert")
    if policy == "keep_stop":
        world.move_to("2800")
    assert (code, Decimal(held)) == (bot.wait(), world.position()), bot.stdout
