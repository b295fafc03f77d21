"""A process that has run out of something cannot connect: a failure to send, and nothing stays behind that would outlast it."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing
from typing import Any

import pytest

from adapters.transport import dial


def connect(host: str, port: int) -> socket.socket:
    return dial.dial(host, port, is_tls=False, timeout_s=5.0)


def test_without_a_descriptor_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """EMFILE at any address is DialFailed in the system's words."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(dial, "BoundedSocket", refuse)
    with pytest.raises(dial.DialFailed, match=r"^127\.0\.0\.1: Too many open files$"):
        connect("127.0.0.1", 1)


def test_without_a_thread_a_look_up_fails_and_the_next_one_is_free_to_succeed() -> None:
    """The look-up that could not begin is not one that others wait for."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
        port = server.getsockname()[1]

        def refuse(_: Any) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(dial.threading.Thread, "start", refuse)
        with pytest.raises(dial.DialFailed, match=r"^localhost: no thread for its look-up"):
            connect("localhost", port)
        patch.undo()
        with closing(connect("localhost", port)) as sock:
            assert port == sock.getpeername()[1]
