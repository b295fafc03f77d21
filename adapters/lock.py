"""One process per state folder and per account and symbol, held by flock: a killed process lets go by itself.

It sees other processes of this user on this host only. Account ids never appear in a file name, only their hash.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple


class Claim(NamedTuple):
    """What two processes must never trade at the same time."""

    venue: str
    account: str
    symbol: str


class AlreadyRunning(Exception):
    """Another process holds it (exit code 4). ``pid`` is None where it left no readable number."""

    def __init__(self, what: str, pid: int | None) -> None:
        super().__init__(f"{what} is held by process {pid if pid is not None else 'of unknown number'}")
        self.pid = pid


class SingleInstance:
    """Holds all locks or none. Use as a context manager, or ``acquire`` and ``release``."""

    def __init__(self, state_dir: Path, claims: Iterable[Claim] = (), *, runtime_dirs: Iterable[Path] | None = None) -> None:
        """``runtime_dirs``: where the locks of the claims live; by default every place where a process of this user would look."""
        self._state_dir = state_dir
        self._claims = tuple(claims)
        self._runtime_dirs = tuple(runtime_dirs) if runtime_dirs is not None else default_runtime_dirs()
        self._held: list[int] = []

    def acquire(self) -> None:
        """Raises AlreadyRunning naming the holder, or OSError where a lock file cannot be made; holds nothing then."""
        try:
            self._state_dir.mkdir(parents=True, exist_ok=True)
            self._held.append(_lock(self._state_dir / "lock", f"state folder {self._state_dir}"))
            for folder in self._runtime_dirs:
                _make_private(folder)
                for claim in self._claims:
                    self._held.append(_lock(folder / _file_name(claim), f"the {claim.venue} account for {claim.symbol}"))
        except (AlreadyRunning, OSError):
            self.release()
            raise

    def release(self) -> None:
        """The files stay: removing one would let two processes lock two files of one name."""
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()

    def __enter__(self) -> SingleInstance:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def default_runtime_dirs() -> tuple[Path, ...]:
    """The temp folder, and the session's runtime folder where there is one: a cron job and a login shell share only the first."""
    folders = [Path(tempfile.gettempdir()) / f"perpfarm-{os.getuid()}"]
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        folders.append(Path(session) / "perpfarm")
    return tuple(folders)


def _file_name(claim: Claim) -> str:
    digest = hashlib.sha256("\0".join(claim).encode()).hexdigest()
    return f"{claim.venue}-{digest[:24]}.lock"


def _make_private(folder: Path) -> None:
    """A folder of another user could hold the locks hostage, or follow a link to anywhere."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{folder} is not a folder of this user")


def _lock(path: Path, what: str) -> int:
    """An open descriptor that holds the lock on the file which ``path`` names at this moment."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                _sign(descriptor)
                return descriptor
        except BlockingIOError:
            pid = _read_pid(descriptor)
            os.close(descriptor)
            raise AlreadyRunning(what, pid) from None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def _sign(descriptor: int) -> None:
    """Leave our number for the next to read. The sticky bit tells cleaners of temp folders to leave the file alone."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    os.fchmod(descriptor, 0o1600)


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def holder_of(state_dir: Path) -> int | None:
    """Pid of the process that holds the lock of ``state_dir``; None where nobody does."""
    try:
        descriptor = os.open(state_dir / "lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_pid(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)
