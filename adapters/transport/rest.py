"""HTTP requests with one total deadline and exactly four outcomes; the one place that decides what a failed request means.

It must never retry, never follow a redirect, never call a request that may have left this machine "not sent", and never put a
header value, a query or a body into a reason. Everything it cannot name is ``Unknown``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3.connection
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from adapters.transport.dial import Deadline, DialFailed, dial

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_RETRY_AFTER_S = 60.0
CONNECT_TIMEOUT_S = 1.0
MAX_IDLE_S = 45.0
"""A pooled connection idle for longer is closed before use: middle boxes forget idle connections without telling either end."""


class Ok(NamedTuple):
    """2xx, read in full. ``headers`` is case-insensitive; repeated headers are joined by ``", "``.

    A reply without Content-Length and chunking ends where the peer closed: its wholeness is for the body's parser to judge.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Refused(NamedTuple):
    """3xx (never followed) or 4xx, read in full. ``retry_after_s`` is at most 60."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    retry_after_s: float | None


class NotSent(NamedTuple):
    """Provably never reached the venue: look-up, TCP or TLS failed before the request's first byte was written."""

    reason: str


class Unknown(NamedTuple):
    """Everything else, 5xx included: the venue may have acted on it."""

    reason: str
    status: int | None = None
    body: bytes = b""


Outcome = Ok | Refused | NotSent | Unknown

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class RestClient:
    """One venue host, one Session, one thread, at most one pooled connection."""

    def __init__(self, base_url: str, *, total_deadline_s: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http(s) URL: {base_url!r}")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._path_prefix = parts.path.rstrip("/")
        self._total_deadline_s = total_deadline_s
        self._deadline = Deadline()
        self._adapter = _Adapter(parts.scheme, parts.hostname, parts.port, self._deadline)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount(self._origin, self._adapter)
        self._date_offset_ms: float | None = None

    @property
    def date_offset_ms(self) -> float | None:
        """Venue clock minus ours by the last Date header, None before the first; ±500 ms, as that header counts whole seconds."""
        return self._date_offset_ms

    def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        deadline_s: float | None = None,
    ) -> Outcome:
        """Send once and answer within ``deadline_s`` (else the client's total deadline), connecting and reading included.

        ``path`` starts with "/"; ``query`` goes out as it is given, without its "?".
        """
        request = self._prepare(
            method, f"{self._path_prefix}{path}?{query}" if query else self._path_prefix + path, body, headers
        )
        limit_s = self._total_deadline_s if deadline_s is None else deadline_s
        if limit_s <= 0:
            return NotSent("no time left before the request")
        self._deadline.set(limit_s)
        asked_at = time.time()
        try:
            response = self._adapter.send(request, stream=True)
            self._note_date(response.headers, asked_at)
            return _read(response)
        except DialFailed as error:
            return NotSent(error.reason)
        except Exception as error:  # noqa: BLE001 - an unlisted failure is Unknown, whatever the libraries call it
            return Unknown("total deadline" if self._deadline.is_over else _describe(error))

    def close(self) -> None:
        self._session.close()

    def _prepare(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """Built by hand: preparing through a Session costs twice the request itself and would re-quote a signed query."""
        request = requests.PreparedRequest()
        request.method = method
        request.url = self._origin + target
        request.headers = CaseInsensitiveDict({"User-Agent": "perpfarm", "Accept": "application/json"})
        request.headers.update(headers)
        request.body = body
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        return request

    def _note_date(self, headers: Mapping[str, str], asked_at: float) -> None:
        venue_s = _parse_date(headers.get("Date", ""))
        if venue_s is not None:
            ours_s = (asked_at + time.time()) / 2
            self._date_offset_ms = (venue_s + 0.5 - ours_s) * 1000


class _Adapter(HTTPAdapter):
    """requests' adapter on a single host whose sockets end at the client's deadline; it knows no proxies and no pool of pools."""

    def __init__(self, scheme: str, host: str, port: int | None, deadline: Deadline) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        is_tls = scheme == "https"
        self._host_pool = urllib3.HTTPConnectionPool(host, port or (443 if is_tls else 80), maxsize=1)
        self._host_pool.ConnectionCls = _connection_class(deadline, is_tls=is_tls)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> urllib3.HTTPConnectionPool:
        return self._host_pool

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to set: ``dial`` verifies every connection."""

    def close(self) -> None:
        self._host_pool.close()
        super().close()


def _connection_class(deadline: Deadline, *, is_tls: bool) -> Any:
    """A urllib3 connection that is opened by ``dial``, so that a failed connect is known as such and TLS is ours alone."""

    class Connection(urllib3.connection.HTTPConnection):
        default_port = 443 if is_tls else 80  # type: ignore[misc]
        used_at = 0.0
        head = b""
        is_head_held = False

        def request(self, method: str, url: str, body: Any = None, *args: Any, **kwargs: Any) -> None:
            self.head, self.is_head_held = b"", bool(body)
            super().request(method, url, body, *args, **kwargs)

        def send(self, data: Any) -> None:
            """Head and body leave as one: in two pieces a venue may wait for the second, and each costs a turn at the interpreter."""
            if self.is_head_held:
                self.head, self.is_head_held = data, False
                return
            data, self.head = self.head + data, b""
            super().send(data)

        def connect(self) -> None:
            timeout_s = min(CONNECT_TIMEOUT_S, deadline.remaining_s() or CONNECT_TIMEOUT_S)
            sock = dial(self.host, self.port, is_tls=is_tls, timeout_s=timeout_s)
            sock.deadline = deadline
            self.sock = sock

        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            self.used_at = time.monotonic()
            return super().getresponse()

        @property
        def is_connected(self) -> bool:
            """Asked by the pool before reuse: false when the peer has closed or the connection idled for too long."""
            return super().is_connected and time.monotonic() - self.used_at < MAX_IDLE_S

    return Connection


def _read(response: requests.Response) -> Outcome:
    """The outcome of a reply whose headers arrived; raises what reading the body raises."""
    status, headers = response.status_code, response.headers
    body = _read_body(response)
    if body is None:
        return Unknown(f"reply of status {status} larger than {MAX_BODY_BYTES} bytes", status)
    if 200 <= status < 300:
        return Ok(status, headers, body)
    if 300 <= status < 500:
        return Refused(status, headers, body, parse_retry_after(headers, time.time()))
    return Unknown(f"status {status}", status, body)


def _read_body(response: requests.Response) -> bytes | None:
    """All bytes, or None when there are too many. urllib3 gives the connection back only when everything was read."""
    chunks: list[bytes] = []
    size = 0
    for chunk in response.raw.stream(65536, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            response.raw.close()
            return None
    return b"".join(chunks)


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, from the seconds or the date form (measured against the reply's own Date where it has one), 0 to 60."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return min(float(value), MAX_RETRY_AFTER_S)
    until = _parse_date(value)
    if until is None:
        return None
    since = _parse_date(headers.get("Date", ""))
    return min(max(until - (now if since is None else since), 0.0), MAX_RETRY_AFTER_S)


def _parse_date(value: str) -> float | None:
    """Epoch seconds of an HTTP date, None for anything else."""
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _describe(error: BaseException) -> str:
    """The types along the cause chain and the system's word, never a message: urllib3 puts the URL with its query into those."""
    names = []
    for link in _chain(error):
        detail = f"({link.strerror})" if isinstance(link, OSError) and link.errno and link.strerror else ""
        names.append(type(link).__name__ + detail)
    return " < ".join(names)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: object = error
    while isinstance(link, BaseException) and id(link) not in seen and len(seen) < 8:
        seen.add(id(link))
        yield link
        inner = next((item for item in reversed(link.args) if isinstance(item, BaseException)), None)
        link = (
            getattr(link, "reason", None) if isinstance(getattr(link, "reason", None), BaseException) else inner or link.__cause__
        )
