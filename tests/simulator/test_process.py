"""The simulator as a process: how it starts, what its ports offer, and how it ends."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import websocket

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 20.0
ETH = "ETH_USDC_PERP"
HAND_ORDER = {"venue": "backpack", "symbol": ETH, "side": "BUY", "quantity": "0.10"}


class Process:
    """One simulator and the directory it printed."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-W", "error", "-m", "simulator", "--latency", "none", *arguments]
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self.child.stdout is not None
        assert select.select([self.child.stdout], [], [], WAIT_S)[0], "the directory was not printed in time"
        line = self.child.stdout.readline()
        assert line, self.child.communicate()[1]
        self.directory: dict[str, Any] = json.loads(line)

    def get(self, path: str) -> Any:
        return self._ask(urllib.request.Request(self.directory["control"] + path))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._ask(urllib.request.Request(self.directory["control"] + path, json.dumps(body).encode()))

    def end(self, how: signal.Signals | None = None) -> tuple[int, str]:
        """Exit code and what was written to standard error; without a signal by closing standard input."""
        if how is not None:
            self.child.send_signal(how)
            self.child.wait(WAIT_S)
        _, errors = self.child.communicate(timeout=WAIT_S)
        return self.child.returncode, errors

    def _ask(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Shared by the tests that leave it as they found it."""
    started = Process("--state", str(tmp_path_factory.mktemp("state") / "ledger.json"))
    yield started
    started.end()


@pytest.fixture
def calm(process: Process) -> Iterator[Process]:
    """The shared process, with every fault and outage undone afterwards."""
    yield process
    process.post("/fault/clear", {})
    process.post("/market", {"freeze": False, "remove_liquidity": None})
    for venue in ("grvt", "backpack"):
        for channel in ("rest", "market", "account"):
            process.post("/refuse", {"venue": venue, "channel": channel, "is_on": False})


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, None], ids=["SIGTERM", "SIGINT", "end of standard input"])
def test_it_ends_in_order_and_leaves_its_ledger(how: signal.Signals | None, tmp_path: Path) -> None:
    """Exit code 0, nothing on standard error, and the order given by hand in the ledger file."""
    state = tmp_path / "ledger.json"
    process = Process("--state", str(state))
    order = process.post("/order", HAND_ORDER)
    ended = process.end(how)
    kept = json.loads(state.read_text())["backpack"]["orders"]
    assert ((0, ""), [order["order_id"]]) == (ended, [each["order_id"] for each in kept])


def test_an_unknown_market_is_refused() -> None:
    """argparse names the profiles there are; exit code 2."""
    ended = subprocess.run(
        [sys.executable, "-m", "simulator", "--market", "moon"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (2, True) == (ended.returncode, "lively" in ended.stderr)


def test_the_directory_names_what_a_bot_needs(process: Process) -> None:
    """Endpoints by the names the adapters accept, credentials by the names of the environment."""
    names = {name: sorted(process.directory[name]) for name in ("grvt", "backpack")}
    credentials = {name: sorted(values) for name, values in process.directory["accounts"].items()}
    expected_names = {"grvt": ["edge", "market_data", "market_data_ws", "trades", "trades_ws"], "backpack": ["rest", "ws"]}
    expected_credentials = {
        "grvt": ["GRVT_API_KEY", "GRVT_ENVIRONMENT", "GRVT_PRIVATE_KEY", "GRVT_TRADING_ACCOUNT_ID"],
        "backpack": ["BACKPACK_PUBLIC_KEY", "BACKPACK_SECRET_KEY"],
    }
    assert (expected_names, expected_credentials) == (names, credentials)


def test_every_endpoint_is_on_loopback(process: Process) -> None:
    """Nobody else can reach it."""
    urls = [*process.directory["grvt"].values(), *process.directory["backpack"].values(), process.directory["control"]]
    assert ["//127.0.0.1"] * len(urls) == [url[url.index("//") : url.rindex(":")] for url in urls]


def depth(process: Process) -> Any:
    url = f"{process.directory['backpack']['rest']}/api/v1/depth?symbol={ETH}"
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        return json.load(answer)


def test_the_faces_answer(process: Process) -> None:
    """Both venues show a book with two sides over their own REST."""
    url = f"{process.directory['grvt']['market_data']}/full/v1/book"
    body = json.dumps({"instrument": "ETH_USDT_Perp", "depth": 10}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=WAIT_S) as answer:
        grvt = json.load(answer)["result"]
    backpack = depth(process)
    assert [True] * 4 == [bool(book[side]) for book in (grvt, backpack) for side in ("bids", "asks")]


def subscribed(process: Process) -> websocket.WebSocket:
    client = websocket.create_connection(process.directory["backpack"]["ws"], timeout=WAIT_S)
    client.send(json.dumps({"method": "SUBSCRIBE", "params": [f"depth.{ETH}"]}))
    client.recv()
    return client


def test_the_stream_follows_the_market(process: Process) -> None:
    """A subscriber is told of depth changes without asking again."""
    client = subscribed(process)
    assert f"depth.{ETH}" == json.loads(client.recv())["stream"]
    client.close()


def test_a_kicked_stream_ends(process: Process) -> None:
    """POST /kick ends the connection with the code it names."""
    client = subscribed(process)
    kicked = process.post("/kick", {"venue": "backpack", "channel": "market", "how": "close", "code": 1012})
    frames = iter(client.recv_data, None)
    code = next(int.from_bytes(payload[:2], "big") for opcode, payload in frames if opcode == websocket.ABNF.OPCODE_CLOSE)
    assert ({"kicked": 1}, 1012) == (kicked, code)
    client.close()


def test_a_refused_channel_lets_nobody_in(calm: Process) -> None:
    """A subscriber of a refused channel of a shared socket is reset at its first word."""
    calm.post("/refuse", {"venue": "backpack", "channel": "market", "is_on": True})
    with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
        subscribed(calm)


def test_refused_rest_is_refused_outright(calm: Process) -> None:
    """The kernel says no: provably not sent."""
    calm.post("/refuse", {"venue": "backpack", "channel": "rest", "is_on": True})
    with pytest.raises(urllib.error.URLError, match="refused"):
        depth(calm)


def test_a_rule_posted_strikes(calm: Process) -> None:
    """POST /fault reaches the face: one request is answered with the status of the rule, the next as ever."""
    calm.post("/fault", {"venue": "backpack", "on": "GET /api/v1/depth", "kind": "status", "status": 503, "count": 1})
    with pytest.raises(urllib.error.HTTPError) as raised:
        depth(calm)
    assert (503, True) == (raised.value.code, bool(depth(calm)["bids"]))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/fault", {"kind": "explode"}),
        ("/fault", {"kind": "hang", "venue": "mtgox"}),
        ("/kick", {"venue": "mtgox"}),
        ("/kick", {"venue": "grvt", "colour": "red"}),
        ("/order", {**HAND_ORDER, "quantity": "0.001"}),
        ("/market", {"base": "DOGE"}),
        ("/market", {"remove_liquidity": "mtgox"}),
        ("/trick", {"venue": "grvt", "name": "disappear"}),
    ],
)
def test_misuse_is_told(process: Process, path: str, body: dict[str, Any]) -> None:
    """400 and a line that says what is wrong: a test that asks for nonsense must not pass."""
    with pytest.raises(urllib.error.HTTPError) as raised:
        process.post(path, body)
    assert (400, True) == (raised.value.code, bool(json.load(raised.value)["error"]))


def test_requests_are_counted(process: Process) -> None:
    """By venue, route and outcome."""
    before = process.get("/requests")["backpack"].get("GET /api/v1/depth", {"200": 0})["200"]
    depth(process)
    assert before + 1 == process.get("/requests")["backpack"]["GET /api/v1/depth"]["200"]


def test_an_order_by_hand_rests_in_the_bots_account(process: Process) -> None:
    """The bot finds an order it never sent."""
    order = process.post("/order", {**HAND_ORDER, "price": "2500.00", "post_only": True})
    assert [order["order_id"]] == [each["order_id"] for each in process.get("/orders")["backpack"]]


def test_the_market_can_be_emptied(calm: Process) -> None:
    """remove_liquidity takes the house out of one venue's book."""
    calm.post("/market", {"base": "BTC", "freeze": True, "remove_liquidity": "backpack"})
    url = f"{calm.directory['backpack']['rest']}/api/v1/depth?symbol=BTC_USDC_PERP"
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        book = json.load(answer)
    assert ([], []) == (book["bids"], book["asks"])


def test_the_market_can_be_moved(calm: Process) -> None:
    """drift_bps moves the mid of the asset named, of no other."""
    calm.post("/market", {"freeze": True})
    before = calm.get("/health")["mids"]
    after = calm.post("/market", {"base": "BTC", "drift_bps": "50"})["mids"]
    assert (before["ETH"], float(before["BTC"]) * 1.005) == (after["ETH"], pytest.approx(float(after["BTC"]), abs=1))


def test_the_ledger_is_written_when_asked_for(tmp_path: Path) -> None:
    """GET /ledger answers with it and leaves the same in the file, so that it survives a kill."""
    state = tmp_path / "ledger.json"
    process = Process("--state", str(state))
    process.post("/order", HAND_ORDER)
    told = process.get("/ledger")
    process.child.kill()
    process.end()
    assert told == json.loads(state.read_text())


def test_tricks_reach_the_face(process: Process) -> None:
    """After the trick "gap" some depth frame does not continue its predecessor."""
    client = websocket.create_connection(process.directory["backpack"]["ws"], timeout=WAIT_S)
    client.send(json.dumps({"method": "SUBSCRIBE", "params": [f"depth.{ETH}"]}))
    last = json.loads(client.recv())["data"]["u"]
    process.post("/trick", {"venue": "backpack", "name": "gap", "symbol": ETH})
    while (frame := json.loads(client.recv())["data"])["U"] == last + 1:
        last = frame["u"]
    client.close()
    assert frame["U"] > last + 1


def test_a_step_of_the_clock_shows_in_every_answer(calm: Process) -> None:
    """The time that a venue tells and the Date header move together, and back."""

    def told() -> tuple[float, float]:
        with urllib.request.urlopen(calm.directory["backpack"]["rest"] + "/api/v1/time", timeout=WAIT_S) as answer:
            return int(answer.read()) / 1000, parsedate_to_datetime(answer.headers["Date"]).timestamp()

    before = told()
    calm.post("/clock", {"step_s": 3600})
    after = told()
    calm.post("/clock", {"step_s": -3600})
    moved = [late - early for early, late in zip(before, after, strict=True)]
    assert [True, True] == [3500 < seconds < 3700 for seconds in moved], moved
