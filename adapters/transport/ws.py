"""One WebSocket connection with limits: bounded connect, bounded reads, bounded message size; single use.

Framing is websocket-client's; the reader loop is ours, because the library's own can hang for ever on half a frame. It must never
reconnect, and only ``abort`` may be called from another thread.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import websocket
from websocket import _cookiejar, _handshake

from adapters.transport.dial import BoundedSocket, BoundedTLSSocket, CertificateRefused, DialFailed, dial

DEFAULT_MAX_MESSAGE_BYTES = 1024 * 1024
_READ_BYTES = 65536
_SEND_TIMEOUT_S = 1.0
_MAX_HANDSHAKE_BYTES = 65536
_MAX_CONTROL_BYTES = 125
_MAX_FRAGMENTS = 4096
_NORMAL, _TOO_BIG, _PROTOCOL_ERROR = 1000, 1009, 1002


class _NoCookies(_cookiejar.SimpleCookieJar):
    """Forgets. The library's own jar is global and would add a second Cookie header, with stale values, to a reconnect."""

    def add(self, set_cookie: str | None) -> None:
        pass


_handshake.CookieJar = _NoCookies()


class ConnectFailed(Exception):
    """No WebSocket. ``status``: the HTTP status where the server answered one. ``is_certain_unsent``: not a byte of the
    handshake was written. ``is_untrusted``: its certificate was refused."""

    def __init__(
        self, reason: str, status: int | None = None, *, is_certain_unsent: bool = False, is_untrusted: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.is_certain_unsent = is_certain_unsent
        self.is_untrusted = is_untrusted


class ConnectionLost(Exception):
    """The connection is over. ``close_code``: of the peer's close frame; None for an empty one or none at all."""

    def __init__(self, reason: str, close_code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.close_code = close_code


class WebSocket:
    """Owned by one thread. All times are ``time.monotonic`` seconds; 0.0 = never."""

    def __init__(self, *, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        self._ws: Any = None
        self._wire: _Wire | None = None
        self._fragments: list[bytes] = []
        self._fragments_size = 0
        self._socket: socket.socket | None = None
        self._socket_lock = threading.Lock()
        self._is_aborted = False
        self.last_frame_at = 0.0
        self.last_pong_at = 0.0

    def connect(self, url: str, headers: Sequence[str], deadline_s: float) -> None:
        """Dial and shake hands within ``deadline_s`` or raise ConnectFailed. ``headers`` are whole lines; redirects are refused,
        as following one would carry the credentials in them to another host."""
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(f"not a ws(s) URL: {parts.scheme}://{parts.hostname}")
        give_up_at = time.monotonic() + deadline_s
        is_tls = parts.scheme == "wss"
        try:
            sock = dial(
                parts.hostname,
                parts.port or (443 if is_tls else 80),
                is_tls=is_tls,
                timeout_s=deadline_s,
                adopt=self._adopt,
                is_aborted=lambda: self._is_aborted,
            )
        except DialFailed as error:
            self._drop()
            is_untrusted = isinstance(error, CertificateRefused)
            raise ConnectFailed(error.reason, is_certain_unsent=True, is_untrusted=is_untrusted) from error
        self._shake_hands(url, headers, sock, give_up_at)

    def receive(self, timeout_s: float) -> bytes | None:
        """The next whole message, or None when none was complete in time; 0 takes only what is already here.

        Part of a frame stays where it is until the next call. Raises ConnectionLost.
        """
        if self._wire is None:
            raise ConnectionLost("not connected")
        if timeout_s <= 0 and self._wire.is_quiet():
            return None
        self._wire.give_up_at = time.monotonic() + timeout_s
        while True:
            frame = self._next_frame()
            if frame is None:
                return None
            self.last_frame_at = time.monotonic()
            message = self._take(frame)
            if message is not None:
                return message
            if self.last_frame_at >= self._wire.give_up_at:
                return None  # A flood of pings or fragments must not keep the owner here.

    def send_text(self, text: str) -> None:
        self._send(text.encode(), websocket.ABNF.OPCODE_TEXT)

    def ping(self) -> None:
        self._send(b"", websocket.ABNF.OPCODE_PING)

    def abort(self) -> None:
        """From any thread: shut the socket down, so that whatever its owner is blocked in ends at once."""
        self._is_aborted = True
        with self._socket_lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    # The plain socket's method: that of SSLSocket drops the TLS layer under a thread that is reading through it.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self, code: int = _NORMAL) -> None:
        """Say goodbye without waiting for the answer, and release the socket. Safe to call twice."""
        if self._wire is not None:
            with contextlib.suppress(ConnectionLost):
                self._send(struct.pack("!H", code), websocket.ABNF.OPCODE_CLOSE)
        self._drop()

    def _adopt(self, sock: socket.socket) -> None:
        with self._socket_lock:
            self._socket = sock
        if self._is_aborted:
            raise DialFailed("aborted")

    def _shake_hands(self, url: str, headers: Sequence[str], sock: BoundedSocket | BoundedTLSSocket, give_up_at: float) -> None:
        wire = _Wire(sock, give_up_at, budget=_MAX_HANDSHAKE_BYTES)
        ws: Any = websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)
        ws.frame_buffer = _BoundedFrameBuffer(ws.frame_buffer.recv, self._max_message_bytes)
        lines = list(headers)
        if not any(line.lower().startswith("user-agent:") for line in lines):
            lines.append("User-Agent: perpfarm")
        try:
            ws.connect(url, socket=wire, header=lines, suppress_origin=True, redirect_limit=0, http_no_proxy=["*"])
        except Exception as error:
            status = getattr(error, "status_code", None) or ws.status
            self._drop()
            raise ConnectFailed(_handshake_reason(error, status), status) from error
        wire.budget = None
        self._ws, self._wire = ws, wire

    def _next_frame(self) -> Any:
        """A frame, or None at the read deadline."""
        try:
            return self._ws.recv_frame()
        except websocket.WebSocketTimeoutException:
            return None
        except _TooBig as error:
            self.close(_TOO_BIG)
            raise ConnectionLost(str(error)) from error
        except (websocket.WebSocketProtocolException, websocket.WebSocketPayloadException) as error:
            self.close(_PROTOCOL_ERROR)
            raise ConnectionLost(f"protocol error: {error}") from error
        except Exception as error:
            self._drop()
            raise ConnectionLost(_loss_reason(error)) from error

    def _take(self, frame: Any) -> bytes | None:
        """Answer a control frame, or collect a data frame; the message when it is complete."""
        match frame.opcode:
            case websocket.ABNF.OPCODE_PING:
                self._send(frame.data, websocket.ABNF.OPCODE_PONG)
            case websocket.ABNF.OPCODE_PONG:
                self.last_pong_at = self.last_frame_at
            case websocket.ABNF.OPCODE_CLOSE:
                self._closed_by_peer(frame.data)
            case _:
                return self._collect(frame)
        return None

    def _collect(self, frame: Any) -> bytes | None:
        is_continuation = frame.opcode == websocket.ABNF.OPCODE_CONT
        if is_continuation != bool(self._fragments):
            self.close(_PROTOCOL_ERROR)
            raise ConnectionLost("protocol error: a fragment out of place")
        if frame.fin and not is_continuation:
            return bytes(frame.data)
        self._fragments.append(frame.data)
        self._fragments_size += len(frame.data)
        if self._fragments_size > self._max_message_bytes or len(self._fragments) > _MAX_FRAGMENTS:
            self.close(_TOO_BIG)
            raise ConnectionLost(f"message of more than {self._max_message_bytes} bytes or {_MAX_FRAGMENTS} fragments")
        if not frame.fin:
            return None
        message = b"".join(self._fragments)
        self._fragments, self._fragments_size = [], 0
        return message

    def _closed_by_peer(self, payload: bytes) -> None:
        code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else None
        text = payload[2:].decode("utf-8", "replace")
        self.close(_NORMAL if code is None else code)
        raise ConnectionLost(f"closed by peer: {code} {text}".rstrip(), code)

    def _send(self, payload: bytes, opcode: int) -> None:
        if self._wire is None:
            raise ConnectionLost("not connected")
        try:
            self._ws.send(payload, opcode)
        except Exception as error:
            self._drop()
            raise ConnectionLost(f"send failed: {type(error).__name__}") from error

    def _drop(self) -> None:
        self._wire = None
        with self._socket_lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


class _TooBig(Exception):
    """A frame's header claims more than the limit."""


class _BoundedFrameBuffer(websocket.frame_buffer):
    """The library's frame parser, stopped at the header of a frame that is too long: the payload is never asked for."""

    def __init__(self, recv: Any, max_bytes: int) -> None:
        super().__init__(recv, True)
        self._max_bytes = max_bytes

    def recv_length(self) -> None:
        super().recv_length()
        assert self.header is not None
        assert self.length is not None
        opcode = self.header[4]
        if opcode >= websocket.ABNF.OPCODE_CLOSE and self.length > _MAX_CONTROL_BYTES:
            raise websocket.WebSocketProtocolException("control frame too long")
        if self.length > self._max_bytes:
            raise _TooBig(f"frame of {self.length} bytes, limit {self._max_bytes}")


class _Wire:
    """What websocket-client takes for a socket: buffered reads that end at ``give_up_at``, sends that end after a second."""

    def __init__(self, sock: BoundedSocket | BoundedTLSSocket, give_up_at: float, budget: int | None) -> None:
        self._sock = sock
        self._chunk = b""
        self._offset = 0
        self.give_up_at = give_up_at
        self.budget = budget
        """Bytes that may still be read; None = no limit."""

    def recv(self, size: int) -> bytes:
        if self._offset >= len(self._chunk):
            self._chunk, self._offset = self._read(), 0
        piece = self._chunk[self._offset : self._offset + size]
        self._offset += len(piece)
        self._spend(len(piece))
        return piece

    def is_quiet(self) -> bool:
        """Nothing to read at this moment. Asked after every frame: to try and fail costs ten times as much."""
        if self._offset < len(self._chunk) or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
            return False
        try:
            watch = select.poll()
            watch.register(self._sock, select.POLLIN)
            return not watch.poll(0)
        except (OSError, ValueError):
            return False  # Closed under us: the read says how.

    def send(self, data: bytes | str) -> int:
        self._sock.settimeout(_SEND_TIMEOUT_S)
        self._sock.sendall(data.encode() if isinstance(data, str) else data)
        return len(data)

    def gettimeout(self) -> float:
        """0 tells websocket-client to leave the waiting to ``recv``."""
        return 0.0

    def settimeout(self, timeout_s: float | None) -> None:
        """Ignored: ``give_up_at`` rules."""

    def close(self) -> None:
        """Ignored: ``WebSocket`` owns the socket and closes it under its lock."""

    def _read(self) -> bytes:
        self._sock.settimeout(max(self.give_up_at - time.monotonic(), 0.0))
        try:
            return self._sock.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise TimeoutError from error

    def _spend(self, count: int) -> None:
        if self.budget is not None:
            self.budget -= count
            if self.budget < 0:
                raise ConnectionError("handshake reply too long")


def _handshake_reason(error: Exception, status: int | None) -> str:
    """Never the exception's own text where the server answered: it quotes all headers, cookies included."""
    if status is not None:
        return f"handshake answered {status}"
    if isinstance(error, websocket.WebSocketTimeoutException):
        return "handshake timed out"
    return f"handshake failed: {type(error).__name__}"


def _loss_reason(error: Exception) -> str:
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return "connection ended without a close frame"
    detail = error.strerror if isinstance(error, OSError) else None
    return f"connection broken: {detail or type(error).__name__}"
