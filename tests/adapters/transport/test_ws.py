"""WebSocket against a raw server: whole messages or a prompt, named loss; never a hang, never an unbounded buffer."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.transport.ws import ConnectFailed, ConnectionLost, WebSocket
from tests.adapters.transport.certificates import self_signed, server_context, trusted
from tests.adapters.transport.raw_server import GUARD_S, CutTLS, Peer, RawServer, closed_port, deaf_port, frame


@contextmanager
def connected(script: Callable[[Peer], None], **options: int) -> Iterator[WebSocket]:
    """A WebSocket whose server shakes hands and then runs ``script``."""

    def run(peer: Peer) -> None:
        peer.accept_ws()
        script(peer)
        peer.wait_until_gone()

    with RawServer(run) as server:
        ws = WebSocket(**options)
        ws.connect(f"ws://127.0.0.1:{server.port}/ws", (), GUARD_S)
        yield ws
        ws.close()


# ---- messages --------------------------------------------------------------------------------------------------------------------


def test_messages_arrive_in_order() -> None:
    """Text and binary frames come out as bytes, in the order of the wire."""
    with connected(lambda peer: peer.send(frame(1, b"one") + frame(2, b"two"))) as ws:
        assert [b"one", b"two"] == [ws.receive(GUARD_S), ws.receive(GUARD_S)]


def test_fragments_are_joined_around_a_ping() -> None:
    """A control frame may stand between the fragments of a message."""
    data = frame(1, b"on", fin=False) + frame(9, b"hello") + frame(0, b"", fin=False) + frame(0, b"e")
    pongs: list[tuple[int, bytes]] = []

    def script(peer: Peer) -> None:
        peer.send(data)
        pongs.append(peer.read_frame())
        peer.text(b"two")

    with connected(script) as ws:
        assert [b"one", b"two"] == [ws.receive(GUARD_S), ws.receive(GUARD_S)]
    assert [(10, b"hello")] == pongs


def test_a_message_sent_with_the_handshake_reply_is_not_lost() -> None:
    """The first frame may share a packet with the 101."""

    def run(peer: Peer) -> None:
        real_send, held = peer.send, []
        peer.send = held.append  # type: ignore[method-assign]
        peer.accept_ws()
        real_send(held[0] + frame(1, b"early"))
        peer.wait_until_gone()

    with RawServer(run) as server:
        ws = WebSocket()
        ws.connect(f"ws://127.0.0.1:{server.port}/", (), GUARD_S)
        assert ws.receive(GUARD_S) == b"early"
        ws.close()


def test_nothing_to_read_is_none() -> None:
    """Both a wait and a look end without a message."""
    with connected(lambda peer: None) as ws:
        assert [None, None] == [ws.receive(0.01), ws.receive(0.0)]


def test_a_frame_in_pieces_survives_time_outs() -> None:
    """Each byte of header and payload in a read of its own, with time-outs between: delivered whole."""
    step = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        for byte in frame(1, b"x" * 130) + frame(1, b"next"):
            step.acquire(timeout=GUARD_S)
            peer.send(bytes([byte]))

    with connected(script) as ws:
        messages = []
        give_up_at = time.monotonic() + GUARD_S
        while len(messages) < 2 and time.monotonic() < give_up_at:
            step.release()
            message = ws.receive(0.001)
            messages += [message] if message is not None else []
    assert [b"x" * 130, b"next"] == messages


@pytest.mark.parametrize("piece", [frame(1, b"x" * 200)[:cut] for cut in (1, 2, 3, 4, 100)])
def test_half_a_frame_never_blocks(piece: bytes) -> None:
    """Silence within the header, the length or the payload: the reader comes back each time."""
    with connected(lambda peer: peer.send(piece)) as ws:
        assert [None] * 3 == [ws.receive(0.02) for _ in range(3)]


def test_a_cut_tls_record_never_blocks_and_arrives_whole(tmp_path: Path) -> None:
    """Seven bytes of a record, time-outs, then the rest."""
    go_on = threading.Event()

    def run(peer: Peer) -> None:
        plain = peer.sock
        tls = CutTLS(peer, context)
        peer.accept_ws()
        record = tls.encrypt(frame(1, b"secret"))
        plain.sendall(record[:7])
        go_on.wait(GUARD_S)
        plain.sendall(record[7:])
        peer.read_frame()

    with trusted(self_signed(tmp_path)) as context, RawServer(run) as server:
        ws = WebSocket()
        ws.connect(f"wss://127.0.0.1:{server.port}/", (), GUARD_S)
        assert [None, None] == [ws.receive(0.02), ws.receive(0.0)]
        go_on.set()
        assert ws.receive(GUARD_S) == b"secret"
        ws.close()


# ---- limits ----------------------------------------------------------------------------------------------------------------------


def test_a_frame_that_claims_a_tebibyte_is_refused_at_its_header() -> None:
    """Nothing is allocated and nothing waited for; the peer hears 1009."""
    heard: queue.Queue[tuple[int, bytes]] = queue.Queue()

    def script(peer: Peer) -> None:
        peer.send(frame(1, b"", claimed=1 << 40))
        heard.put(peer.read_frame())

    with connected(script) as ws:
        with pytest.raises(ConnectionLost, match="1099511627776 bytes, limit 1048576"):
            ws.receive(GUARD_S)
        assert heard.get(timeout=GUARD_S) == (8, b"\x03\xf1")


def test_a_message_of_fifty_mebibytes_is_refused_before_it_has_come() -> None:
    """The peer cannot even send all of it, and hears 1009."""
    piece, size = bytes(1 << 20), 50 << 20
    sent: list[int] = []

    def script(peer: Peer) -> None:
        peer.send(frame(1, b"", claimed=size))
        for _ in range(size // len(piece)):
            peer.send(piece)
            sent.append(len(piece))

    with connected(script) as ws, pytest.raises(ConnectionLost, match="52428800 bytes"):
        ws.receive(GUARD_S)
    assert sum(sent) < size


def test_fragments_count_together() -> None:
    """The limit is for the message, not for each frame."""
    pieces = frame(1, b"x" * 600, fin=False) + frame(0, b"x" * 600, fin=False)
    with (
        connected(lambda peer: peer.send(pieces), max_message_bytes=1000) as ws,
        pytest.raises(ConnectionLost, match="more than"),
    ):
        ws.receive(GUARD_S)


def test_endless_empty_fragments_are_refused() -> None:
    """They carry no bytes but cost memory."""
    pieces = frame(1, b"", fin=False) + frame(0, b"", fin=False) * 5000
    with connected(lambda peer: peer.send(pieces)) as ws, pytest.raises(ConnectionLost, match="fragments"):
        ws.receive(GUARD_S)


def test_the_limit_can_be_raised() -> None:
    """A message of exactly the limit passes."""
    size = 2 * 1024 * 1024
    with connected(lambda peer: peer.text(b"x" * size), max_message_bytes=size) as ws:
        assert len(ws.receive(GUARD_S) or b"") == size


BAD_FRAMES = {
    "reserved bit": bytes([0x80 | 0x40 | 1, 1]) + b"x",
    "unknown opcode": frame(5, b"x"),
    "long control frame": frame(9, b"x" * 126),
    "continuation of nothing": frame(0, b"x"),
    "text inside a message": frame(1, b"x", fin=False) + frame(1, b"y"),
    "one-byte close": frame(8, b"x"),
}


@pytest.mark.parametrize("data", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_a_frame_against_the_rules_ends_the_connection(data: bytes) -> None:
    """There is no safe way to read on."""
    with connected(lambda peer: peer.send(data)) as ws, pytest.raises(ConnectionLost, match="protocol error"):
        ws.receive(GUARD_S)


def test_invalid_utf_8_is_the_parser_s_business() -> None:
    """The bytes arrive as they are."""
    with connected(lambda peer: peer.text(b"\xff\xfe")) as ws:
        assert ws.receive(GUARD_S) == b"\xff\xfe"


def test_a_flood_of_pings_does_not_keep_the_reader() -> None:
    """Each pong costs a little time; the deadline still holds."""

    def script(peer: Peer) -> None:
        peer.sock.settimeout(0.05)
        while not peer.server.ended.is_set():
            peer.send(frame(9, b"") * 100)

    with connected(script) as ws:
        assert ws.receive(0.05) is None


# ---- the end ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4000, 4001, 4999])
def test_a_close_code_arrives(code: int) -> None:
    """With its reason."""
    with (
        connected(lambda peer: peer.close_frame(code, b"because")) as ws,
        pytest.raises(ConnectionLost, match=f"{code} because") as lost,
    ):
        ws.receive(GUARD_S)
    assert lost.value.close_code == code


def test_a_close_is_answered_with_its_code() -> None:
    """As the protocol asks."""
    heard: queue.Queue[tuple[int, bytes]] = queue.Queue()

    def script(peer: Peer) -> None:
        peer.close_frame(1012)
        heard.put(peer.read_frame())

    with connected(script) as ws:
        with pytest.raises(ConnectionLost):
            ws.receive(GUARD_S)
        assert heard.get(timeout=GUARD_S) == (8, b"\x03\xf4")


def test_a_close_code_survives_a_peer_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the close frame may fail; what the frame said still counts."""

    def broken(*args: object) -> int:
        raise BrokenPipeError

    with connected(lambda peer: peer.close_frame(4001)) as ws:
        monkeypatch.setattr("adapters.transport.ws._Wire.send", broken)
        with pytest.raises(ConnectionLost) as lost:
            ws.receive(GUARD_S)
    assert lost.value.close_code == 4001


ENDS: dict[str, Callable[[Peer], None]] = {
    "RST": Peer.reset,
    "FIN": lambda peer: peer.sock.close(),
    "FIN in a frame": lambda peer: (peer.send(frame(1, b"x" * 50)[:20]), peer.sock.close())[0],
    "empty close": lambda peer: peer.close_frame(None),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_an_end_without_a_code_is_a_loss_without_one(end: Callable[[Peer], None]) -> None:
    """Noticed at once, not at a time-out."""
    with connected(end) as ws, pytest.raises(ConnectionLost) as lost:
        ws.receive(GUARD_S)
    assert lost.value.close_code is None


def test_everything_after_the_end_says_so() -> None:
    """A lost connection stays lost."""
    with connected(Peer.reset) as ws:
        for act in (lambda: ws.receive(GUARD_S), lambda: ws.receive(0.0), lambda: ws.send_text("x"), ws.ping):
            with pytest.raises(ConnectionLost):
                act()


@pytest.mark.parametrize("timeout_s", [GUARD_S])
@pytest.mark.parametrize("head", [b"", frame(1, b"x" * 50)[:20]], ids=["idle", "mid-frame"])
def test_abort_ends_a_blocked_read(timeout_s: float, head: bytes) -> None:
    """Another thread ends it, also in the middle of a frame."""
    with connected(lambda peer: peer.send(head)) as ws:
        failure: list[Exception] = []

        def read() -> None:
            try:
                ws.receive(timeout_s)
            except ConnectionLost as lost:
                failure.append(lost)

        reader = threading.Thread(target=read)
        reader.start()
        ws.abort()
        reader.join(timeout_s / 2)
        assert not reader.is_alive()
    assert len(failure) == 1


def test_abort_before_connect_fails_the_connect() -> None:
    """There is no moment at which an abort is forgotten."""
    ws = WebSocket()
    ws.abort()
    with RawServer(Peer.wait_until_gone) as server, pytest.raises(ConnectFailed, match="aborted"):
        ws.connect(f"ws://127.0.0.1:{server.port}/", (), GUARD_S)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_abort_ends_a_handshake(scheme: str) -> None:
    """A server that accepts and stays silent."""
    accepted = threading.Event()

    def run(peer: Peer) -> None:
        peer.sock.recv(1)
        accepted.set()
        peer.wait_until_gone()

    with RawServer(run) as server:
        ws = WebSocket()
        done = threading.Event()

        def connect() -> None:
            with pytest.raises(ConnectFailed):
                ws.connect(f"{scheme}://127.0.0.1:{server.port}/", (), 2 * GUARD_S)
            done.set()

        threading.Thread(target=connect, daemon=True).start()
        assert accepted.wait(GUARD_S)
        ws.abort()
        assert done.wait(GUARD_S)


def test_abort_ends_a_tcp_connect() -> None:
    """A port that drops SYNs."""
    ws = WebSocket()
    done = threading.Event()
    with deaf_port() as port:

        def connect() -> None:
            with pytest.raises(ConnectFailed):
                ws.connect(f"ws://127.0.0.1:{port}/", (), 2 * GUARD_S)
            done.set()

        threading.Thread(target=connect, daemon=True).start()
        while ws._socket is None:
            time.sleep(0.001)
        ws.abort()
        assert done.wait(GUARD_S)


# ---- pings -----------------------------------------------------------------------------------------------------------------------


def test_a_pong_is_noted() -> None:
    """``last_pong_at`` tells a quiet venue from a dead line."""

    def script(peer: Peer) -> None:
        opcode, payload = peer.read_frame()
        assert opcode == 9
        peer.send(frame(10, payload) + frame(1, b"after"))

    with connected(script) as ws:
        before = (ws.last_pong_at, ws.last_frame_at)
        ws.ping()
        message = ws.receive(GUARD_S)
        assert message == b"after"
        assert ws.last_frame_at >= ws.last_pong_at > 0.0
    assert (0.0, 0.0) == before


def test_text_is_sent_as_one_frame() -> None:
    """Unicode goes out as UTF-8."""
    heard: list[tuple[int, bytes]] = []

    def script(peer: Peer) -> None:
        heard.append(peer.read_frame())
        peer.text(b"done")

    with connected(script) as ws:
        ws.send_text("größe")
        ws.receive(GUARD_S)
    assert [(1, "größe".encode())] == heard


# ---- connecting ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
def test_a_refused_handshake_tells_its_status_and_no_headers(status: int) -> None:
    """websocket-client's own text quotes every reply header, cookies included."""

    def run(peer: Peer) -> None:
        peer.read_request()
        peer.reply(status, b"canary", ("Set-Cookie: gravity=canary",))

    with RawServer(run) as server, pytest.raises(ConnectFailed) as failed:
        WebSocket().connect(f"ws://127.0.0.1:{server.port}/", ("Cookie: gravity=canary",), GUARD_S)
    assert (status, False) == (failed.value.status, failed.value.is_certain_unsent)
    assert "canary" not in failed.value.reason


def test_a_redirect_is_not_followed() -> None:
    """It would carry the login cookie to another host."""
    with RawServer(lambda peer: None) as other:

        def run(peer: Peer) -> None:
            peer.read_request()
            peer.reply(302, b"", (f"Location: ws://127.0.0.1:{other.port}/",))

        with RawServer(run) as server, pytest.raises(ConnectFailed) as failed:
            WebSocket().connect(f"ws://127.0.0.1:{server.port}/", ("Cookie: gravity=canary",), GUARD_S)
        assert other.connections == 0
    assert failed.value.status == 302


def test_our_headers_go_out_and_no_origin() -> None:
    """A machine has no origin; the login is in the headers."""

    def run(peer: Peer) -> None:
        peer.accept_ws()
        peer.wait_until_gone()

    with RawServer(run) as server:
        ws = WebSocket()
        ws.connect(f"ws://127.0.0.1:{server.port}/ws/full?x=1", ("Cookie: gravity=c", "X-Grvt-Account-Id: ACC:1"), GUARD_S)
        ws.close()
    lines = server.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /ws/full?x=1 HTTP/1.1"
    assert {b"Cookie: gravity=c", b"X-Grvt-Account-Id: ACC:1", b"User-Agent: perpfarm"} <= set(lines)
    assert not [line for line in lines if line.startswith(b"Origin")]


def test_a_cookie_of_the_server_is_not_sent_back() -> None:
    """A second Cookie header, with a stale value, would break the login of a reconnect."""

    def run(peer: Peer) -> None:
        real_send, held = peer.send, []
        peer.send = held.append  # type: ignore[method-assign]
        peer.accept_ws()
        real_send(held[0][:-2] + b"Set-Cookie: edge=canary; Domain=localhost\r\n\r\n")
        peer.wait_until_gone()

    with RawServer(run) as server:
        for _ in range(2):
            ws = WebSocket()
            ws.connect(f"ws://localhost:{server.port}/", ("Cookie: gravity=c",), GUARD_S)
            ws.close()
    assert b"canary" not in server.requests[1]


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The login goes to the venue alone."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    with connected(lambda peer: peer.text(b"direct")) as ws:
        assert ws.receive(GUARD_S) == b"direct"


def test_a_refused_port_is_certain_unsent() -> None:
    """Nobody listened."""
    with pytest.raises(ConnectFailed) as failed:
        WebSocket().connect(f"ws://127.0.0.1:{closed_port()}/", (), GUARD_S)
    assert failed.value.is_certain_unsent


def test_a_wrong_certificate_is_named(tmp_path: Path) -> None:
    """Verification has no switch."""
    with (
        RawServer(Peer.wait_until_gone, server_context(self_signed(tmp_path))) as server,
        pytest.raises(ConnectFailed, match="certificate") as failed,
    ):
        WebSocket().connect(f"wss://127.0.0.1:{server.port}/", (), GUARD_S)
    assert failed.value.is_certain_unsent


def drip(peer: Peer) -> None:
    peer.send(b"a")
    while not peer.server.ended.wait(0.01):
        peer.send(b"a")


def drip_headers(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 101 X\r\n")
    while not peer.server.ended.wait(0.01):
        peer.send(b"a: b\r\n")


HANDSHAKES: dict[str, Callable[[Peer], None]] = {"silence": Peer.wait_until_gone, "drip": drip, "drip of headers": drip_headers}


@pytest.mark.parametrize("act", HANDSHAKES.values(), ids=HANDSHAKES.keys())
def test_a_handshake_ends_at_its_deadline(act: Callable[[Peer], None]) -> None:
    """However many bytes drip in."""

    def run(peer: Peer) -> None:
        peer.read_request()
        act(peer)

    with RawServer(run) as server, pytest.raises(ConnectFailed, match="timed out"):
        WebSocket().connect(f"ws://127.0.0.1:{server.port}/", (), 0.2)


GARBAGE = {
    "not http": b"hello\r\n\r\n",
    "wrong accept": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    "FIN": b"",
    "not utf-8": b"HTTP/1.1 101 \xff\r\n\r\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_bad_handshake_reply_fails_the_connect(data: bytes) -> None:
    """As ConnectFailed, whatever the library raises."""

    def run(peer: Peer) -> None:
        peer.read_request()
        peer.send(data)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.wait_until_gone()

    with RawServer(run) as server, pytest.raises(ConnectFailed) as failed:
        WebSocket().connect(f"ws://127.0.0.1:{server.port}/", (), GUARD_S)
    assert not failed.value.is_certain_unsent


def test_an_endless_handshake_reply_is_cut() -> None:
    """Its headers are not collected until the deadline."""

    def run(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 101 X\r\n" + b"a: b\r\n" * 20_000)
        peer.wait_until_gone()

    with RawServer(run) as server, pytest.raises(ConnectFailed, match="handshake failed: ConnectionError"):
        WebSocket().connect(f"ws://127.0.0.1:{server.port}/", (), GUARD_S)
