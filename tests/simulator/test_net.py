"""The servers under the faces: what a client sees of a reply, of each way to drop one, and of a socket that ends."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

import pytest
import websocket

from simulator.net import Drop, HttpReply, HttpRequest, HttpServer, WsPeer, WsServer, serve_http, serve_ws

T = TypeVar("T")
WAIT_S = 5.0


class Loop:
    """An asyncio loop on a thread of its own, so that the clients of the tests may block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Awaitable[T]) -> T:
        async def carry() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(carry(), self._loop).result(WAIT_S)

    def call(self, act: Callable[[], T]) -> T:
        done: Future[T] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(act()))
        return done.result(WAIT_S)

    def stop(self) -> None:
        async def settle() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.stop()


class Handler:
    """Remembers the requests and answers each with the next of ``replies`` (the last one for ever)."""

    def __init__(self, *replies: HttpReply | Drop) -> None:
        self._replies = list(replies)
        self.requests: list[HttpRequest] = []

    async def __call__(self, request: HttpRequest) -> HttpReply | Drop:
        self.requests.append(request)
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


OK = HttpReply(200, b'{"result": 1}')


@pytest.fixture
def serve(loop: Loop) -> Iterator[Callable[..., tuple[Handler, HttpServer, http.client.HTTPConnection]]]:
    opened: list[tuple[HttpServer, http.client.HTTPConnection]] = []

    def start(*replies: HttpReply | Drop) -> tuple[Handler, HttpServer, http.client.HTTPConnection]:
        handler = Handler(*replies)
        server = loop.run(serve_http(handler))
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
        opened.append((server, client))
        return handler, server, client

    yield start
    for server, client in opened:
        client.close()
        loop.call(server.close)


Serve = Callable[..., tuple[Handler, HttpServer, http.client.HTTPConnection]]


def ask(client: http.client.HTTPConnection, path: str = "/", body: bytes | None = None) -> tuple[int, bytes]:
    client.request("GET" if body is None else "POST", path, body)
    response = client.getresponse()
    return response.status, response.read()


def test_a_request_reaches_the_handler_whole(serve: Serve) -> None:
    """Path, both forms of the query, lower-case header names and the body."""
    handler, _, client = serve(OK)
    client.request("POST", "/a/b?x=1%2C2&y=", b"body", {"X-Key": "Value"})
    client.getresponse().read()
    (request,) = handler.requests
    expected = ("POST", "/a/b", {"x": "1,2", "y": ""}, "x=1%2C2&y=", "Value", b"body")
    assert expected == (request.method, request.path, request.query, request.raw_query, request.headers["x-key"], request.body)


def test_a_large_body_arrives_whole(serve: Serve) -> None:
    """One that comes in many pieces."""
    handler, _, client = serve(OK)
    ask(client, body=b"x" * 500_000)
    assert 500_000 == len(handler.requests[0].body)


def test_a_reply_is_sent_with_its_headers(serve: Serve) -> None:
    """Status, body, the face's own headers, and a Date that clock-offset estimates can use."""
    _, _, client = serve(HttpReply(429, b"slow down", (("Retry-After", "3"), ("Content-Type", "text/plain"))))
    client.request("GET", "/")
    response = client.getresponse()
    named = [response.getheader(name) for name in ("Retry-After", "Content-Type", "Content-Length")]
    assert (429, b"slow down", ["3", "text/plain", "9"], True) == (
        response.status,
        response.read(),
        named,
        bool(response.getheader("Date")),
    )


def test_one_connection_serves_many_requests(serve: Serve) -> None:
    """Keep-alive: the socket of the second request is the socket of the first."""
    _, _, client = serve(OK)
    ask(client)
    first = client.sock
    ask(client)
    assert first is client.sock


def test_a_client_may_ask_to_close(serve: Serve) -> None:
    """After Connection: close the server ends the connection behind its reply."""
    _, server, _ = serve(OK)
    with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert answer.endswith(OK.body)


@pytest.mark.parametrize(
    ("drop", "error"),
    [
        (Drop.RESET, ConnectionResetError),
        (Drop.CLOSE, http.client.RemoteDisconnected),
        (Drop.TRUNCATE, http.client.IncompleteRead),
        (Drop.GARBLE, http.client.BadStatusLine),
    ],
)
def test_each_drop_looks_different_to_the_client(serve: Serve, drop: Drop, error: type[Exception]) -> None:
    """A reset, an end without an answer, half a body, and no HTTP at all."""
    _, _, client = serve(drop)
    with pytest.raises(Exception) as raised:  # noqa: PT011 -- which one is the claim
        ask(client)
    assert error is raised.type


def test_after_a_drop_the_server_lives(serve: Serve) -> None:
    """The next connection is served."""
    _, _, client = serve(Drop.RESET, OK)
    with pytest.raises(ConnectionResetError):
        ask(client)
    client.close()
    assert (200, OK.body) == ask(client)


def test_a_broken_request_is_answered_400(serve: Serve) -> None:
    """What is not HTTP never reaches the handler."""
    handler, server, _ = serve(OK)
    with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as raw:
        raw.sendall(b"nonsense\r\n\r\n")
        answer = raw.recv(4096)
    assert (b"HTTP/1.1 400", []) == (answer[:12], handler.requests)


def test_a_refusing_server_keeps_its_port(loop: Loop, serve: Serve) -> None:
    """While it refuses, connections are refused outright; afterwards the same port serves again."""
    _, server, client = serve(OK)
    loop.run(server.refuse(True))
    with pytest.raises(ConnectionRefusedError):
        ask(client)
    client.close()
    loop.run(server.refuse(False))
    assert (200, OK.body) == ask(client)


def test_refusing_resets_open_connections(loop: Loop, serve: Serve) -> None:
    """A kept-alive connection does not survive the outage."""
    _, server, client = serve(OK)
    ask(client)
    loop.run(server.refuse(True))
    assert client.sock is not None
    with pytest.raises(ConnectionResetError):
        client.sock.recv(1)


# -- WebSockets -----------------------------------------------------------------------------------------------------------


class Echo:
    """A face that repeats what it hears, and lets the test wait for openings and ends."""

    def __init__(self) -> None:
        self.peers: list[WsPeer] = []
        self.is_closed = threading.Event()

    def opened(self, peer: WsPeer) -> None:
        self.peers.append(peer)
        peer.send("hello")

    def received(self, peer: WsPeer, text: str) -> None:
        peer.send(f"{text} 1")
        peer.send(f"{text} 2")

    def closed(self, peer: WsPeer) -> None:
        self.is_closed.set()


@pytest.fixture
def echo(loop: Loop) -> Iterator[tuple[Echo, WsServer]]:
    face = Echo()
    server = loop.run(serve_ws(face))
    yield face, server
    loop.call(server.close)


def dial(server: WsServer, path: str = "/") -> websocket.WebSocket:
    client = websocket.create_connection(f"ws://127.0.0.1:{server.port}{path}", timeout=WAIT_S, header=["X-Key: Value"])
    assert "hello" == client.recv()
    return client


def test_frames_go_both_ways_in_order(echo: tuple[Echo, WsServer]) -> None:
    """Each text reaches the face, and what the face sends arrives in the order it was sent."""
    client = dial(echo[1])
    client.send("a")
    client.send("b")
    assert ["a 1", "a 2", "b 1", "b 2"] == [client.recv() for _ in range(4)]
    client.close()


def test_a_peer_knows_how_it_was_dialled(echo: tuple[Echo, WsServer]) -> None:
    """Path with query, and headers by lower-case name."""
    client = dial(echo[1], "/ws/full?x=1")
    (peer,) = echo[0].peers
    assert ("/ws/full?x=1", "Value") == (peer.path, peer.headers["x-key"])
    client.close()


def test_close_sends_its_code_behind_what_was_queued(loop: Loop, echo: tuple[Echo, WsServer]) -> None:
    """The client reads the last text, then the close code."""
    client = dial(echo[1])
    (peer,) = echo[0].peers
    loop.call(lambda: (peer.send("last"), peer.close(4001, "go")))
    texts = client.recv()
    opcode, payload = client.recv_data()
    assert ("last", websocket.ABNF.OPCODE_CLOSE, 4001) == (texts, opcode, int.from_bytes(payload[:2], "big"))
    client.close()


def test_abort_resets_without_a_closing_frame(loop: Loop, echo: tuple[Echo, WsServer]) -> None:
    """The client's next read fails at the socket."""
    client = dial(echo[1])
    loop.call(echo[0].peers[0].abort)
    with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
        client.recv()


def test_the_face_learns_that_a_client_left(echo: tuple[Echo, WsServer]) -> None:
    """However it left: here by dropping the socket."""
    client = dial(echo[1])
    client.shutdown()
    assert echo[0].is_closed.wait(WAIT_S)


def test_a_refusing_socket_server_keeps_its_port(loop: Loop, echo: tuple[Echo, WsServer]) -> None:
    """Open sockets end, new ones are refused, and afterwards the same port serves again."""
    _, server = echo
    client = dial(server)
    loop.run(server.refuse(True))
    with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
        client.recv()
    with pytest.raises(ConnectionRefusedError):
        dial(server)
    loop.run(server.refuse(False))
    dial(server).close()
