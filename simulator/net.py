"""HTTP/1.1 and WebSocket servers on loopback for the faces: bytes in, handler out, and the ways a connection can fail.

Must never know a venue: routes, payloads and rules are the faces' own.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import itertools
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import h11
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

HOST = "127.0.0.1"
BODY_BYTES_MAX = 1 << 20
READ_BYTES = 1 << 16


class HttpRequest(NamedTuple):
    """``path`` without the query, percent-decoded query in ``query`` (last value wins), header names in lower case; ``arrived_at``:
    monotonic seconds at which its last bytes were read."""

    method: str
    path: str
    query: dict[str, str]
    raw_query: str
    headers: dict[str, str]
    body: bytes
    arrived_at: float = 0.0


Headers: TypeAlias = tuple[tuple[str, str], ...]


class HttpReply(NamedTuple):
    """Content-Length and Date are added; Content-Type is application/json where ``headers`` does not name one."""

    status: int
    body: bytes
    headers: Headers = ()


class Drop(enum.Enum):
    """Instead of a reply: RST, FIN without an answer, a reply cut in the middle of its body, or bytes that are no HTTP."""

    RESET = "reset"
    CLOSE = "close"
    TRUNCATE = "truncate"
    GARBLE = "garble"


HttpHandler: TypeAlias = Callable[[HttpRequest], Awaitable["HttpReply | Drop"]]


class HttpServer:
    """Keep-alive HTTP/1.1; a handler goes on although its client has left, as a venue's would."""

    def __init__(self, handler: HttpHandler, sock: socket.socket, wall_s: Callable[[], float]) -> None:
        self.port: int = sock.getsockname()[1]
        self._handler = handler
        self._wall_s = wall_s
        self._sock = sock
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._sock)

    async def refuse(self, is_on: bool) -> None:
        """On: nobody listens (ECONNREFUSED) and open connections are reset; the port stays ours. Off: listens again."""
        if is_on == (self._server is None):
            return
        if not is_on:
            await self.listen()
            return
        self._stop_listening()
        self._sock = bind_loopback(self.port)
        for writer in tuple(self._writers):
            reset(writer.transport)

    def close(self) -> None:
        """Ends every connection and handler at once."""
        self._stop_listening()
        for task in tuple(self._tasks):
            task.cancel()

    def _stop_listening(self) -> None:
        if self._server is None:
            self._sock.close()
        else:
            self._server.close()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _keep(self._tasks, self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writers.add(writer)
        try:
            await _Conversation(self._handler, self._wall_s, reader, writer).run()
        except h11.RemoteProtocolError as error:
            writer.write(_plain_error(error.error_status_hint))
        except ConnectionError:
            pass  # The client left; there is nobody to tell.
        finally:
            self._writers.discard(writer)
            writer.close()


class _Conversation:
    """One connection: requests one after another until either side ends it."""

    def __init__(
        self,
        handler: HttpHandler,
        wall_s: Callable[[], float],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._handler = handler
        self._wall_s = wall_s
        self._reader = reader
        self._writer = writer
        self._wire = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while (request := await self._next_request()) is not None:
            reply = await self._handler(request)
            if isinstance(reply, Drop):
                self._drop(reply)
                return
            self._writer.write(self._encode(reply))
            await self._writer.drain()
            if self._wire.our_state is not h11.DONE or self._wire.their_state is not h11.DONE:
                return
            self._wire.start_next_cycle()

    async def _next_request(self) -> HttpRequest | None:
        """None where the client closed between two requests."""
        head: h11.Request | None = None
        body = bytearray()
        arrived_at = 0.0
        while True:
            event = self._wire.next_event()
            match event:
                case h11.NEED_DATA:
                    data = await self._reader.read(READ_BYTES)
                    arrived_at = time.monotonic()
                    self._wire.receive_data(data)
                case h11.Request():
                    head = event
                case h11.Data():
                    body += event.data
                    if len(body) > BODY_BYTES_MAX:
                        raise h11.RemoteProtocolError("body too large", error_status_hint=413)
                case h11.EndOfMessage() if head is not None:
                    return _request_of(head, bytes(body), arrived_at)
                case _:
                    return None

    def _encode(self, reply: HttpReply) -> bytes:
        """Head and body in one piece: two writes would let Nagle and delayed ACKs add 40 ms."""
        named = {name.lower() for name, _ in reply.headers}
        headers = list(reply.headers)
        if "content-type" not in named:
            headers.append(("Content-Type", "application/json"))
        if "date" not in named:
            headers.append(("Date", formatdate(self._wall_s(), usegmt=True)))
        headers.append(("Content-Length", str(len(reply.body))))
        response = h11.Response(status_code=reply.status, headers=headers, reason=_reason(reply.status))
        parts = (self._wire.send(response), self._wire.send(h11.Data(data=reply.body)), self._wire.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)

    def _drop(self, how: Drop) -> None:
        match how:
            case Drop.RESET:
                reset(self._writer.transport)
            case Drop.TRUNCATE:
                body = b'{"result": {"cut": "' + b"x" * 44
                whole = self._encode(HttpReply(200, body + body))
                self._writer.write(whole[: -len(body)])
            case Drop.GARBLE:
                self._writer.write(b"\x16\x03\x01 no status line\r\n\r\n")
            case Drop.CLOSE:
                pass  # Closing without an answer is what the caller does with every conversation that ended.


async def serve_http(handler: HttpHandler, port: int = 0, wall_s: Callable[[], float] = time.time) -> HttpServer:
    """Listens on loopback; ``port`` 0 = any free one; ``wall_s``: epoch seconds of the Date header."""
    server = HttpServer(handler, bind_loopback(port), wall_s)
    await server.listen()
    return server


class WsPeer:
    """One connected client; ``path`` as requested, query included, header names in lower case, ``tag`` the face's own data."""

    def __init__(self, peer_id: int, connection: ServerConnection) -> None:
        request = connection.request
        self.id = peer_id
        self.path = "" if request is None else request.path
        self.headers: dict[str, str] = (
            {} if request is None else {name.lower(): value for name, value in request.headers.raw_items()}
        )
        self.tag: dict[str, Any] = {}
        self.on_sent: Callable[[str, float], None] | None = None
        """Told of each frame, and the monotonic time, just before it is handed to the socket."""
        self._connection = connection
        self._outbox: asyncio.Queue[str | tuple[int, str]] = asyncio.Queue()

    def send(self, text: str) -> None:
        """Queued; lost where the connection is gone by then."""
        self._outbox.put_nowait(text)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """A closing handshake after everything queued so far."""
        self._outbox.put_nowait((code, reason))

    def abort(self) -> None:
        """The connection is reset without a closing frame; what is queued is lost."""
        reset(self._connection.transport)

    async def drain(self) -> None:
        """Carries the queue to the socket until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            while isinstance(item := await self._outbox.get(), str):
                if self.on_sent is not None:
                    self.on_sent(item, time.monotonic())
                await self._connection.send(item)
            await self._connection.close(*item)


class WsFace(Protocol):
    """Called on the loop's thread; must not block."""

    def opened(self, peer: WsPeer) -> None: ...

    def received(self, peer: WsPeer, text: str) -> None: ...

    def closed(self, peer: WsPeer) -> None: ...


class WsServer:
    """WebSocket clients of one face by id."""

    def __init__(self, face: WsFace, sock: socket.socket, ping_interval: float | None) -> None:
        self.port: int = sock.getsockname()[1]
        self.peers: dict[int, WsPeer] = {}
        self._face = face
        self._sock = sock
        self._ping_interval = ping_interval
        self._ids = itertools.count(1)
        self._server: Server | None = None

    async def listen(self) -> None:
        self._server = await serve(
            self._serve,
            sock=self._sock,
            ping_interval=self._ping_interval,
            compression=None,
            max_size=BODY_BYTES_MAX,
            close_timeout=1,
        )

    async def refuse(self, is_on: bool) -> None:
        """On: nobody listens (ECONNREFUSED) and open connections are reset; the port stays ours. Off: listens again."""
        if is_on == (self._server is None):
            return
        if not is_on:
            await self.listen()
            return
        stopped = self._server
        self.close()
        if stopped is not None:
            await stopped.wait_closed()
        self._sock = bind_loopback(self.port)

    def close(self) -> None:
        """Resets every connection and stops listening."""
        for peer in tuple(self.peers.values()):
            peer.abort()
        if self._server is None:
            self._sock.close()
        else:
            self._server.close()
            self._server = None

    async def _serve(self, connection: ServerConnection) -> None:
        peer = WsPeer(next(self._ids), connection)
        self.peers[peer.id] = peer
        sender = asyncio.create_task(peer.drain())
        self._face.opened(peer)
        try:
            async for message in connection:
                self._face.received(peer, message if isinstance(message, str) else message.decode(errors="replace"))
        except ConnectionClosed:
            pass  # However it ended, the face learns of it below.
        finally:
            sender.cancel()
            del self.peers[peer.id]
            self._face.closed(peer)


async def serve_ws(face: WsFace, port: int = 0, *, ping_interval: float | None = 20) -> WsServer:
    """Listens on loopback; ``port`` 0 = any free one, ``ping_interval`` None = the server sends no pings."""
    server = WsServer(face, bind_loopback(port), ping_interval)
    await server.listen()
    return server


def bind_loopback(port: int) -> socket.socket:
    """Bound, not listening: connecting to it is refused until a server listens on it."""
    # Named, because asyncio switches Nagle off only for sockets that say they are TCP; left on, it holds a frame back for 40 ms.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    sock.setblocking(False)
    return sock


def reset(transport: asyncio.BaseTransport) -> None:
    """Ends a connection with RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def _request_of(head: h11.Request, body: bytes, arrived_at: float) -> HttpRequest:
    target = urlsplit(head.target.decode("ascii"))
    return HttpRequest(
        head.method.decode("ascii"),
        target.path,
        dict(parse_qsl(target.query, keep_blank_values=True)),
        target.query,
        {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
        body,
        arrived_at,
    )


def _reason(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""


def _plain_error(status: int) -> bytes:
    return f"HTTP/1.1 {status} {_reason(status)}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    """The loop holds tasks weakly only; the set keeps them alive until they are done."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
