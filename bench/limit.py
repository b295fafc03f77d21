"""The raw-socket limit: what one thread with a byte search and a prebuilt request takes for the way from a fill frame to a request.

Its venue speaks with the simulator's own server code and takes the same two times; its client is a process of its own that knows no
library but ``socket``. It decides nothing, signs nothing and writes nothing down: it is the floor that ratios are taken of.
"""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import NamedTuple

from bench.rig import ROOT
from simulator.net import HttpReply, HttpRequest, WsPeer, serve_http, serve_ws

PAUSE_S = 0.15


class Path(NamedTuple):
    """One way through a bot: the frame that comes in (``%(n)d``: its number, ``%(p)d``: the one before), the bytes it is known by, the
    request that goes out, and its answer."""

    frame: str
    marks: tuple[bytes, bytes]
    request: bytes
    answer: bytes


_HEDGE_BODY = b'{"symbol":"ETH_USDC_PERP","side":"Ask","orderType":"Limit","price":"2994","quantity":"0.1","timeInForce":"IOC","clientId":4}'
_HEDGE = Path(
    '{"stream":"v1.fill","selector":"2147050003876484-ETH_USDT_Perp","sequence_number":"%(n)d","feed":{"event_time":"1700000000000000000",'
    '"sub_account_id":"2147050003876484","instrument":"ETH_USDT_Perp","is_buyer":true,"is_taker":false,"size":"0.1","price":"2999.98",'
    '"mark_price":"3000.0","index_price":"3000.0","interest_rate":"0.0","forward_price":"0.0","realized_pnl":"0.0","fee":"-0.0003",'
    '"fee_rate":"-0.0001","trade_id":"%(n)d-1","order_id":"0x01010104038797bc0000000000000135","venue":"ORDERBOOK","is_liquidation":false,'
    '"client_order_id":"9223372036854775808","signer":"0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a","broker":"UNSPECIFIED","is_rpi":false,'
    '"builder":"0x00","builder_fee_rate":"0.0","builder_fee":"0","fee_currency":"USDT"},"prev_sequence_number":"%(p)d"}',
    (b'"v1.fill"', b'"is_taker":false'),
    b"POST /api/v1/order HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nX-API-Key: " + b"k" * 44 + b"\r\nX-Signature: "
    + b"s" * 88 + b"\r\nX-Timestamp: 1700000000000\r\nX-Window: 1000\r\nContent-Type: application/json\r\nContent-Length: "
    + str(len(_HEDGE_BODY)).encode() + b"\r\n\r\n" + _HEDGE_BODY,
    b'{"clientId":1,"createdAt":1700000000000,"executedQuantity":"0.1","id":"1","status":"Filled","symbol":"ETH_USDC_PERP"}',
)  # fmt: skip
_EXIT = Path(
    '{"topic":"ws_zk_accounts_v3","type":"delta","timestamp":1700000000000,"contents":{"fills":[{"id":"77456806727600%(n)04d","orderId":'
    '"774568067192586%(p)04d","clientOrderId":"9223372036854775808","accountId":"700000000000000001","matchFillId":"1","symbol":"ETH-USDT",'
    '"side":"SELL","price":"3000.6","size":"0.1","quoteAmount":"300.06","fee":"0.060012","liquidateFee":"0","direction":"MAKER","status":'
    '"SUCCESS","isOpen":false,"isLiquidate":false,"isDeleverage":false,"createdAt":1700000000000,"updatedAt":1700000000000}]}}',
    (b'"direction":"MAKER"', b'"status":"SUCCESS"'),
    b"POST /api/v3/delete-order HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nAPEX-SIGNATURE: " + b"s" * 44
    + b"\r\nAPEX-API-KEY: " + b"k" * 36 + b"\r\nAPEX-TIMESTAMP: 1700000000000\r\nAPEX-PASSPHRASE: " + b"p" * 20
    + b"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 21\r\n\r\nid=774568067192586606",
    b'{"data":"774568067192586606"}',
)  # fmt: skip
PATHS: Mapping[str, Path] = {"hedge": _HEDGE, "exit": _EXIT}


class _FillVenue:
    """A WsFace that tells of one fill after another, and the HTTP handler that hears the answers."""

    def __init__(self, path: Path) -> None:
        self.latencies_us: list[float] = []
        self._path = path
        self._sent_at = 0.0
        self._dice = random.Random(1)
        self._count = 0

    def opened(self, peer: WsPeer) -> None:
        peer.on_sent = self._note
        self._next(peer)

    def received(self, peer: WsPeer, text: str) -> None:
        """The client never says anything."""

    def closed(self, peer: WsPeer) -> None:
        self._count = -1

    async def handle(self, request: HttpRequest) -> HttpReply:
        if self._sent_at:
            self.latencies_us.append((request.arrived_at - self._sent_at) * 1e6)
            self._sent_at = 0.0
        return HttpReply(200, self._path.answer)

    def _note(self, _text: str, at: float) -> None:
        self._sent_at = at

    def _next(self, peer: WsPeer) -> None:
        if self._count < 0:
            return
        self._count += 1
        peer.send(self._path.frame % {"n": self._count, "p": self._count - 1})
        asyncio.get_running_loop().call_later(self._dice.uniform(0.5, 1.5) * PAUSE_S, self._next, peer)


class Limit:
    """Context manager: measures one of ``PATHS`` in the background between entry and exit; ``latencies_us`` afterwards."""

    def __init__(self, path: str) -> None:
        self._name = path
        self._venue = _FillVenue(PATHS[path])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="limit-venue", daemon=True)
        self._client: subprocess.Popen[bytes] | None = None

    @property
    def latencies_us(self) -> list[float]:
        return self._venue.latencies_us[20:]

    def __enter__(self) -> Limit:
        self._thread.start()
        ports = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        command = [sys.executable, "-m", "bench.limit", self._name, *map(str, ports)]
        self._client = subprocess.Popen(command, cwd=ROOT)
        return self

    def __exit__(self, *_exc: object) -> None:
        assert self._client is not None
        self._client.terminate()
        self._client.wait(10)
        asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _listen(self) -> tuple[int, int]:
        streams, http = await serve_ws(self._venue), await serve_http(self._venue.handle)
        return streams.port, http.port


async def _end_others() -> None:
    """Whatever still runs in this loop: what its end would interrupt complains at exit."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def client(path: Path, ws_port: int, http_port: int) -> None:
    """Frame in, request out, for ever: one thread, two sockets, no copy that can be saved."""
    stream, orders = (socket.create_connection(("127.0.0.1", port)) for port in (ws_port, http_port))
    for each in (stream, orders):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.sendall(
        b"GET /ws/full HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    first, second = path.marks
    request = path.request
    while data := stream.recv(65536):
        if data.find(first) >= 0 and data.find(second) >= 0:
            orders.sendall(request)
            orders.recv(65536)


if __name__ == "__main__":
    client(PATHS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
