"""Opening sockets: name look-up, TCP and TLS, all under one deadline; shared by REST and WebSocket.

Whatever fails here failed before a single byte of a request was written, so ``DialFailed`` always means "not sent". Certificates
are always verified, and nothing is taken from the environment: no proxy, no CA bundle, no TLS key log.
"""

from __future__ import annotations

import functools
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import certifi

Address = tuple[Any, ...]
_ABORT_CHECK_S = 0.05


class DialFailed(Exception):
    """No connection; ``reason`` names the host and the cause, never a path or a header."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CertificateRefused(DialFailed):
    """The host does not prove that it is who it should be; waiting does not help, and there is no way around it."""


class Deadline:
    """A monotonic instant shared by the sockets of one client; infinitely far until ``set``."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at = math.inf

    def set(self, seconds_from_now: float) -> None:
        self._at = time.monotonic() + seconds_from_now

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._at

    def remaining_s(self) -> float | None:
        """Seconds left, None for no limit; raises TimeoutError when there are none."""
        remaining = self._at - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("total deadline")
        return None if remaining == math.inf else remaining


class BoundedSocket(socket.socket):
    """A socket whose every read and write ends at its ``deadline``, however many bytes drip in before."""

    deadline: Deadline | None = None

    def _arm(self) -> None:
        if self.deadline is not None:
            self.settimeout(self.deadline.remaining_s())

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self._arm()
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        self._arm()
        return super().send(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self._arm()
        super().sendall(*args, **kwargs)


class BoundedTLSSocket(ssl.SSLSocket):
    """The same over TLS; the ssl module already spends one time-out over all records of one call."""

    deadline: Deadline | None = None

    def _arm(self) -> None:
        if self.deadline is not None:
            self.settimeout(self.deadline.remaining_s())

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self._arm()
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        self._arm()
        return super().send(*args, **kwargs)


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Verifies chain and host name against the bundle that requests ships."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    context.sslsocket_class = BoundedTLSSocket
    return context


def dial(
    host: str,
    port: int,
    *,
    is_tls: bool,
    timeout_s: float,
    adopt: Callable[[socket.socket], None] | None = None,
    is_aborted: Callable[[], bool] = lambda: False,
) -> BoundedSocket | BoundedTLSSocket:
    """A connected socket (TCP_NODELAY set) or DialFailed within ``timeout_s``.

    ``adopt`` is handed every socket before it blocks, so that another thread can shut it down, and may raise DialFailed;
    ``is_aborted`` ends a look-up.
    """
    give_up_at = time.monotonic() + timeout_s
    addresses = _resolve(host, port, give_up_at, is_aborted)
    sock = _connect_any(host, addresses, give_up_at, adopt)
    if not is_tls:
        return sock
    return _wrap_tls(sock, host, give_up_at, adopt)


def _connect_any(
    host: str,
    addresses: list[Address],
    give_up_at: float,
    adopt: Callable[[socket.socket], None] | None,
) -> BoundedSocket:
    """Try the addresses in order; each gets an equal share of the time left, so that one dead address cannot spend it all."""
    reason = "no address"
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        share = (give_up_at - time.monotonic()) / (len(addresses) - index)
        if share <= 0:
            raise DialFailed(f"{host}: connect timed out ({reason})")
        try:
            sock = BoundedSocket(family, kind, protocol)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            continue
        try:
            if adopt is not None:
                adopt(sock)
            sock.settimeout(share)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.connect(address)
        except OSError as error:
            sock.close()
            reason = "timed out" if isinstance(error, TimeoutError) else (error.strerror or type(error).__name__)
            continue
        except BaseException:
            sock.close()
            raise
        return sock
    raise DialFailed(f"{host}: {reason}")


def _wrap_tls(
    sock: BoundedSocket, host: str, give_up_at: float, adopt: Callable[[socket.socket], None] | None
) -> BoundedTLSSocket:
    wrapped: socket.socket = sock
    try:
        wrapped = tls_context().wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        assert isinstance(wrapped, BoundedTLSSocket)
        if adopt is not None:
            adopt(wrapped)
        wrapped.settimeout(max(give_up_at - time.monotonic(), 0.001))
        wrapped.do_handshake()
    except ssl.SSLCertVerificationError as error:
        wrapped.close()
        raise CertificateRefused(f"{host}: certificate refused: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        wrapped.close()
        raise DialFailed(f"{host}: TLS handshake failed: {type(error).__name__}") from error
    except BaseException:
        wrapped.close()
        raise
    return wrapped


class _Lookup:
    """One look-up under way; the system's resolver cannot be interrupted, but its waiters can leave."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self.done = threading.Event()
        self.addresses: list[Address] = []
        self.failure = ""

    def run(self) -> None:
        try:
            self.addresses = list(socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            self.failure = f"name not resolved: {getattr(error, 'strerror', None) or type(error).__name__}"
        finally:
            with _lookups_lock:
                _lookups.pop((self._host, self._port), None)
            self.done.set()


_lookups: dict[tuple[str, int], _Lookup] = {}
_lookups_lock = threading.Lock()


def _resolve(host: str, port: int, give_up_at: float, is_aborted: Callable[[], bool]) -> list[Address]:
    """Addresses of ``host``. A resolver that hangs costs one thread a host, not one an attempt: later callers join its wait."""
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except (OSError, UnicodeError):
        lookup = _join_lookup(host, port)
    while not lookup.done.wait(min(_ABORT_CHECK_S, max(give_up_at - time.monotonic(), 0))):
        if is_aborted():
            raise DialFailed(f"{host}: aborted")
        if time.monotonic() >= give_up_at:
            raise DialFailed(f"{host}: name look-up timed out")
    if lookup.failure or not lookup.addresses:
        raise DialFailed(f"{host}: {lookup.failure or 'name not resolved'}")
    return lookup.addresses


def _join_lookup(host: str, port: int) -> _Lookup:
    with _lookups_lock:
        lookup = _lookups.get((host, port))
        if lookup is None:
            lookup = _Lookup(host, port)
            try:
                threading.Thread(target=lookup.run, name=f"resolve-{host}", daemon=True).start()
            except RuntimeError as error:
                raise DialFailed(f"{host}: no thread for its look-up: {error}") from None
            _lookups[host, port] = lookup
        return lookup
