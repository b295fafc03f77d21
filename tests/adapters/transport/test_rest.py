"""RestClient against every fault of the table in the reliability notes: what it says must be what the server saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapters.transport import dial
from adapters.transport.rest import (
    MAX_BODY_BYTES,
    NotSent,
    Ok,
    Outcome,
    Refused,
    RestClient,
    Unknown,
    parse_retry_after,
)
from tests.adapters.transport.certificates import self_signed, server_context
from tests.adapters.transport.raw_server import GUARD_S, Peer, RawServer, closed_port, deaf_port

Ask = Callable[..., Outcome]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """POST to a port with a client of its own."""
    clients: list[RestClient] = []

    def post(
        port: int, *, scheme: str = "http", host: str = "127.0.0.1", deadline_s: float = GUARD_S, query: str = ""
    ) -> Outcome:
        client = RestClient(f"{scheme}://{host}:{port}", total_deadline_s=deadline_s)
        clients.append(client)
        return client.request("POST", "/orders", query=query, body=b'{"a":1}', headers={"X-Signature": "canary-header"})

    yield post
    for client in clients:
        client.close()


def answering(*replies: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """A script: read a request, give the next of ``replies``, on one connection."""

    def script(peer: Peer) -> None:
        for reply in replies:
            if not peer.read_request():
                return
            reply(peer)
        peer.wait_until_gone()

    return script


# ---- read in full ----------------------------------------------------------------------------------------------------------------


def test_a_whole_2xx_is_ok(ask: Ask) -> None:
    """Status, body and case-insensitive headers arrive."""
    with RawServer(answering(lambda peer: peer.reply(201, b"[1]", ("X-Grvt-Account-Id: ACC:1",)))) as server:
        outcome = ask(server.port)
    assert isinstance(outcome, Ok)
    assert (201, b"[1]", "ACC:1") == (outcome.status, outcome.body, outcome.headers["x-grvt-account-id"])


def test_a_chunked_reply_is_ok(ask: Ask) -> None:
    """Chunks are joined."""
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n"
    with RawServer(answering(lambda peer: peer.send(reply))) as server:
        outcome = ask(server.port)
    assert isinstance(outcome, Ok)
    assert outcome.body == b"[1]"


def test_the_request_goes_out_as_it_was_given() -> None:
    """A signed query must not be re-ordered, re-quoted or completed."""
    with RawServer(answering(lambda peer: peer.reply(200))) as server:
        client = RestClient(f"http://127.0.0.1:{server.port}/base/", total_deadline_s=GUARD_S)
        client.request("DELETE", "/api/v1/order", query="z=1&a=%5B2%5D&b=x+y", body=b"{}", headers={"X-Window": "5000"})
        client.close()
        lines = server.requests[0].split(b"\r\n")
    assert lines[0] == b"DELETE /base/api/v1/order?z=1&a=%5B2%5D&b=x+y HTTP/1.1"
    assert {b"X-Window: 5000", b"Content-Length: 2"} <= set(lines)


def test_head_and_body_leave_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a connection that is open already, too; and a request without a body is not held back."""
    pieces: list[bytes] = []
    send = dial.BoundedSocket.sendall
    monkeypatch.setattr(dial.BoundedSocket, "sendall", lambda sock, data: (pieces.append(data), send(sock, data))[1])
    with RawServer(answering(*[lambda peer: peer.reply(200)] * 3)) as server:
        client = RestClient(f"http://127.0.0.1:{server.port}", total_deadline_s=GUARD_S)
        for body in (b'{"a":1}', b'{"a":1}', None):
            client.request("POST", "/a", body=body)
        client.close()
    assert [b'{"a":1}', b'{"a":1}', b""] == [piece.partition(b"\r\n\r\n")[2] for piece in pieces]


def test_a_connection_is_kept_and_used_again() -> None:
    """Two requests, one connection."""
    ok = [lambda peer: peer.reply(200)] * 2
    with RawServer(answering(*ok)) as server:
        client = RestClient(f"http://127.0.0.1:{server.port}", total_deadline_s=GUARD_S)
        outcomes = [client.request("GET", "/a"), client.request("GET", "/b")]
        client.close()
        assert server.connections == 1
    assert [200, 200] == [outcome.status for outcome in outcomes if isinstance(outcome, Ok)]


def test_an_empty_body_gives_the_connection_back() -> None:
    """Content-Length 0 is read in full too."""
    with RawServer(answering(*[lambda peer: peer.reply(200, b"")] * 2)) as server:
        client = RestClient(f"http://127.0.0.1:{server.port}", total_deadline_s=GUARD_S)
        client.request("POST", "/a", body=b"{}")
        client.request("POST", "/a", body=b"{}")
        client.close()
        assert server.connections == 1


def test_proxies_of_the_environment_are_not_used(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy variable is no reason to send an order elsewhere."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    with RawServer(answering(lambda peer: peer.reply(200))) as server:
        assert isinstance(ask(server.port), Ok)


def test_cookies_are_not_kept() -> None:
    """Only the caller decides which cookie a request carries."""
    setting = lambda peer: peer.reply(200, b"{}", ("Set-Cookie: gravity=canary; Path=/",))  # noqa: E731 - a table of replies
    with RawServer(answering(setting, setting)) as server:
        client = RestClient(f"http://127.0.0.1:{server.port}", total_deadline_s=GUARD_S)
        client.request("GET", "/login")
        client.request("GET", "/a")
        client.close()
        assert b"canary" not in server.requests[1]


# ---- not sent --------------------------------------------------------------------------------------------------------------------


def test_a_refused_connection_is_not_sent(ask: Ask) -> None:
    """Nobody listened, so nobody saw it."""
    assert isinstance(ask(closed_port()), NotSent)


def test_an_unknown_name_is_not_sent(ask: Ask) -> None:
    """.invalid never resolves (RFC 2606)."""
    assert isinstance(ask(1, host="no-such-host.invalid"), NotSent)


def test_a_hanging_name_lookup_is_not_sent_and_holds_one_thread(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver cannot be interrupted: callers leave it, and a second caller joins the first look-up."""
    calls = []
    gate = dial.threading.Event()
    real = dial.socket.getaddrinfo

    def hang(host: str, port: int, **kwargs: int) -> object:
        if kwargs.get("flags"):
            return real(host, port, **kwargs)
        calls.append(host)
        gate.wait(GUARD_S)
        return []

    monkeypatch.setattr(dial.socket, "getaddrinfo", hang)
    try:
        outcomes = [ask(1, host="slow.invalid", deadline_s=0.1) for _ in range(2)]
    finally:
        gate.set()
    assert [NotSent, NotSent] == [type(outcome) for outcome in outcomes]
    assert ["slow.invalid"] == calls


def test_a_connect_time_out_is_not_sent(ask: Ask) -> None:
    """A port that drops SYNs never saw a request."""
    with deaf_port() as port:
        assert isinstance(ask(port, deadline_s=0.2), NotSent)


@pytest.mark.parametrize("deadline_s", [0.0, -1.0])
def test_no_time_left_is_not_sent(ask: Ask, deadline_s: float) -> None:
    """A caller that spent its time elsewhere must not be told to look for an order that never left."""
    with RawServer(answering(lambda peer: peer.reply(200))) as server:
        outcome = ask(server.port, deadline_s=deadline_s)
        assert server.connections == 0
    assert isinstance(outcome, NotSent)


def test_a_wrong_certificate_is_not_sent_and_named(ask: Ask, tmp_path: Path) -> None:
    """Verification has no switch; the reason lets an operator see why."""
    with RawServer(answering(lambda peer: peer.reply(200)), server_context(self_signed(tmp_path))) as server:
        outcome = ask(server.port, scheme="https")
        assert server.requests == []
    assert isinstance(outcome, NotSent)
    assert "certificate" in outcome.reason


def test_a_silent_tls_port_is_not_sent(ask: Ask) -> None:
    """Without a finished handshake no byte of the request has left."""
    with RawServer(Peer.wait_until_gone) as server:
        outcome = ask(server.port, scheme="https", deadline_s=0.2)
    assert isinstance(outcome, NotSent)


# ---- unknown ---------------------------------------------------------------------------------------------------------------------


def test_no_answer_is_unknown(ask: Ask) -> None:
    """A read time-out: the server has it."""
    with RawServer(answering(Peer.wait_until_gone)) as server:
        assert Unknown("total deadline") == ask(server.port, deadline_s=1.0)
        assert len(server.requests) == 1


FAULTS_AFTER_THE_REQUEST: dict[str, Callable[[Peer], None]] = {
    "RST": Peer.reset,
    "FIN": lambda peer: peer.sock.close(),
    "garbage status line": lambda peer: (peer.send(b"\x00\x01garbage\r\n\r\n"), peer.sock.close())[0],
    "truncated body": lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"), peer.sock.close())[0],
    "truncated chunk": lambda peer: (
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
        peer.sock.close(),
    )[0],
    "chunks without an end": lambda peer: (
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"),
        peer.sock.close(),
    )[0],
    "RST in the body": lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"), peer.reset())[0],
    "truncated refusal": lambda peer: (peer.send(b"HTTP/1.1 400 X\r\nContent-Length: 50\r\n\r\n{"), peer.sock.close())[0],
    "bad gzip": lambda peer: peer.reply(200, b"not gzip", ("Content-Encoding: gzip",)),
}


@pytest.mark.parametrize("fault", FAULTS_AFTER_THE_REQUEST.values(), ids=FAULTS_AFTER_THE_REQUEST.keys())
def test_a_fault_after_the_request_is_unknown(ask: Ask, fault: Callable[[Peer], None]) -> None:
    """The server saw it exactly once, and we do not know what it did."""
    with RawServer(answering(fault)) as server:
        outcome = ask(server.port)
        assert len(server.requests) == 1
    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_a_5xx_is_unknown_with_its_body(ask: Ask, status: int) -> None:
    """The status is told, and neither it nor Retry-After makes the request go out again."""
    with RawServer(answering(lambda peer: peer.reply(status, b"oops", ("Retry-After: 0",)))) as server:
        assert Unknown(f"status {status}", status, b"oops") == ask(server.port)
        assert len(server.requests) == 1


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dripping_answer_ends_at_the_total_deadline(
    ask: Ask, head: bytes, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes well within any read time-out, in the status line, the headers or the body: only a total deadline helps. It passes,
    by the client's clock, as soon as the answer has begun."""
    real, passed_s = time.monotonic, 0.0
    monkeypatch.setattr(dial, "time", SimpleNamespace(monotonic=lambda: real() + passed_s))

    def drip(peer: Peer) -> None:
        nonlocal passed_s
        peer.send(head)
        passed_s = GUARD_S
        while not peer.server.ended.wait(0.02):
            peer.send(b"a")

    tls = None
    if scheme == "https":
        pem = self_signed(tmp_path)
        tls = server_context(pem)
        monkeypatch.setattr(dial.certifi, "where", lambda: str(pem))
        dial.tls_context.cache_clear()
    try:
        with RawServer(answering(drip), tls) as server:
            assert Unknown("total deadline") == ask(server.port, scheme=scheme)
    finally:
        dial.tls_context.cache_clear()


def test_tls_works_with_a_trusted_certificate(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counter-proof to the refused certificate: trust alone makes the difference."""
    pem = self_signed(tmp_path)
    monkeypatch.setattr(dial.certifi, "where", lambda: str(pem))
    dial.tls_context.cache_clear()
    try:
        with RawServer(answering(lambda peer: peer.reply(200)), server_context(pem)) as server:
            assert isinstance(ask(server.port, scheme="https"), Ok)
    finally:
        dial.tls_context.cache_clear()


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_huge_reply_is_unknown(ask: Ask, *, is_chunked: bool) -> None:
    """More than 16 MiB is not kept, whether the length is claimed or not."""

    def flood(peer: Peer) -> None:
        if not is_chunked:
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        block = b"x" * 65536
        for _ in range(MAX_BODY_BYTES // len(block) + 2):
            peer.send(b"10000\r\n" + block + b"\r\n" if is_chunked else block)

    with RawServer(answering(flood)) as server:
        outcome = ask(server.port)
    assert isinstance(outcome, Unknown)
    assert "larger than" in outcome.reason


def test_the_client_works_after_an_unknown() -> None:
    """A broken connection is thrown away, not used again."""

    def script(peer: Peer) -> None:
        peer.read_request()
        if peer.index > 1:
            peer.reply(200)

    with RawServer(script) as server:
        client = RestClient(f"http://127.0.0.1:{server.port}", total_deadline_s=GUARD_S)
        outcomes = [client.request("GET", "/a"), client.request("GET", "/a")]
        client.close()
    assert [Unknown, Ok] == [type(outcome) for outcome in outcomes]


def test_a_pooled_connection_that_the_server_closed_is_not_used() -> None:
    """The FIN of an idle connection is seen before a POST is risked on it."""
    closed = dial.threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.reply(200)
        peer.sock.close()
        closed.release()

    with RawServer(script) as server:
        client = RestClient(f"http://127.0.0.1:{server.port}", total_deadline_s=GUARD_S)
        outcomes = []
        for _ in range(20):
            outcomes.append(client.request("POST", "/a", body=b"{}"))
            assert closed.acquire(timeout=GUARD_S)
        client.close()
        assert len(server.requests) == 20
    assert {Ok} == {type(outcome) for outcome in outcomes}


def test_a_connection_that_idled_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A middle box may have forgotten it without a FIN."""
    monkeypatch.setattr("adapters.transport.rest.MAX_IDLE_S", 0.0)
    with RawServer(answering(*[lambda peer: peer.reply(200)] * 2)) as server:
        client = RestClient(f"http://127.0.0.1:{server.port}", total_deadline_s=GUARD_S)
        client.request("POST", "/a", body=b"{}")
        client.request("POST", "/a", body=b"{}")
        client.close()
        assert server.connections == 2


def echo(peer: Peer) -> None:
    """A status line that quotes the request."""
    peer.send(b"canary-query canary-header\r\n\r\n")
    peer.sock.close()


@pytest.mark.parametrize("fault", [Peer.reset, Peer.wait_until_gone, echo])
def test_a_reason_never_quotes_the_request(ask: Ask, fault: Callable[[Peer], None]) -> None:
    """urllib3 puts the URL into its messages, and with it a signature."""
    with RawServer(answering(fault)) as server:
        outcome = ask(server.port, deadline_s=1.0, query="signature=canary-query")
    assert isinstance(outcome, Unknown)
    assert "canary" not in repr(outcome)


def test_a_refused_connection_never_quotes_the_request(ask: Ask) -> None:
    """The same for a request that was not sent."""
    assert "canary" not in repr(ask(closed_port(), query="signature=canary-query"))


# ---- refused ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429])
def test_a_4xx_is_refused(ask: Ask, status: int) -> None:
    """With its body, which carries the venue's code."""
    with RawServer(answering(lambda peer: peer.reply(status, b'{"code":1}'))) as server:
        outcome = ask(server.port)
    assert isinstance(outcome, Refused)
    assert (status, b'{"code":1}', None) == (outcome.status, outcome.body, outcome.retry_after_s)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_not_followed(ask: Ask, status: int) -> None:
    """307 and 308 would replay the POST to another server."""
    with RawServer(answering(lambda peer: peer.reply(200))) as other:
        location = f"Location: http://127.0.0.1:{other.port}/"
        with RawServer(answering(lambda peer: peer.reply(status, b"", (location,)))) as server:
            outcome = ask(server.port)
        assert other.connections == 0
    assert isinstance(outcome, Refused)


def test_retry_after_arrives(ask: Ask) -> None:
    """A 429 carries how long to wait."""
    with RawServer(answering(lambda peer: peer.reply(429, b"{}", ("Retry-After: 7",)))) as server:
        outcome = ask(server.port)
    assert isinstance(outcome, Refused)
    assert outcome.retry_after_s == 7.0


NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "86400"}, 60.0),
        ({"Retry-After": "9" * 400}, 60.0),
        ({"Retry-After": formatdate(NOW + 5, usegmt=True)}, 5.0),
        ({"Retry-After": formatdate(NOW + 500, usegmt=True)}, 60.0),
        ({"Retry-After": formatdate(NOW - 5, usegmt=True)}, 0.0),
        ({"Retry-After": formatdate(NOW + 105, usegmt=True), "Date": formatdate(NOW + 100, usegmt=True)}, 5.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
    ],
)
def test_retry_after_forms(headers: dict[str, str], expected: float | None) -> None:
    """Seconds or a date (by the server's own clock where it tells it), never more than a minute, nonsense ignored."""
    assert expected == parse_retry_after(headers, NOW)


# ---- clock -----------------------------------------------------------------------------------------------------------------------


def test_the_date_header_measures_the_venue_clock(ask: Ask) -> None:
    """A venue that is an hour ahead is seen an hour ahead, within the second that the header can tell."""
    date = f"Date: {formatdate(time.time() + 3600, usegmt=True)}"
    with RawServer(answering(lambda peer: peer.reply(200, b"{}", (date,)))) as server:
        client = RestClient(f"http://127.0.0.1:{server.port}", total_deadline_s=GUARD_S)
        before = client.date_offset_ms
        client.request("GET", "/time")
        offset_ms = client.date_offset_ms
        client.close()
    assert before is None
    assert offset_ms == pytest.approx(3_600_000, abs=5_000)


@pytest.mark.parametrize("date", ["yesterday", "", "Mon, 99 Foo 2026 99:99:99 GMT"])
def test_a_bad_date_is_ignored(date: str) -> None:
    """It changes nothing and breaks nothing."""
    with RawServer(answering(lambda peer: peer.reply(200, b"{}", (f"Date: {date}",)))) as server:
        client = RestClient(f"http://127.0.0.1:{server.port}", total_deadline_s=GUARD_S)
        outcome = client.request("GET", "/time")
        client.close()
    assert isinstance(outcome, Ok)
    assert client.date_offset_ms is None


@pytest.mark.parametrize("url", ["127.0.0.1:1", "ftp://host", "http://"])
def test_a_base_url_that_is_none_is_an_error(url: str) -> None:
    """A programming or configuration error raises at once."""
    with pytest.raises(ValueError, match="not an http"):
        RestClient(url, total_deadline_s=1)
