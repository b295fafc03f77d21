"""The CSV files on disk: exact headers, whole lines only, a full disk that costs lines and nothing else."""

from __future__ import annotations

import csv
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.csv_files import CsvFile, CsvFiles, CsvUnusable, WallClock, iso_utc, plain, write_atomically
from core.messages import CycleFinished
from core.pairing import PairLedger
from core.types import Role, Side
from tests.core.test_pairing import BACKPACK, GRVT, fill, started

REPO = Path(__file__).resolve().parents[2]
D = Decimal


def open_files(state_dir: Path) -> CsvFiles:
    return CsvFiles(state_dir, wall_ms_of=lambda monotonic: 1_700_000_000_000 + round(monotonic * 1000))


def finished(cycle_id: int) -> CycleFinished:
    return CycleFinished(
        cycle_id=cycle_id,
        started_at=1.0,
        result="done",
        intended=D("0.20"),
        filled=D("0.10"),
        requotes=2,
        cancels=1,
        skips=0,
        at=2.5,
    )


def fill_in(files: CsvFiles) -> None:
    """One line in each file."""
    ledger = PairLedger(maker_venue=GRVT, hedge_venue=BACKPACK)
    ledger.handle(started(3, Side.BUY))
    maker = fill(Role.MAKER, Side.BUY, "0.10", "3000.00", cycle_id=3, at=1.0, fee="-0.003")
    files.fill(maker)
    ledger.handle(maker)
    for row in ledger.handle(fill(Role.HEDGE, Side.SELL, "0.10", "2999.00", cycle_id=3, at=1.012, fee="0.15")):
        files.pair(row)
    files.cycle(finished(3), hedged=D("0.10"), carried=D("0.00"), api_calls=5, n429=0)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_fills_line(tmp_path: Path) -> None:
    """Every column of the contract, in its order."""
    files = open_files(tmp_path)
    event = fill(Role.MAKER, Side.BUY, "0.10", "3000.00", cycle_id=3, at=1.0, fee="-0.003", client_order_id=77)
    files.fill(event)
    header, line = (tmp_path / "fills.csv").read_text().splitlines()
    assert (
        "ts,venue,symbol,role,cycle_id,client_id,venue_order_id,trade_id,side,price,qty,fee,fee_ccy,is_maker,source,recv_lag_ms"
        == header
    )
    assert (
        f"2023-11-14T22:13:21.000Z,grvt,ETH,maker,3,77,,{event.fill.trade_id},BUY,3000.00,0.10,-0.003,USDT,true,ws,1700000000999"
        == line
    )


def test_pairs_line(tmp_path: Path) -> None:
    """Every column of the contract, in its order; what is not known stays empty."""
    fill_in(open_files(tmp_path))
    header, line = (tmp_path / "pairs.csv").read_text().splitlines()
    assert (
        "ts,cycle_id,phase,side,qty,maker_px,hedge_vwap,fx,basis_bps,edge_bps,maker_fee,taker_fee,net_usd,net_bps,fill_to_hedge_ms,slippage_bps"
        == header
    )
    assert (
        "2023-11-14T22:13:21.012Z,3,BUILD,BUY,0.10,3000.00,2999.00,1,0.0000,-3.3333,-0.00300000,0.15000000,-0.24700000,-8.2333,12,"
        == line
    )


def test_cycles_line(tmp_path: Path) -> None:
    """Every column of the contract, in its order."""
    fill_in(open_files(tmp_path))
    header, line = (tmp_path / "cycles.csv").read_text().splitlines()
    assert "cycle_id,start,end,result,intended,filled,hedged,carried,requotes,cancels,skips,api_calls,n429" == header
    assert "3,2023-11-14T22:13:21.000Z,2023-11-14T22:13:22.500Z,done,0.20,0.10,0.10,0.00,2,1,0,5,0" == line


def test_restart_appends_without_a_second_header(tmp_path: Path) -> None:
    """Two runs, one header, two lines."""
    for _ in range(2):
        files = open_files(tmp_path)
        fill_in(files)
        files.close()
    assert [1, 2] == [
        (tmp_path / "cycles.csv").read_text().count("cycle_id,"),
        len(rows(tmp_path / "cycles.csv")),
    ]


@pytest.mark.parametrize("tail", ["4,2023-11-14T22:1", "4"])
def test_torn_last_line_is_cut_off_at_restart(tmp_path: Path, tail: str) -> None:
    """The next line starts on a line of its own and the torn one is gone."""
    fill_in(open_files(tmp_path))
    with (tmp_path / "cycles.csv").open("a") as file:
        file.write(tail)
    open_files(tmp_path).cycle(finished(5), hedged=D(0), carried=D(0), api_calls=0, n429=0)
    assert ["3", "5"] == [row["cycle_id"] for row in rows(tmp_path / "cycles.csv")]


def test_a_quotation_mark_left_open_by_hand_hides_no_fill(tmp_path: Path) -> None:
    """Each fill stays known, so that none is written twice."""
    event = fill(Role.MAKER, Side.BUY, "0.10", "3000.00", cycle_id=3, at=1.0)
    open_files(tmp_path).fill(event)
    path = tmp_path / "fills.csv"
    header, line = path.read_text().splitlines()
    path.write_text("\n".join([header, '"a note', line, *["x" * 1_000] * 200, ""]))
    open_files(tmp_path).fill(event)
    assert 1 == path.read_text().count(line)


def test_torn_header_is_written_anew(tmp_path: Path) -> None:
    """Killed during the very first line."""
    (tmp_path / "cycles.csv").write_text("cycle_id,sta")
    open_files(tmp_path).cycle(finished(5), hedged=D(0), carried=D(0), api_calls=0, n429=0)
    assert ["5"] == [row["cycle_id"] for row in rows(tmp_path / "cycles.csv")]


@pytest.mark.parametrize("content", ["other,columns\n1,2\n", "no newline at all"])
def test_foreign_file_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    """A file that is not ours is neither appended to nor cut."""
    (tmp_path / "fills.csv").write_text(content)
    with pytest.raises(CsvUnusable, match=r"fills\.csv"):
        open_files(tmp_path)
    assert content == (tmp_path / "fills.csv").read_text()


_DISK_FULL = """
import resource, sys
from pathlib import Path
from adapters.csv_files import CsvFile
file = CsvFile(Path(sys.argv[1]), "a,b")
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
file.append(["1", "one"])
resource.setrlimit(resource.RLIMIT_FSIZE, (13, hard))
file.append(["2", "two"])
file.append(["3", "three"])
print(Path(sys.argv[1]).read_text().endswith("\\n"))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
file.append(["4", "four"])
print(file.lost_lines)
"""


def test_full_disk_loses_lines_and_counts_them(tmp_path: Path) -> None:
    """The disk fills up in the middle of a line: no half line stays, and writing goes on when there is room again."""
    path = tmp_path / "x.csv"
    done = subprocess.run([sys.executable, "-c", _DISK_FULL, str(path)], cwd=REPO, capture_output=True, text=True, check=False)
    assert "True\n2\n" == done.stdout, done.stderr
    assert "a,b\n1,one\n4,four\n" == path.read_text()


def test_full_disk_at_the_first_line_keeps_the_header_for_later(tmp_path: Path) -> None:
    """A header that could not be written is not forgotten."""
    script = _DISK_FULL.replace('file.append(["1", "one"])\n', "").replace("(13, hard)", "(2, hard)")
    path = tmp_path / "x.csv"
    done = subprocess.run([sys.executable, "-c", script, str(path)], cwd=REPO, capture_output=True, text=True, check=False)
    assert "False\n2\n" == done.stdout, done.stderr  # Empty: neither a half header.
    assert "a,b\n4,four\n" == path.read_text()


def test_text_with_commas_stays_one_field(tmp_path: Path) -> None:
    """Names come from venues."""
    CsvFile(tmp_path / "x.csv", "a,b").append(["1,2", 'say "x"'])
    assert [{"a": "1,2", "b": 'say "x"'}] == rows(tmp_path / "x.csv")


@pytest.mark.parametrize(("value", "expected"), [("1E-8", "0.00000001"), ("1E+3", "1000"), ("-0.00", "0.00"), ("-0.10", "-0.10")])
def test_decimals_are_plain(value: str, expected: str) -> None:
    """No exponent, no negative zero, the digits as they are."""
    assert expected == plain(D(value))


def test_times_are_utc_with_milliseconds() -> None:
    """Also just below a full second."""
    assert "2023-11-14T22:13:20.999Z" == iso_utc(1_700_000_000_999)


class Clocks:
    """The machine's two clocks; ``pause_s`` passes between any two looks at them."""

    def __init__(self) -> None:
        self.monotonic_s, self.wall_s, self.pause_s = 1_000.0, 1_700_000_000.0, 0.0
        self.wall = WallClock(self.wall_ns, self.monotonic)

    def pass_by(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.wall_s += seconds

    def monotonic(self) -> float:
        self.pass_by(self.pause_s)
        return self.monotonic_s

    def wall_ns(self) -> int:
        self.pass_by(self.pause_s)
        return int(self.wall_s * 1e9)


@pytest.mark.parametrize("step_s", [3_600.0, -3_600.0, 0.1])
def test_times_follow_a_wall_clock_that_steps(step_s: float) -> None:
    """After a suspension, or when somebody set the clock; what happened before keeps the time it had."""
    clocks = Clocks()
    clocks.pass_by(10.0)
    assert 1_700_000_005_000 == clocks.wall(1_005.0)
    clocks.wall_s += step_s
    clocks.pass_by(10.0)
    assert [1_700_000_015_000 + round(step_s * 1000), 1_700_000_005_000] == [clocks.wall(1_015.0), clocks.wall(1_005.0)]


def test_a_time_that_is_yet_to_come_is_told_as_now() -> None:
    """The journal keeps the monotonic time of a fill that the files lost with the power; since the reboot that clock counts from zero."""
    clocks = Clocks()
    clocks.pass_by(10.0)
    assert 1_700_000_010_000 == clocks.wall(2_592_000.0)


def test_times_keep_their_distances_while_the_clocks_agree() -> None:
    """A wall clock that wanders by less than a step does not show in the lags."""
    clocks = Clocks()
    clocks.pass_by(10.0)
    clocks.wall_s += 0.04
    assert [1_700_000_005_000, 1_700_000_006_000] == [clocks.wall(1_005.0), clocks.wall(1_006.0)]


def test_a_process_that_was_held_between_two_looks_saw_no_step() -> None:
    """Stopped, or kept from the processor, after it had read one clock and before the other."""
    clocks = Clocks()
    clocks.pass_by(10.0)
    clocks.pause_s = 1.0
    assert 1_700_000_005_000 == clocks.wall(1_005.0)


def test_atomic_write_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    """The second dump takes the place of the first."""
    path = tmp_path / "health.json"
    assert write_atomically(path, b"old") is True
    assert write_atomically(path, b"new") is True
    assert {"health.json": b"new"} == {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}


def test_atomic_write_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    """A target that cannot be replaced: False, nothing raised, no draft left."""
    path = tmp_path / "health.json"
    path.mkdir()
    assert write_atomically(path, b"new") is False
    assert [path] == list(tmp_path.iterdir())
