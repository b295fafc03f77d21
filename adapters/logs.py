"""The log file: one JSON object a line, secrets removed, written by a thread of its own.

Logging must never stop, slow down or crash trading: a full queue, a full disk or a vanished file costs lines, which are counted.
What a person sees on the terminal is not decided here.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import stat
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from adapters.secrets import Redactor

LOG_FILE_NAME = "log.jsonl"
MAX_QUEUED_LINES = 10_000
MAX_FILE_BYTES = 50_000_000
OLD_FILES_KEPT = 5
"""The log shares its disk with the journal, and a journal without room stops the trading."""
WRITE_PAUSE_S = 0.05
"""The writer lets a burst pass before it renders: the lines about a fill must not compete with its hedge for the interpreter."""
_CHATTY_LOGGERS = ("urllib3", "requests", "websocket", "websockets", "apexomni", "pykka", "charset_normalizer", "apprise")
_MAX_DEPTH = 6


class LogHandle:
    """What ``setup_logging`` set up: to be closed at the end, and asked for lost lines in the health dump."""

    def __init__(self, handler: _QueueHandler, sink: _FileSink) -> None:
        self._handler = handler
        self._sink = sink
        self._is_closing = False
        self._thread = threading.Thread(target=self._write_lines, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that were logged but could not be queued, rendered or written."""
        return self._handler.lost + self._sink.lost

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is queued, for at most about twice ``timeout_s``. Safe to call twice."""
        logging.getLogger().removeHandler(self._handler)
        self._is_closing = True
        try:
            self._handler.lines.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _write_lines(self) -> None:
        while (record := self._next_record()) is not None:
            try:
                self._sink.handle(record)
            except RecursionError:  # The one error that stdlib's handlers let through.
                self._sink.lost += 1
        self._sink.stream.close()

    def _next_record(self) -> logging.LogRecord | None:
        lines = self._handler.lines
        if lines.empty() and not self._is_closing:
            record = lines.get()
            time.sleep(WRITE_PAUSE_S if record is not None else 0.0)
            return record
        return lines.get()


def setup_logging(state_dir: Path, level: str, redactor: Redactor) -> LogHandle:
    """Send structlog and stdlib logging of ``level`` and above to ``state_dir/log.jsonl``."""
    sink = _FileSink(state_dir / LOG_FILE_NAME)
    sink.setFormatter(_formatter(redactor))
    handler = _QueueHandler(queue.Queue(MAX_QUEUED_LINES))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    for name in _CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            *_stamps(),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return LogHandle(handler, sink)


def _stamp(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The time of the call, also for a record of stdlib logging that is rendered later."""
    record = event.get("_record")
    at = time.time() if record is None else record.created
    event["ts"] = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return event


def _stamps() -> list[Any]:
    return [
        _stamp,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.CallsiteParameterAdder({structlog.processors.CallsiteParameter.THREAD_NAME}),
    ]


def _formatter(redactor: Redactor) -> logging.Formatter:
    def render(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
        plain = msgspec.to_builtins(dict(event), builtin_types=(bytes,), enc_hook=repr)
        line = _clean_line(plain, redactor)
        if line is None:
            redacted = {redactor.redact(key): _redacted(value, redactor, _MAX_DEPTH) for key, value in plain.items()}
            line = msgspec.json.encode(redacted).decode()
        return line

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_stamps(), structlog.processors.format_exc_info],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            render,
        ],
    )


def _clean_line(plain: dict[str, Any], redactor: Redactor) -> str | None:
    """The line when it can be shown to hold no secret, which nearly all do: one search of the whole costs a tenth of one per value."""
    if _holds_bytes(plain, _MAX_DEPTH):
        return None
    try:
        line = msgspec.json.encode(plain).decode()
    except (UnicodeEncodeError, TypeError):
        return None
    return line if redactor.is_clean(line) else None


def _holds_bytes(value: Any, depth: int) -> bool:
    """Bytes would be spelled in base64; what is nested deeper than this is looked at value by value, too."""
    if isinstance(value, dict):
        return depth == 0 or any(_holds_bytes(item, depth - 1) for item in value.values())
    if isinstance(value, list | tuple):
        return depth == 0 or any(_holds_bytes(item, depth - 1) for item in value)
    return isinstance(value, bytes)


def _redacted(value: Any, redactor: Redactor, depth: int) -> Any:
    """The value without secrets; containers are walked down to a depth, numbers count when they spell a secret."""
    match value:
        case None | bool():
            return value
        case str():
            # A lone surrogate cannot be encoded; it must not cost the line.
            return redactor.redact(value).encode("utf-8", "backslashreplace").decode()
        case bytes():
            return redactor.redact(value).decode("utf-8", "backslashreplace")
        case dict() if depth > 0:
            return {redactor.redact(str(key)): _redacted(item, redactor, depth - 1) for key, item in value.items()}
        case list() | tuple() if depth > 0:
            return [_redacted(item, redactor, depth - 1) for item in value]
        case _:
            spelled = redactor.redact(str(value))
            return value if spelled == str(value) and isinstance(value, int | float) else spelled


class _QueueHandler(logging.handlers.QueueHandler):
    """Hands records over as they are: rendering is the writer thread's work, not the trading thread's."""

    def __init__(self, lines: queue.Queue[logging.LogRecord | None]) -> None:
        super().__init__(lines)
        self.lines = lines
        self.lost = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is stdlib's
        """Called by stdlib where queueing failed: the queue is full."""
        self.lost += 1


class _FileSink(logging.StreamHandler["_LineFile"]):
    """Renders and writes; what goes wrong in either is a lost line."""

    def __init__(self, path: Path) -> None:
        super().__init__(_LineFile(path))
        self.lost = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is stdlib's
        self.lost += 1

    def createLock(self) -> None:  # noqa: N802 - the name is stdlib's
        """None, as only the writer uses this handler: stdlib takes the lock at the interpreter's exit, and the writer may hang in its disk."""
        self.lock = None


class _LineFile:
    """Appends to a file that may be full, rotated away, or come back later. Before it grows beyond ``MAX_FILE_BYTES`` it makes room by itself:
    the file becomes ``.1``, ``.1`` becomes ``.2``, and the oldest of ``OLD_FILES_KEPT`` goes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._is_torn = False

    def write(self, text: str) -> None:
        """Raises OSError where not everything could be written; the next line then starts on a line of its own."""
        data = text.encode()
        fd = self._open()
        if _has_no_room(fd, len(data)):
            # Where the folder cannot be changed, the file grows on: a line too many is better than one that is lost.
            with suppress(OSError):
                _rotate(self._path.resolve())
            fd = self._open()
        if self._is_torn:
            data = b"\n" + data
        written = os.write(fd, data)
        self._is_torn = written < len(data)
        if self._is_torn:
            raise OSError("short write")

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        """The open file, opened anew when somebody has moved or removed it; readable by its owner alone."""
        if self._fd is not None and self._is_same_file(self._fd):
            return self._fd
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._is_torn = _size(self._fd) > 0 and _last_byte(self._path) != b"\n"
        return self._fd

    def _is_same_file(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self._path))
        except FileNotFoundError:
            return False


def _size(fd: int) -> int:
    """0 for what is no regular file."""
    found = os.fstat(fd)
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _has_no_room(fd: int, length: int) -> bool:
    size = _size(fd)
    return size > 0 and size + length > MAX_FILE_BYTES


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read()


def _rotate(path: Path) -> None:
    """Each rename is whole; a kill between two of them leaves a gap, which the next rotation fills first. Raises OSError."""
    old = [path.with_name(f"{path.name}.{number}") for number in range(1, OLD_FILES_KEPT + 1)]
    gap = next((index for index, file in enumerate(old) if not file.exists()), OLD_FILES_KEPT - 1)
    for index in range(gap, 0, -1):
        old[index - 1].replace(old[index])
    path.replace(old[0])
