"""A server made of plain sockets, so that a test can do to a client what no proper server would.

Each accepted connection runs the test's script on a thread of its own; what the script raises is kept in ``errors``, except for
the socket errors that a client's departure causes.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

GUARD_S = 10.0
JOIN_GUARD_S = 5.0
"""Nothing here should ever wait this long; it only keeps a broken test from hanging."""


class Peer:
    """One accepted connection."""

    def __init__(self, sock: socket.socket, index: int, server: RawServer) -> None:
        self.sock = sock
        self.index = index
        self.server = server
        sock.settimeout(GUARD_S)

    def read_request(self) -> bytes:
        """One HTTP request with its body; empty when the client is gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = self.sock.recv(65536)
            if not chunk:
                return b""
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += self.sock.recv(65536)
        self.server.requests.append(head + b"\r\n\r\n" + body)
        return head + b"\r\n\r\n" + body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self, status: int, body: bytes = b"{}", headers: tuple[str, ...] = ()) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """Close with linger 0: the client gets an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def accept_ws(self, request: bytes | None = None) -> bytes:
        """Shake hands; ``request`` where it has been read already."""
        request = self.read_request() if request is None else request
        key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")).split(b": ")[1]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self.send(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        return request

    def text(self, payload: bytes) -> None:
        self.send(frame(1, payload))

    def close_frame(self, code: int | None, reason: bytes = b"") -> None:
        self.send(frame(8, b"" if code is None else struct.pack("!H", code) + reason))

    def read_frame(self) -> tuple[int, bytes]:
        """Opcode and unmasked payload of the client's next frame; opcode -1 when the client is gone."""
        head = self._read(2)
        if len(head) < 2:
            return -1, b""
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack("!H", self._read(2))[0]
        mask, payload = self._read(4), self._read(length)
        return head[0] & 0xF, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))

    def wait_until_gone(self) -> None:
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self.sock.recv(size - len(data))
            if not chunk:
                break
            data += chunk
        return data


def frame(opcode: int, payload: bytes, *, fin: bool = True, claimed: int | None = None) -> bytes:
    """A server's frame; ``claimed`` writes another length into the header than the payload has."""
    length = len(payload) if claimed is None else claimed
    first = bytes([(0x80 if fin else 0) | opcode])
    if length < 126:
        return first + bytes([length]) + payload
    if length < 65536:
        return first + b"\x7e" + struct.pack("!H", length) + payload
    return first + b"\x7f" + struct.pack("!Q", length) + payload


class RawServer:
    """Listens on a free loopback port until the ``with`` block ends."""

    def __init__(self, script: Callable[[Peer], None], tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self.requests: list[bytes] = []
        self.errors: list[Exception] = []
        self.connections = 0
        self.ended = threading.Event()
        self._socks: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ended.set()
        # A descriptor is closed only after every thread that may be blocked on it has let go.
        for sock in (self._listener, *self._socks):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(JOIN_GUARD_S)
        for sock in (self._listener, *self._socks):
            sock.close()
        assert self.errors == []

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._run, sock, self.connections)

    def _run(self, sock: socket.socket, index: int) -> None:
        self._socks.append(sock)
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._socks.append(sock)
            self._script(Peer(sock, index, self))
        except OSError:
            pass  # The client left: what happens to it is judged on its own side.
        except Exception as error:  # noqa: BLE001 - a script's bug must fail the test, not vanish with its thread
            self.errors.append(error)
        finally:
            sock.close()


class CutTLS:
    """A server's TLS over a plain peer whose ciphertext the test sends when and as far as it likes."""

    def __init__(self, peer: Peer, context: ssl.SSLContext) -> None:
        self.plain = peer.sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._drive(self._tls.do_handshake)
        peer.sock = self  # type: ignore[assignment]

    def recv(self, size: int) -> bytes:
        return self._drive(lambda: self._tls.read(size))

    def sendall(self, data: bytes) -> None:
        self.plain.sendall(self.encrypt(data))

    def encrypt(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._outgoing.read()

    def _drive(self, step: Callable[[], bytes | None]) -> bytes:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.plain.sendall(self._outgoing.read())
                self._incoming.write(self.plain.recv(65536))
                continue
            self.plain.sendall(self._outgoing.read())
            return result or b""


_CLOSED: list[socket.socket] = []
"""Bound and not listening, for as long as this process lives: nobody else is given their ports."""


def closed_port() -> int:
    """A port on which nothing listens."""
    keeper = socket.socket()
    keeper.bind(("127.0.0.1", 0))
    _CLOSED.append(keeper)
    port: int = keeper.getsockname()[1]
    return port


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port that neither accepts nor refuses: its accept queue is full, so further SYNs are dropped."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
