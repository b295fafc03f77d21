"""The way to whoever reads what the program says: a terminal, a pipe, a file. Nobody but a thread of its own ever waits for that reader.

One that went away, or that stands still (Ctrl-S, ``| tee`` on a disk that hangs), costs lines, which are counted, and nothing else.
"""

from __future__ import annotations

import errno
import io
import os
import queue
import threading
from contextlib import suppress
from typing import IO, TextIO

MAX_QUEUED_TEXTS = 1_000
_PASSING_ERRORS = (errno.ENOSPC, errno.EAGAIN, errno.EDQUOT)
"""A full disk may have room again; a reader that went away does not come back."""


class QueuedOutput(io.TextIOBase):
    """Hands texts to ``stream`` in their order, on a daemon thread; any thread may write, and none waits but in ``finish``."""

    def __init__(self, stream: TextIO | None) -> None:
        """``stream``: None where the process was started without one."""
        self._output = _ToleratedOutput(stream)
        self._texts: queue.Queue[str | None] = queue.Queue(MAX_QUEUED_TEXTS)
        self._overflowed = 0
        self._thread: threading.Thread | None = threading.Thread(target=self._hand_over, name="output", daemon=True)
        try:
            self._thread.start()
        except (RuntimeError, MemoryError):
            self._thread = None  # No memory for one: the caller writes himself, which is better than silence.

    @property
    def lost_writes(self) -> int:
        """How many texts could not be queued or written."""
        return self._overflowed + self._output.lost_writes

    @property
    def is_behind(self) -> bool:
        """Whether texts wait for their turn."""
        return not self._texts.empty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._output.encoding

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._output.isatty()

    def write(self, text: str) -> int:
        if self._thread is None:
            self._output.write(text)
            return len(text)
        try:
            self._texts.put_nowait(text)
        except queue.Full:
            self._overflowed += 1
        return len(text)

    def finish(self, limit_s: float = 1.0) -> None:
        """Wait until everything is out, for at most about twice ``limit_s``; what is written after it is lost."""
        if self._thread is None:
            return
        try:
            self._texts.put(None, timeout=limit_s)
        except queue.Full:
            return
        self._thread.join(limit_s)

    def _hand_over(self) -> None:
        while (text := self._texts.get()) is not None:
            self._output.write(text)


class _ToleratedOutput:
    """Hands text to the descriptor at once, past the stream's own buffer: what failed must not fail again at the interpreter's exit."""

    def __init__(self, stream: TextIO | None) -> None:
        self.lost_writes = 0
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self._stream = stream

    def isatty(self) -> bool:
        if self._stream is not None:
            with suppress(OSError, ValueError):
                return self._stream.isatty()
        return False

    def write(self, text: str) -> None:
        if self._stream is None:
            self.lost_writes += 1
            return
        try:
            self._deliver(text, self._stream)
        except (OSError, ValueError, MemoryError) as error:
            self.lost_writes += 1
            if not isinstance(error, MemoryError) and getattr(error, "errno", None) not in _PASSING_ERRORS:
                self._stream = None

    def _deliver(self, text: str, stream: TextIO) -> None:
        descriptor = _descriptor(stream)
        if descriptor is None:
            stream.write(text)
            stream.flush()
            return
        data = text.encode(self.encoding, errors="replace")
        while data:
            data = data[os.write(descriptor, data) :]


def _descriptor(stream: IO[str]) -> int | None:
    """None for a stream in memory. Raises ValueError for a closed one."""
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None
