"""The session with GRVT's edge: log in by API key, keep the cookie fresh, hand out the headers (grvt.md §1).

One object for all lanes and the stream's handshake. It must never put the key or the cookie into a message, a repr or an exception.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol

from adapters.grvt import codes, parse, requests
from adapters.grvt.envelope import error_of
from adapters.grvt.values import WireRefused
from adapters.transport.rest import NotSent, Ok, Outcome, Refused, Unknown

LOGIN_DEADLINE_S = 5.0
REFRESH_BEFORE_S = 3600.0
LIFETIME_ASSUMED_S = 24 * 3600.0
"""Where the cookie names no end (grvt.md §1: 24 h)."""
RETRY_AFTER_S = 2.0
"""Pause after a failed login: three threads that need the cookie must not each try again at once (1 login/s, grvt.md §6)."""

_OTHER_COOKIE = re.compile(r",\s*(?=[^;,\s=]+=)")


class Rest(Protocol):
    """The part of ``transport.rest.RestClient`` that this adapter needs."""

    @property
    def date_offset_ms(self) -> float | None: ...

    def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] = ...,
        deadline_s: float | None = None,
    ) -> Outcome: ...

    def close(self) -> None: ...


class LoginFailed(Exception):
    """No session. ``code``: the venue's own word where it said no; None where it was not reached or a proxy answered."""

    def __init__(self, reason: str, *, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code

    @property
    def is_refused(self) -> bool:
        return self.code is not None


class _Login(NamedTuple):
    headers: Mapping[str, str]
    refresh_at: float
    expires_at: float


class GrvtAuth:
    """Thread-safe; a login blocks the threads that need it for at most ``LOGIN_DEADLINE_S``."""

    def __init__(
        self,
        api_key: str,
        open_rest: Callable[[], Rest],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._api_key = api_key
        self._open_rest = open_rest
        self._monotonic = monotonic
        self._wall = wall
        self._lock = threading.Lock()
        self._login: _Login | None = None
        self._failed: tuple[float, LoginFailed] | None = None
        self.sub_account_id = ""
        """The sub-account of a trading-account key, as the login names it; empty where it names none."""

    def headers(self) -> Mapping[str, str]:
        """Cookie and account id for a private call or handshake; logs in where needed, raises LoginFailed.

        A refresh that fails before the old cookie has ended goes unnoticed: the old one still serves.
        """
        with self._lock:
            now = self._monotonic()
            login = self._login
            if login is not None and now < login.refresh_at:
                return login.headers
            try:
                self._login = login = self._renewed(now)
            except LoginFailed:
                if login is None or now >= login.expires_at:
                    self._login = None
                    raise
            return login.headers

    def invalidate(self, used: Mapping[str, str]) -> None:
        """The venue did not accept ``used``; a newer session, made by another thread meanwhile, stays."""
        with self._lock:
            if self._login is not None and self._login.headers is used:
                self._login = None

    def _renewed(self, now: float) -> _Login:
        if self._failed is not None and now < self._failed[0]:
            raise self._failed[1]
        rest = self._open_rest()
        try:
            login = self._log_in(rest)
        except LoginFailed as error:
            self._failed = (self._monotonic() + RETRY_AFTER_S, error)
            raise
        finally:
            rest.close()
        self._failed = None
        return login

    def _log_in(self, rest: Rest) -> _Login:
        call = requests.login(self._api_key)
        headers = {"Content-Type": "application/json", "Cookie": "rm=true;"}
        asked_at = self._monotonic()
        match rest.request("POST", call.path, body=call.body, headers=headers, deadline_s=LOGIN_DEADLINE_S):
            case Ok(_, answer, body):
                return self._accepted(answer, body, asked_at)
            case Refused(status, _, body, _):
                typed = error_of(body)
                if typed is None:
                    raise LoginFailed(f"login answered HTTP {status} without a venue error")
                raise LoginFailed(self._clean(f"login refused: HTTP {status} code {typed[0]} {typed[1]}"), code=typed[0])
            case NotSent(reason):
                raise LoginFailed(self._clean(f"login not sent: {reason}"))
            case Unknown(reason):
                raise LoginFailed(self._clean(f"login unanswered: {reason}"))

    def _accepted(self, headers: Mapping[str, str], body: bytes, asked_at: float) -> _Login:
        try:
            answer = parse.login(body)
        except WireRefused as error:
            raise LoginFailed(f"login answer refused: {error}") from None
        if answer.status != "success":
            raise LoginFailed(f"login refused: status {answer.status[:40]!r}", code=codes.NOT_AUTHENTICATED)
        cookie = find_cookie(header(headers, "set-cookie"))
        account_id = header(headers, "x-grvt-account-id")
        if cookie is None or not account_id:
            raise LoginFailed("login answer without session cookie or account id")
        self.sub_account_id = "" if answer.sub_account_id is None else str(answer.sub_account_id)
        lifetime = cookie_lifetime_s(cookie, header(headers, "date"), self._wall())
        margin = min(REFRESH_BEFORE_S, lifetime / 2)
        session = {"Cookie": cookie.partition(";")[0].strip(), "X-Grvt-Account-Id": account_id}
        return _Login(session, refresh_at=asked_at + lifetime - margin, expires_at=asked_at + lifetime)

    def _clean(self, text: str) -> str:
        return text.replace(self._api_key, "***")


def header(headers: Mapping[str, str], name: str) -> str:
    """A header's value whatever the case of its name; "" where it is absent."""
    return next((value for key, value in headers.items() if key.lower() == name), "")


def find_cookie(set_cookie: str) -> str | None:
    """The ``gravity`` cookie with its attributes; several cookies may stand in one line, split at commas (dates have commas too)."""
    cookies = (part.strip() for part in _OTHER_COOKIE.split(set_cookie))
    return next((cookie for cookie in cookies if cookie.startswith("gravity=") and cookie.partition(";")[0] != "gravity="), None)


def cookie_lifetime_s(cookie: str, date: str, wall_s: float) -> float:
    """Seconds from now to the cookie's end: Max-Age, else Expires, read as GMT, against the answer's Date or our clock."""
    attributes = {name.strip().lower(): value.strip() for name, _, value in (part.partition("=") for part in cookie.split(";"))}
    max_age = attributes.get("max-age", "")
    if max_age.isascii() and max_age.isdigit():
        return float(max_age[:9])
    expires = _gmt_s(attributes.get("expires", ""))
    if expires is None:
        return LIFETIME_ASSUMED_S
    issued = _gmt_s(date)
    return max(expires - (wall_s if issued is None else issued), 0.0)


def _gmt_s(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
