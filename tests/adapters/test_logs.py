"""The log file: JSON lines without secrets, and a caller that never notices what becomes of them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapters import logs
from adapters.logs import LogHandle, setup_logging
from adapters.secrets import Redactor
from core.messages import QuoteSkipped

GUARD_S = 20.0
CANARY = "canary-Se.cret+1"


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    structlog.reset_defaults()


def start(directory: Path, level: str = "INFO") -> LogHandle:
    logging.getLogger().handlers[:] = []  # Those of the test runner render on the caller's thread.
    return setup_logging(directory, level, Redactor([CANARY]))


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "log.jsonl").read_text().split("\n") if line]


def test_a_line_carries_event_time_level_and_fields(tmp_path: Path) -> None:
    """Decimals as strings, messages as objects, everything on one line."""
    handle = start(tmp_path)
    message = QuoteSkipped(cycle_id=1, phase="BUILD", reason="spread", at=1.5)
    structlog.get_logger("quoter").info("skipped", price=Decimal("3000.10"), message=message)
    handle.close(GUARD_S)
    (line,) = lines(tmp_path)
    assert {
        "event": "skipped",
        "level": "info",
        "logger": "quoter",
        "price": "3000.10",
        "thread_name": "MainThread",
    }.items() <= line.items()
    assert line["message"] == {"type": "QuoteSkipped", "cycle_id": 1, "phase": "BUILD", "reason": "spread", "at": 1.5}
    assert line["ts"].endswith("+00:00")


def test_stdlib_logging_arrives_too(tmp_path: Path) -> None:
    """Libraries log that way."""
    handle = start(tmp_path)
    logging.getLogger("library").warning("odd %s", "thing")
    handle.close(GUARD_S)
    assert ("odd thing", "warning") == (lines(tmp_path)[0]["event"], lines(tmp_path)[0]["level"])


def test_the_level_holds(tmp_path: Path) -> None:
    """Debug lines stay out at INFO, of both kinds."""
    handle = start(tmp_path)
    structlog.get_logger("a").debug("no")
    logging.getLogger("b").debug("no")
    structlog.get_logger("a").info("yes")
    handle.close(GUARD_S)
    assert ["yes"] == [line["event"] for line in lines(tmp_path)]


@pytest.mark.parametrize("name", ["urllib3.connectionpool", "websocket", "apexomni", "requests"])
def test_libraries_are_quiet(tmp_path: Path, name: str) -> None:
    """Their INFO and DEBUG lines hold URLs, headers and cookies."""
    handle = start(tmp_path, "DEBUG")
    logging.getLogger(name).info("request with cookie")
    logging.getLogger(name).warning("warned")
    handle.close(GUARD_S)
    assert ["warned"] == [line["event"] for line in lines(tmp_path)]


class Holder:
    """An object that shows its secret."""

    def __repr__(self) -> str:
        return f"Holder({CANARY})"


def test_no_secret_reaches_the_file(tmp_path: Path) -> None:
    """Not in the event, a field, a key, nested, bytes, an object's repr, a stdlib argument or a traceback."""
    handle = start(tmp_path)
    log = structlog.get_logger("a")
    log.info(
        f"event {CANARY}", field=CANARY, nested={"list": [CANARY, (CANARY,)], CANARY: 1}, raw=CANARY.encode(), thing=Holder()
    )
    log.info("deep", value=[[[[[[[[CANARY]]]]]]]])
    try:
        raise ValueError(CANARY)
    except ValueError:
        log.exception("failed")
        logging.getLogger("library").exception("failed with %s", CANARY)
    handle.close(GUARD_S)
    text = (tmp_path / "log.jsonl").read_text()
    assert len(lines(tmp_path)) == 4
    assert "Traceback" in text
    assert "canary" not in text


def test_bytes_are_shown_as_text(tmp_path: Path) -> None:
    """On a line with nothing else in it that needs a closer look, and without the secret that they hold."""
    handle = start(tmp_path)
    log = structlog.get_logger("a")
    log.info("x", deep=[{"raw": b"plain"}])
    log.info("x", deep=[{"raw": f"say {CANARY}".encode()}])
    handle.close(GUARD_S)
    assert [[{"raw": "plain"}], [{"raw": "say ***"}]] == [line["deep"] for line in lines(tmp_path)]


def test_a_number_that_is_a_secret_is_removed(tmp_path: Path) -> None:
    """An account id may be logged as an int; other numbers stay numbers."""
    handle = setup_logging(tmp_path, "INFO", Redactor(["2987654321"]))
    structlog.get_logger("a").info("x", account=2987654321, price=2.5, count=3)
    handle.close(GUARD_S)
    line = lines(tmp_path)[0]
    assert ("***", 2.5, 3) == (line["account"], line["price"], line["count"])


@pytest.mark.parametrize("value", ["\ud800", "\x00\n\r\u2028", b"\xff", float("nan"), {1: 2}, {None: 1}])
def test_odd_values_make_one_valid_line(tmp_path: Path, value: object) -> None:
    """No value may split, break or lose its line."""
    handle = start(tmp_path)
    structlog.get_logger("a").info("odd", value=value)
    handle.close(GUARD_S)
    assert (1, 0) == (len(lines(tmp_path)), handle.lost)


def test_a_value_that_cannot_be_shown_costs_its_line_only(tmp_path: Path) -> None:
    """Counted, and the next line is written."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    endless: list[object] = []
    endless.append(endless)
    handle = start(tmp_path)
    log = structlog.get_logger("a")
    log.info("broken", value=Broken())
    log.info("endless", value=endless)
    log.info("after")
    handle.close(GUARD_S)
    assert ["after"] == [line["event"] for line in lines(tmp_path)]
    assert handle.lost == 2


def test_the_file_is_private(tmp_path: Path) -> None:
    """Only its owner reads what the bot does."""
    handle = start(tmp_path)
    structlog.get_logger("a").info("x")
    handle.close(GUARD_S)
    assert (tmp_path / "log.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_costs_lines_not_trading(tmp_path: Path) -> None:
    """/dev/full answers ENOSPC to every write."""
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    handle = start(tmp_path)
    for _ in range(3):
        structlog.get_logger("a").info("x")
    handle.close(GUARD_S)
    assert handle.lost == 3


def test_a_closed_pipe_costs_lines_not_trading(tmp_path: Path) -> None:
    """EPIPE: the reader of a named pipe is gone."""
    os.mkfifo(tmp_path / "log.jsonl")
    reader = os.open(tmp_path / "log.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    handle = start(tmp_path)
    structlog.get_logger("a").info("read")
    while not _readable(reader):
        pass
    os.close(reader)
    structlog.get_logger("a").info("lost")
    handle.close(GUARD_S)
    assert handle.lost == 1


def _readable(fd: int) -> bool:
    try:
        return bool(os.read(fd, 65536))
    except BlockingIOError:
        return False


def test_a_missing_directory_costs_lines_until_it_can_be_made(tmp_path: Path) -> None:
    """A file stands where the directory should be; then it goes away."""
    blocker = tmp_path / "state"
    blocker.write_text("")
    sink = logs._FileSink(blocker / "log.jsonl")
    record = logging.makeLogRecord({"msg": "x"})
    sink.handle(record)
    blocker.unlink()
    sink.handle(record)
    sink.stream.close()
    assert (1, "x\n") == (sink.lost, (blocker / "log.jsonl").read_text())


def test_a_rotated_file_is_opened_anew(tmp_path: Path) -> None:
    """What comes after the rename goes into a new file."""
    sink = logs._FileSink(tmp_path / "log.jsonl")
    sink.handle(logging.makeLogRecord({"msg": "before"}))
    (tmp_path / "log.jsonl").rename(tmp_path / "log.jsonl.1")
    sink.handle(logging.makeLogRecord({"msg": "after"}))
    sink.stream.close()
    assert ("before\n", "after\n") == ((tmp_path / "log.jsonl.1").read_text(), (tmp_path / "log.jsonl").read_text())


def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    """A short write, then space again: the good line stands alone."""
    script = """
import logging, pathlib, resource, signal, sys
from adapters import logs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = logs._FileSink(pathlib.Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
sink.handle(logging.makeLogRecord({"msg": "x" * 50}))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sink.handle(logging.makeLogRecord({"msg": "whole"}))
print(sink.lost)
"""
    path = tmp_path / "log.jsonl"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, str(path)], cwd=root, capture_output=True, text=True, check=True)
    assert ("1\n", "x" * 10 + "\nwhole\n") == (done.stdout, path.read_text())


def numbers(directory: Path) -> list[list[int]]:
    """The numbered lines of each file, the oldest file first."""
    return [[int(line) for line in path.read_text().split()] for path in sorted(directory.glob("log.jsonl*"), reverse=True)]


def write(sink: logs._FileSink, *range_of: int) -> None:
    for number in range(*range_of):
        sink.handle(logging.makeLogRecord({"msg": f"{number:03}"}))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten lines of ``write`` fill a file."""
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 40)


@pytest.mark.usefixtures("small")
def test_there_is_an_end_to_the_log(tmp_path: Path) -> None:
    """Full files move up, the oldest goes, every other line is there once and in order; all of them private."""
    sink = logs._FileSink(tmp_path / "log.jsonl")
    write(sink, 75)
    sink.stream.close()
    assert [list(range(start, min(start + 10, 75))) for start in range(20, 75, 10)] == numbers(tmp_path)
    assert {0o600} == {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("renames", range(5))
def test_a_kill_in_the_middle_of_a_rotation_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    """Neither those of the next life; the fifth rotation has five renames to make."""
    first, done, rename = logs._FileSink(tmp_path / "log.jsonl"), iter(range(renames)), Path.replace

    def killed(path: Path, target: Path) -> Path:
        if next(done, None) is None:
            raise SystemExit
        return rename(path, target)

    write(first, 50)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(SystemExit):
            write(first, 50, 51)
    first.stream.close()
    second = logs._FileSink(tmp_path / "log.jsonl")
    write(second, 50, 55)
    second.stream.close()
    assert [*(list(range(start, start + 10)) for start in range(0, 50, 10)), list(range(50, 55))] == numbers(tmp_path)


@pytest.mark.usefixtures("small")
def test_what_an_earlier_life_left_is_taken_over(tmp_path: Path) -> None:
    """A file that is far too large moves as it is; half a line at the end of one that is not stays a line of its own."""
    (tmp_path / "log.jsonl").write_text("000\n" * 100)
    for text in ("", "17"):
        with (tmp_path / "log.jsonl").open("a") as file:
            file.write(text)
        sink = logs._FileSink(tmp_path / "log.jsonl")
        write(sink, 1, 3)
        sink.stream.close()
    assert [[0] * 100, [1, 2, 17, 1, 2]] == numbers(tmp_path)


@pytest.mark.usefixtures("small")
def test_a_log_that_may_not_be_moved_grows_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line too many is better than one that is lost."""

    def refused(_path: Path, _target: Path) -> Path:
        raise PermissionError

    monkeypatch.setattr(Path, "replace", refused)
    sink = logs._FileSink(tmp_path / "log.jsonl")
    write(sink, 30)
    sink.stream.close()
    assert ([list(range(30))], 0) == (numbers(tmp_path), sink.lost)


@pytest.mark.usefixtures("small")
def test_a_log_on_another_disk_stays_there(tmp_path: Path) -> None:
    """Behind a link: what it points to moves, the link does not."""
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "log.jsonl").symlink_to(other / "log.jsonl")
    sink = logs._FileSink(tmp_path / "log.jsonl")
    write(sink, 15)
    sink.stream.close()
    assert ([tmp_path / "log.jsonl"], [list(range(10)), list(range(10, 15))]) == (list(tmp_path.glob("log*")), numbers(other))


def test_a_rotation_keeps_nobody_who_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the writer's work; lines that come meanwhile wait in the queue, and none is lost."""
    entered, gate, rotate = threading.Event(), threading.Event(), logs._rotate

    def slow(path: Path) -> None:
        entered.set()
        gate.wait(GUARD_S)
        rotate(path)

    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 20_000)
    monkeypatch.setattr(logs, "_rotate", slow)
    handle = start(tmp_path)
    for number in range(300):
        structlog.get_logger("a").info("x", number=number)
    assert entered.wait(GUARD_S)
    gate.set()
    handle.close(timeout_s=GUARD_S)
    files = sorted(tmp_path.glob("log.jsonl*"), reverse=True)
    found = [json.loads(line)["number"] for path in files for line in path.read_text().splitlines()]
    assert (list(range(300)), 0) == (found, handle.lost)
    assert len(files) > 1


def test_a_full_queue_costs_lines_and_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer hangs on its disk; the trading thread goes on, and close comes back."""
    monkeypatch.setattr(logs, "MAX_QUEUED_LINES", 5)
    monkeypatch.setattr(logs.LogHandle, "_write_lines", lambda self: None)
    handle = start(tmp_path)
    for _ in range(8):
        structlog.get_logger("a").info("x")
    handle.close(timeout_s=0.01)
    assert handle.lost == 3


def test_a_writer_that_hangs_does_not_keep_the_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when it is closed, nor when stdlib ends all handlers at the exit of the process."""
    entered, gate = threading.Event(), threading.Event()

    def hang(_file: object, _text: str) -> None:
        entered.set()
        gate.wait()

    monkeypatch.setattr(logs._LineFile, "write", hang)
    handle = start(tmp_path)
    structlog.get_logger("a").info("x")
    assert entered.wait(GUARD_S)
    handle.close(timeout_s=0.01)
    shutdown = threading.Thread(target=logging.shutdown, args=([weakref.ref(handle._sink)],), daemon=True)
    shutdown.start()
    shutdown.join(GUARD_S)
    has_ended = not shutdown.is_alive()
    gate.set()
    assert has_ended, "the exit waits for the writer"


def test_close_writes_everything_and_ends_the_thread(tmp_path: Path) -> None:
    """Also when it is called twice."""
    handle = start(tmp_path)
    for number in range(500):
        structlog.get_logger("a").info("x", number=number)
    handle.close(timeout_s=10.0)
    handle.close(timeout_s=0.01)
    assert list(range(500)) == [line["number"] for line in lines(tmp_path)]
    assert not handle._thread.is_alive()
