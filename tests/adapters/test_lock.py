"""The single-instance lock between real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.lock import AlreadyRunning, Claim, SingleInstance, default_runtime_dirs

REPO = Path(__file__).resolve().parents[2]
ETH = Claim("grvt", "account-4711", "ETH")

_HOLD = """
import sys
from pathlib import Path
from adapters.lock import Claim, SingleInstance
with SingleInstance(Path(sys.argv[1]), [Claim("grvt", "account-4711", "ETH")], runtime_dirs=[Path(sys.argv[2])]):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_in_another_process(state_dir: Path, runtime_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(state_dir), str(runtime_dir)],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "held\n" == process.stdout.readline()
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_second_process_on_one_state_folder_is_refused_by_pid(tmp_path: Path) -> None:
    """The refusal names the holder, so that a person can find it."""
    holder = hold_in_another_process(tmp_path / "state", tmp_path / "run")
    try:
        with pytest.raises(AlreadyRunning, match=f"held by process {holder.pid}$") as refused:
            SingleInstance(tmp_path / "state", runtime_dirs=[tmp_path / "other"]).acquire()
    finally:
        end(holder)
    assert holder.pid == refused.value.pid


def test_second_process_on_one_account_and_symbol_is_refused(tmp_path: Path) -> None:
    """Another state folder is no way round: the account is what must not be traded twice."""
    holder = hold_in_another_process(tmp_path / "state", tmp_path / "run")
    try:
        with pytest.raises(AlreadyRunning, match="grvt account for ETH"):
            SingleInstance(tmp_path / "elsewhere", [ETH], runtime_dirs=[tmp_path / "run"]).acquire()
    finally:
        end(holder)


def test_killed_holder_lets_go(tmp_path: Path) -> None:
    """After SIGKILL nothing has to be cleaned up by hand."""
    end(hold_in_another_process(tmp_path / "state", tmp_path / "run"))
    with SingleInstance(tmp_path / "state", [ETH], runtime_dirs=[tmp_path / "run"]):
        assert f"{os.getpid()}\n" == (tmp_path / "state" / "lock").read_text()


def test_refused_process_holds_nothing(tmp_path: Path) -> None:
    """A refusal at the account lets go of the state folder that was already taken."""
    run = tmp_path / "run"
    with SingleInstance(tmp_path / "a", [ETH], runtime_dirs=[run]), pytest.raises(AlreadyRunning):
        SingleInstance(tmp_path / "b", [ETH], runtime_dirs=[run]).acquire()
    with SingleInstance(tmp_path / "b", runtime_dirs=[run]):
        pass


@pytest.mark.parametrize(
    "other",
    [Claim("grvt", "account-4711", "BTC"), Claim("grvt", "account-4712", "ETH"), Claim("backpack", "account-4711", "ETH")],
)
def test_other_account_symbol_or_venue_is_free(tmp_path: Path, other: Claim) -> None:
    """Two bots may run side by side as long as they share no account and symbol."""
    run = tmp_path / "run"
    with SingleInstance(tmp_path / "a", [ETH], runtime_dirs=[run]), SingleInstance(tmp_path / "b", [other], runtime_dirs=[run]):
        assert 2 == len(list(run.iterdir()))


def test_account_ids_are_not_in_file_names(tmp_path: Path) -> None:
    """The folder may be listed by anybody who sees the temp folder."""
    with SingleInstance(tmp_path / "a", [ETH], runtime_dirs=[tmp_path / "run"]):
        names = " ".join(path.name for path in (tmp_path / "run").iterdir())
    assert "4711" not in names


def test_replaced_lock_file_is_not_mistaken_for_the_held_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was removed between opening and locking is locked anew under its name."""
    import adapters.lock as module

    real, removed = module.fcntl.flock, []

    def remove_first(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(True)
            (tmp_path / "a" / "lock").unlink()
        real(descriptor, operation)

    monkeypatch.setattr(module.fcntl, "flock", remove_first)
    with SingleInstance(tmp_path / "a", runtime_dirs=[]), pytest.raises(AlreadyRunning):
        SingleInstance(tmp_path / "a", runtime_dirs=[]).acquire()


def test_runtime_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """A link planted in a shared temp folder must not decide where the locks live."""
    (tmp_path / "target").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "target")
    with pytest.raises(PermissionError):
        SingleInstance(tmp_path / "a", [ETH], runtime_dirs=[tmp_path / "run"]).acquire()


def test_session_folder_is_locked_beside_the_common_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A login session and a cron job, which has no session folder, still meet in the temp folder."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    common = default_runtime_dirs()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert (*common, tmp_path / "perpfarm") == default_runtime_dirs()
