"""The bot and its venues as processes of their own, and the questions asked of what they left behind.

Each world has its own simulator, state folder and lock folders, so that tests may run side by side. Nothing here judges.
"""

from __future__ import annotations

import csv
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
"""A hang guard: nothing that is waited for takes anywhere near this long."""
POLL_S = 0.01
VENUES = ("grvt", "backpack")
ETH = {"grvt": "ETH_USDT_Perp", "backpack": "ETH_USDC_PERP"}
CREATE = {"grvt": "create_order", "backpack": "POST /api/v1/order"}
"""The routes that send an order, as the nemesis names them."""
ORDER_PATHS = {"grvt": "POST /full/v1/create_order", "backpack": "POST /api/v1/order"}

CONFIG = """
[run]
state_dir  = "state"
iterations = {iterations}

[strategy]
kind         = "hedge"
ticker       = "ETH"
primary      = "grvt"
hedge        = "backpack"
size         = "0.10"
max_delta    = "0.10"
max_position = "0.50"
fx           = {{ "USDC/USDT" = "1.0" }}
{endpoints}
"""


def by_night(*values: Any) -> list[Any]:
    """Parameters that only ``make night`` runs."""
    return [pytest.param(value, marks=pytest.mark.night) for value in values]


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition``; fails the test with ``what`` when it never becomes true."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"waited in vain for: {what}")


class Venues:
    """One simulator process; it ends with ``close`` or with this process."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "simulator", "--latency", "none", *arguments]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        assert self._child.stdout is not None
        assert select.select([self._child.stdout], [], [], PATIENCE_S)[0], "the simulator said nothing"
        self.directory: dict[str, Any] = json.loads(self._child.stdout.readline())

    def send(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def close(self) -> None:
        self._child.communicate(timeout=PATIENCE_S)

    def get(self, path: str) -> Any:
        return self._ask(urllib.request.Request(self.directory["control"] + path))

    def post(self, path: str, **body: Any) -> Any:
        return self._ask(urllib.request.Request(self.directory["control"] + path, json.dumps(body).encode()))

    @staticmethod
    def _ask(request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    @property
    def credentials(self) -> dict[str, str]:
        return {name: value for venue in self.directory["accounts"].values() for name, value in venue.items()}

    def open_orders(self) -> list[dict[str, Any]]:
        return [order for orders in self.get("/orders").values() for order in orders]

    def orders_sent(self) -> int:
        """How many requests that create an order have reached the venues."""
        asked = self.get("/requests")
        return sum(asked[venue].get(path, {}).get("asked", 0) for venue, path in ORDER_PATHS.items())

    def count(self, venue: str, path_end: str, outcome: str = "asked") -> int:
        routes = self.get("/requests")[venue]
        return sum(outcomes.get(outcome, 0) for route, outcomes in routes.items() if route.endswith(path_end))

    def ledger(self) -> Ledger:
        return Ledger.of(self.get("/ledger"))


class Execution(NamedTuple):
    """One fill, as a venue's ledger and as fills.csv tell it."""

    venue: str
    trade_id: str
    side: str
    price: Decimal
    quantity: Decimal


class Ledger(NamedTuple):
    """What the venues themselves recorded of the bot's accounts."""

    fills: list[Execution]
    orders: list[tuple[str, dict[str, Any]]]
    positions: dict[str, Decimal]

    @staticmethod
    def of(told: dict[str, Any]) -> Ledger:
        fills = [
            Execution(
                venue,
                f"{fill['trade_id']}-1" if venue == "grvt" else str(fill["trade_id"]),
                fill["side"],
                Decimal(fill["price"]),
                Decimal(fill["quantity"]),
            )
            for venue in VENUES
            for fill in told[venue]["fills"]
        ]
        orders = [(venue, order) for venue in VENUES for order in told[venue]["orders"]]
        positions = {
            venue: sum((Decimal(held.get(ETH[venue], "0")) for held in told[venue]["positions"].values()), Decimal(0))
            for venue in VENUES
        }
        return Ledger(fills, orders, positions)

    @property
    def net(self) -> Decimal:
        return sum(self.positions.values(), Decimal(0))

    @property
    def is_flat(self) -> bool:
        return not any(self.positions.values())

    def volume(self, venue: str) -> Decimal:
        """Base quantity traded there; equal on both venues when every fill was hedged once."""
        return sum((fill.quantity for fill in self.fills if fill.venue == venue), Decimal(0))

    @property
    def reused_client_ids(self) -> list[tuple[str, str]]:
        seen = Counter((venue, order["client_id"]) for venue, order in self.orders if order["client_id"])
        return [key for key, times in seen.items() if times > 1]

    @property
    def open_orders(self) -> list[dict[str, Any]]:
        return [order for _, order in self.orders if order["status"] == "OPEN"]


class Bot:
    """One process of the bot, its output in files so that no pipe can block it; ``options`` are Popen's, over those here."""

    def __init__(self, folder: Path, arguments: list[str], environment: dict[str, str], **options: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(ROOT / "supervisor.py"), *arguments]
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            usual = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, "start_new_session": True}
            self._child = subprocess.Popen(command, cwd=folder.parent, env=environment, **{**usual, **options})

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.poll() is None

    @property
    def is_stopped(self) -> bool:
        """By SIGSTOP, which takes a moment."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text("utf-8")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text("utf-8")

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._child.send_signal(number)

    def wait(self) -> int:
        try:
            return self._child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running; its output so far: {self.stdout}\n{self.stderr}") from None

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL, to it alone."""
        self.send(signal.SIGKILL)
        self._child.wait(PATIENCE_S)


def log_lines(state: Path) -> list[dict[str, Any]]:
    """All lines so far, those of files that were rotated away first; one that is being written is left out."""
    found = []
    for path in sorted(state.glob("log.jsonl*"), reverse=True):
        with suppress(FileNotFoundError):
            found += [json.loads(line) for line in path.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]
    return found


class World:
    """A folder with a configuration and credentials, the venues it points at, and the bots started in it."""

    def __init__(self, folder: Path, *simulator_arguments: str) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "bot.toml"
        self.env_file = folder / "bot.env"
        self.venues = Venues(*simulator_arguments)
        self._bots: list[Bot] = []
        (folder / "run").mkdir(mode=0o700)
        self.write_config()
        self.write_credentials(self.venues.credentials)

    def write_config(self, *, iterations: int = 0, change: Callable[[str], str] = str, closed: str = "") -> None:
        """``change`` edits the text; ``closed`` names a venue whose endpoints shall be a port where nobody listens."""
        lines = []
        for venue in VENUES:
            lines.append(f"[venues.{venue}.endpoints]")
            for key, url in self.venues.directory[venue].items():
                lines.append(f'{key} = "{url if venue != closed else url.partition(":")[0] + "://127.0.0.1:1"}"')
        self.config.write_text(change(CONFIG.format(iterations=iterations, endpoints="\n".join(lines))))

    def write_credentials(self, values: dict[str, str]) -> None:
        self.env_file.touch(mode=0o600)
        self.env_file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    @property
    def environment(self) -> dict[str, str]:
        """Ours without anybody's credentials, and with lock folders of this world only."""
        foreign = ("GRVT_", "BACKPACK_", "APEX_", "PARADEX_", "TELEGRAM_", "LARK_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {
            **kept,
            "TMPDIR": str(self.folder / "run"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "PYTHONWARNINGS": "error",
        }

    def start(self, *arguments: str, **options: Any) -> Bot:
        bot = Bot(self.folder / f"bot{len(self._bots)}", list(arguments), self.environment, **options)
        self._bots.append(bot)
        return bot

    def run(self, *arguments: str, **options: Any) -> Bot:
        return self.start("run", str(self.config), "--env-file", str(self.env_file), *arguments, **options)

    def command(self, name: str) -> Bot:
        return self.start(name, str(self.config), "--env-file", str(self.env_file))

    def close(self) -> None:
        for bot in self._bots:
            if bot.is_running:
                bot.kill()
        self.venues.close()

    # ---- what the bot wrote ----------------------------------------------------------------------------------------------------

    def fills_csv(self) -> list[Execution]:
        return executions(self.state / "fills.csv")

    def paired_quantity(self) -> Decimal:
        """Base quantity of all lines of pairs.csv."""
        with (self.state / "pairs.csv").open(newline="") as file:
            return sum((Decimal(row["qty"]) for row in csv.DictReader(file)), Decimal(0))

    def log(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event so far."""
        return [line for line in log_lines(self.state) if line["event"] == event]

    # ---- moments ---------------------------------------------------------------------------------------------------------------

    def until_holding(self, bot: Bot) -> None:
        """``bot`` has the lock of the state folder: from here on it answers signals."""
        until(lambda: self.lock_holder() == bot.pid or not bot.is_running, "the lock to be taken")

    def lock_holder(self) -> int | None:
        """What the last holder wrote into the lock file."""
        with suppress(FileNotFoundError, ValueError):
            return int((self.state / "lock").read_text())
        return None

    def until_active(self) -> None:
        until(lambda: any(line["state"] == "ACTIVE" for line in self.log("TradingStateChanged")), "ACTIVE")

    def until_quoting(self) -> None:
        until(self.venues.open_orders, "a resting quote")

    def until_filled(self, count: int = 1, venue: str = "grvt") -> None:
        """``count`` fills in all at that venue; somebody takes each quote as soon as it rests, so that nobody waits for the market."""

        def filled() -> bool:
            if count <= sum(fill.venue == venue for fill in self.venues.ledger().fills):
                return True
            self.take_quotes()
            return False

        until(filled, f"{count} fills at {venue}")

    def take_quotes(self) -> None:
        """Takes whatever rests."""
        for quote in self.venues.get("/orders")["grvt"]:
            self.hit(quote)

    def hit(self, quote: dict[str, Any]) -> None:
        """Takes the bot's quote at GRVT: an IOC of another account at its price, large enough for all that is ahead of it."""
        self.venues.post(
            "/order",
            venue="grvt",
            symbol=quote["symbol"],
            side="SELL" if quote["side"] == "BUY" else "BUY",
            quantity="50",
            price=quote["price"],
            account="flow",
            tif="IOC",
        )

    def until_filled_anew(self, count: int = 1) -> None:
        self.until_filled(sum(fill.venue == "grvt" for fill in self.venues.ledger().fills) + count)


def executions(path: Path) -> list[Execution]:
    with path.open(newline="") as file:
        return [
            Execution(row["venue"], row["trade_id"], row["side"], Decimal(row["price"]), Decimal(row["qty"]))
            for row in csv.DictReader(file)
        ]


def printed_residue(output: str) -> dict[str, Decimal]:
    """Signed base by venue, from the lines ``left at VENUE: SIDE QUANTITY``."""
    found = {}
    for line in output.splitlines():
        words = line.split()
        if line.startswith("left at ") and words[3] in ("BUY", "SELL"):
            found[words[2].rstrip(":")] = Decimal(words[4]) * (1 if words[3] == "BUY" else -1)
    return found
