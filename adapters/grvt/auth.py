"""The session with GRVT's edge: log in by API key, keep the cookie fresh, hand out the headers (grvt.md §1).

One object for all lanes and the stream's handshake. It must never put the key or the cookie into a message, a repr or an exception, and
never let a call wait for a login while the cookie lives: a cancel that waits leaves a quote resting blind.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol

from adapters.grvt import codes, parse, requests
from adapters.grvt.envelope import error_of
from adapters.grvt.values import WireRefused
from adapters.run_signals import STOP_SIGNALS
from adapters.transport.rest import NotSent, Ok, Outcome, Refused, Unknown

LOGIN_DEADLINE_S = 5.0
REFRESH_BEFORE_S = 3600.0
LIFETIME_ASSUMED_S = 24 * 3600.0
"""Where the cookie names no end (grvt.md §1: 24 h)."""
RETRY_AFTER_S = 2.0
"""Pause after a failed login: three threads that need the cookie must not each try again at once (1 login/s, grvt.md §6)."""
RENEW_PAUSE_MAX_S = 60.0
"""While the old cookie lives the pause doubles up to this: some sixty attempts in its last hour."""

_MAIN_THREAD_SIGNALS = (*STOP_SIGNALS, signal.SIGUSR1)
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


class _Failure(NamedTuple):
    """Why there was no login; ``failures`` in a row. Raised anew for each caller: an exception that is shared grows its traceback."""

    at: float
    failures: int
    reason: str
    code: int | None

    def error(self) -> LoginFailed:
        return LoginFailed(self.reason, code=self.code)


class _Attempt:
    """One login under way. It ends by its own deadline, whoever still waits for it."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.outcome: _Login | _Failure | None = None

    def headers(self, wait_s: float) -> Mapping[str, str]:
        if not self.done.wait(max(wait_s, 0.0)) or self.outcome is None:
            raise LoginFailed(f"login not answered within {max(wait_s, 0.0):.1f} s")
        if isinstance(self.outcome, _Failure):
            raise self.outcome.error()
        return self.outcome.headers


def on_own_thread(work: Callable[[], None]) -> None:
    """Raises RuntimeError where the system has no thread left."""

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _MAIN_THREAD_SIGNALS)
        work()

    threading.Thread(target=run, name="grvt-login", daemon=True).start()


class GrvtAuth:
    """Thread-safe. One login at a time, on a thread that lives no longer than it: a lane whose time is over leaves, and the next call
    finds what the login brought. ``run`` gives it the thread."""

    def __init__(
        self,
        api_key: str,
        open_rest: Callable[[], Rest],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        run: Callable[[Callable[[], None]], None] = on_own_thread,
    ) -> None:
        self._api_key = api_key
        self._open_rest = open_rest
        self._monotonic = monotonic
        self._wall = wall
        self._run = run
        self._lock = threading.Lock()
        self._login: _Login | None = None
        self._failed: _Failure | None = None
        self._attempt: _Attempt | None = None
        self.sub_account_id = ""
        """The sub-account of a trading-account key, as the login names it; empty where it names none."""

    def headers(self, wait_s: float = LOGIN_DEADLINE_S) -> Mapping[str, str]:
        """Cookie and account id for a private call or handshake; without a living cookie waits for a login, or raises LoginFailed.

        A renewal that fails before the old cookie has ended goes unnoticed: the old one still serves.
        """
        with self._lock:
            now = self._monotonic()
            login = self._login if self._login is not None and now < self._login.expires_at else None
            if login is not None and now < login.refresh_at:
                return login.headers
            failed, attempt = self._failed, self._attempt
            is_begun = attempt is None and (failed is None or now >= failed.at + _pause_s(failed, is_alive=login is not None))
            if is_begun:
                attempt = self._attempt = _Attempt()
        if is_begun and attempt is not None:
            self._begin(attempt)
        if login is not None:
            return login.headers
        if attempt is not None:
            return attempt.headers(wait_s)
        assert failed is not None
        raise failed.error()

    def invalidate(self, used: Mapping[str, str]) -> None:
        """The venue did not accept ``used``; a newer session, made by another thread meanwhile, stays."""
        with self._lock:
            if self._login is not None and self._login.headers is used:
                self._login = None

    def _begin(self, attempt: _Attempt) -> None:
        try:
            self._run(lambda: self._carry_out(attempt))
        except (RuntimeError, MemoryError) as error:
            self._end(attempt, LoginFailed(f"no thread for the login: {error}"))

    def _carry_out(self, attempt: _Attempt) -> None:
        outcome: _Login | LoginFailed = LoginFailed("the login ended without an outcome")
        try:
            outcome = self._logged_in()
        except LoginFailed as error:
            outcome = error
        finally:
            self._end(attempt, outcome)

    def _logged_in(self) -> _Login:
        rest = self._open_rest()
        try:
            return self._log_in(rest)
        finally:
            rest.close()

    def _end(self, attempt: _Attempt, outcome: _Login | LoginFailed) -> None:
        with self._lock:
            self._attempt = None
            if isinstance(outcome, _Login):
                self._login, self._failed = outcome, None
                attempt.outcome = outcome
            else:
                failures = 1 if self._failed is None else self._failed.failures + 1
                self._failed = attempt.outcome = _Failure(self._monotonic(), failures, str(outcome), outcome.code)
        attempt.done.set()

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
                raise LoginFailed(
                    self._clean(f"login with GRVT_API_KEY refused: HTTP {status} code {typed[0]} {typed[1]}"), code=typed[0]
                )
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
            raise LoginFailed(f"login with GRVT_API_KEY refused: status {answer.status[:40]!r}", code=codes.NOT_AUTHENTICATED)
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


def _pause_s(failed: _Failure, *, is_alive: bool) -> float:
    """Longer and longer only while the old cookie lives: without one, trading waits for the login."""
    return min(RETRY_AFTER_S * 2.0 ** min(failed.failures - 1, 16), RENEW_PAUSE_MAX_S) if is_alive else RETRY_AFTER_S


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
