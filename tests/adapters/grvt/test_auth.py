"""The shared session: when it logs in, what it parses, what it never shows."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from adapters.grvt.auth import RENEW_PAUSE_MAX_S, GrvtAuth, LoginFailed, cookie_lifetime_s, find_cookie, on_own_thread
from adapters.transport.rest import NotSent, Ok, Outcome, Refused, Unknown
from tests.adapters.grvt.support import API_KEY, COOKIE, FakeClock, FakeRest, denied, encoded, login_ok, ok


def test_a_login_gives_cookie_and_account_id() -> None:
    """Exactly the two headers that private calls carry; cookie attributes are not sent back."""
    assert {"Cookie": COOKIE, "X-Grvt-Account-Id": "ACC:1"} == FakeClock().auth(FakeRest(login_ok())).headers()


def test_one_login_serves_until_an_hour_before_its_end() -> None:
    """24 h cookie: no login after 22 h 59 min, one after 23 h."""
    clock, edge = FakeClock(), FakeRest(login_ok())
    auth = clock.auth(edge)
    auth.headers()
    clock.move(23 * 3600 - 60)
    auth.headers()
    before = len(edge.sent)
    clock.move(61)
    auth.headers()
    assert (1, 2) == (before, len(edge.sent))


def test_a_failed_refresh_keeps_the_old_cookie_while_it_lives() -> None:
    """The edge host being down for a while must not stop trading."""
    clock, edge = FakeClock(), FakeRest(login_ok(), NotSent("refused"))
    auth = clock.auth(edge)
    first = auth.headers()
    clock.move(23 * 3600 + 60)
    assert first == auth.headers()


def test_an_ended_cookie_is_never_used() -> None:
    """Past its end the failure of the refresh is the answer."""
    clock, edge = FakeClock(), FakeRest(login_ok(), NotSent("refused"))
    auth = clock.auth(edge)
    auth.headers()
    clock.move(24 * 3600 + 1)
    with pytest.raises(LoginFailed):
        auth.headers()


def test_nobody_waits_for_a_renewal() -> None:
    """While the cookie lives it is handed out at once, by one renewal under way as by none; the new one serves from its answer on."""
    begun: list[Callable[[], None]] = []
    clock, edge = FakeClock(), FakeRest(login_ok(), login_ok("gravity=second"))
    auth = clock.auth(edge, run=lambda work: begun.append(work) if edge.sent else work())
    auth.headers()
    clock.move(23 * 3600 + 60)
    old = [auth.headers(0.0)["Cookie"] for _ in range(3)]
    begun.pop()()
    assert ([COOKIE] * 3, "gravity=second", []) == (old, auth.headers(0.0)["Cookie"], begun)


def test_a_renewal_that_fails_is_tried_ever_more_rarely() -> None:
    """An hour of an edge that does not answer: after 2, 4, 8 s and so on, at last once a minute."""
    clock, tried_at = FakeClock(), list[float]()

    def silent(_: bytes) -> Outcome:
        tried_at.append(clock.monotonic)
        return Unknown("total deadline")

    auth = clock.auth(FakeRest(login_ok(), silent))
    auth.headers()
    clock.move(23 * 3600)
    for _ in range(3500):
        assert COOKIE == auth.headers()["Cookie"]
        clock.move(1)
    pauses = [later - earlier for earlier, later in itertools.pairwise(tried_at)]
    assert ([2, 4, 8, 16, 32], {RENEW_PAUSE_MAX_S}) == (pauses[:5], set(pauses[5:]))


def test_without_a_cookie_the_pause_stays_short() -> None:
    """However often the renewal had failed: what ends the wait is the next login."""
    clock, edge = FakeClock(), FakeRest(login_ok(), NotSent("refused"))
    auth = clock.auth(edge)
    old = auth.headers()
    clock.move(23 * 3600)
    for _ in range(580):
        auth.headers()
        clock.move(1)
    auth.invalidate(old)
    with pytest.raises(LoginFailed):
        auth.headers()
    edge.script = [login_ok("gravity=second")]
    clock.move(2)
    assert "gravity=second" == auth.headers()["Cookie"]


def test_a_call_that_cannot_wait_for_the_login_leaves_it_to_the_next() -> None:
    """It is told that nothing was reached, not that the key is refused; the login goes on and is made once."""
    release, threads = threading.Event(), list[threading.Thread]()

    def slow(_: bytes) -> Ok:
        threads.append(threading.current_thread())
        assert release.wait(10)
        return login_ok()

    edge = FakeRest(slow)
    auth = FakeClock().auth(edge, run=on_own_thread)
    for wait_s in (0.01, 0.0, -1.0):
        with pytest.raises(LoginFailed, match="login not answered within") as caught:
            auth.headers(wait_s)
        assert not caught.value.is_refused
    release.set()
    assert (COOKIE, 1) == (auth.headers(10)["Cookie"], len(edge.sent))
    threads[0].join(10)
    assert (False, True) == (threads[0].is_alive(), threads[0].daemon)


def test_the_thread_of_a_login_leaves_the_signals_to_the_main_thread() -> None:
    """One that it took would not wake the main loop."""
    masks: list[set[int]] = []

    def answer(_: bytes) -> Ok:
        masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
        return login_ok()

    FakeClock().auth(FakeRest(answer), run=on_own_thread).headers(10)
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1} <= masks[0]


def test_where_there_is_no_thread_left_the_old_cookie_serves() -> None:
    """And without one the failure is an answer like any other, until there is a thread again."""
    clock, edge = FakeClock(), FakeRest(login_ok(), login_ok("gravity=second"))
    is_full = False

    def run(work: Callable[[], None]) -> None:
        if is_full:
            raise RuntimeError("can't start new thread")
        work()

    auth = clock.auth(edge, run=run)
    auth.headers()
    is_full = True
    clock.move(23 * 3600 + 60)
    assert COOKIE == auth.headers()["Cookie"]
    clock.move(3600)
    with pytest.raises(LoginFailed, match="no thread"):
        auth.headers()
    is_full = False
    clock.move(2)
    assert "gravity=second" == auth.headers()["Cookie"]


def test_a_login_that_breaks_keeps_nobody_waiting() -> None:
    """Whoever needs it is told, and it is made again after the pause."""

    def broken(_: bytes) -> Ok:
        raise ValueError("no such thing")

    def run(work: Callable[[], None]) -> None:
        with contextlib.suppress(ValueError):
            work()

    clock, edge = FakeClock(), FakeRest(broken, login_ok())
    auth = clock.auth(edge, run=run)
    with pytest.raises(LoginFailed, match="without an outcome"):
        auth.headers()
    clock.move(2)
    assert COOKIE == auth.headers()["Cookie"]


def test_invalidate_forgets_only_the_session_it_names() -> None:
    """A slow thread's 1000 for the old cookie does not throw away the new one."""
    edge = FakeRest(login_ok())
    auth = FakeClock().auth(edge)
    old = auth.headers()
    auth.invalidate(old)
    auth.headers()
    auth.invalidate(old)
    auth.headers()
    assert 2 == len(edge.sent)


def test_threads_share_one_login() -> None:
    """Three lanes that start together log in once."""
    entered, release = threading.Event(), threading.Event()

    def slow(_: bytes) -> Ok:
        entered.set()
        assert release.wait(10)
        return login_ok()

    edge = FakeRest(slow)
    auth = FakeClock().auth(edge, run=on_own_thread)
    threads = [threading.Thread(target=auth.headers) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    release.set()
    for thread in threads:
        thread.join(10)
    assert 1 == len(edge.sent)


def test_a_failed_login_is_not_repeated_at_once() -> None:
    """One login a second is all the venue allows; the reason stays the same meanwhile."""
    clock, edge = FakeClock(), FakeRest(NotSent("refused"), login_ok())
    auth = clock.auth(edge)
    for _ in range(2):
        with pytest.raises(LoginFailed, match="not sent"):
            auth.headers()
    attempts = len(edge.sent)
    clock.move(3)
    auth.headers()
    assert (1, 2) == (attempts, len(edge.sent))


@pytest.mark.parametrize(
    ("answer", "is_refused"),
    [
        (denied(1000, 401), True),
        (Refused(403, {}, b"<html>challenge</html>", None), False),
        (ok({"status": "failure"}, {"Set-Cookie": COOKIE, "X-Grvt-Account-Id": "ACC:1"}), True),
        (ok({"status": "success"}, {"X-Grvt-Account-Id": "ACC:1"}), False),
        (ok({"status": "success"}, {"Set-Cookie": COOKIE}), False),
        (ok(b"<html>"), False),
        (NotSent("refused"), False),
        (Unknown("ReadTimeout"), False),
    ],
)
def test_failures_tell_no_from_not_reached(answer: object, is_refused: bool) -> None:
    """Only the venue's own word is a refusal of the key; a challenge page is not."""
    with pytest.raises(LoginFailed) as caught:
        FakeClock().auth(FakeRest(answer)).headers()  # type: ignore[arg-type]
    assert is_refused is caught.value.is_refused


def test_no_failure_shows_the_key_or_the_cookie() -> None:
    """Even where the venue echoes the key in its message."""
    echo = Refused(401, {}, encoded({"code": "invalid", "message": API_KEY}), None)
    typed = Refused(401, {}, encoded({"code": 1000, "message": f"bad key {API_KEY}"}), None)
    for answer in (echo, typed, NotSent(f"dial {API_KEY}"), Unknown(API_KEY)):
        auth = FakeClock().auth(FakeRest(answer))
        with pytest.raises(LoginFailed) as caught:
            auth.headers()
        assert API_KEY not in f"{caught.value!r} {auth!r}"


def test_the_login_connection_is_closed_again() -> None:
    """One login a day needs no pooled connection."""
    edge = FakeRest(login_ok())
    FakeClock().auth(edge).headers()
    assert edge.is_closed


def test_the_account_of_a_trading_key_is_remembered() -> None:
    """The login names the sub-account that the key belongs to."""
    answer = ok({"status": "success", "sub_account_id": "123"}, dict(login_ok().headers))
    auth: GrvtAuth = FakeClock().auth(FakeRest(answer))
    auth.headers()
    assert "123" == auth.sub_account_id


@pytest.mark.parametrize(
    "line",
    [
        "gravity=abc; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
        "other=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT, gravity=abc; Max-Age=60",
        "gravity=abc, other=2; Max-Age=1",
    ],
)
def test_the_cookie_is_found_among_others(line: str) -> None:
    """Several Set-Cookie headers arrive joined by commas, and dates have commas too."""
    cookie = find_cookie(line)
    assert cookie is not None
    assert "gravity=abc" == cookie.partition(";")[0]


@pytest.mark.parametrize("line", ["", "other=1", "gravity=; Max-Age=1"])
def test_no_cookie_is_no_session(line: str) -> None:
    """An empty token authenticates nothing."""
    assert find_cookie(line) is None


def test_attributes_of_another_cookie_do_not_count() -> None:
    """The neighbour's Max-Age is not ours."""
    cookie = find_cookie("gravity=abc; Path=/, other=2; Max-Age=1")
    assert 86_400.0 == cookie_lifetime_s(cookie or "", "", 0.0)


@pytest.fixture
def _seoul(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is not GMT."""
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_seoul")
@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("; Max-Age=600; Expires=Wed, 21 Oct 2026 08:00:00 GMT", 600.0),
        ("; Expires=Wed, 21 Oct 2026 08:00:00 GMT", 3600.0),
        ("; Expires=Wed, 21 Oct 2026 08:00:00", 3600.0),
        ("; Expires=Wed, 21 Oct 2026 06:00:00 GMT", 0.0),
        ("; Expires=soon", 86_400.0),
        ("; Max-Age=-5", 86_400.0),
    ],
)
def test_the_end_of_a_cookie_is_read_as_gmt(attributes: str, expected: float) -> None:
    """Against the answer's own Date, so that neither time zone nor a wrong local clock shifts it."""
    assert expected == cookie_lifetime_s("gravity=abc" + attributes, "Wed, 21 Oct 2026 07:00:00 GMT", 0.0)
