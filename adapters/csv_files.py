"""The append-only CSV files of the state folder, and the atomic write of its other files.

Reports, not records: the journal is the truth. So a full disk costs lines, which are counted, and never the caller.
"""

from __future__ import annotations

import csv
import io
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from core.messages import CycleFinished, FillRecorded
from core.pairing import PairRow
from core.types import Liquidity

FILLS_HEADER = (
    "ts,venue,symbol,role,cycle_id,client_id,venue_order_id,trade_id,side,price,qty,fee,fee_ccy,is_maker,source,recv_lag_ms"
)
PAIRS_HEADER = (
    "ts,cycle_id,phase,side,qty,maker_px,hedge_vwap,fx,basis_bps,edge_bps,maker_fee,taker_fee,net_usd,net_bps,"
    "fill_to_hedge_ms,slippage_bps"
)
CYCLES_HEADER = "cycle_id,start,end,result,intended,filled,hedged,carried,requotes,cancels,skips,api_calls,n429"

STEP_MS = 50
KNOWN_TAIL_BYTES = 500_000
KNOWN_FILLS_KEPT = 2_000
"""More than the journal may tell again: a note that a fill is booked waits for at most 500 others."""
_BPS_STEP = Decimal("0.0001")
_MONEY_STEP = Decimal("0.00000001")


class CsvUnusable(Exception):
    """The file on disk is not one that may be appended to: one line that names it (exit code 2)."""


class CsvFile:
    """One append-only file of one thread. Each line is handed to the system whole before ``append`` returns."""

    def __init__(self, path: Path, header: str) -> None:
        """Continue the file: a last line without its newline, torn by a kill, is cut off by the next. Raises CsvUnusable, OSError."""
        self.lost_lines = 0
        self._header = header.encode() + b"\n"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._size = _whole_lines(self._descriptor)
            head = os.pread(self._descriptor, len(self._header), 0)
            if head != self._header and (self._size or not self._header.startswith(head)):
                raise CsvUnusable(f"{path}: its first line is not '{header}'; move the file away")
        except (CsvUnusable, OSError):
            os.close(self._descriptor)
            raise

    @property
    def lines(self) -> int:
        """Lines below the header, by reading all of the file."""
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(0)
            return max(sum(1 for _ in file) - 1, 0)

    def append(self, row: Sequence[str]) -> bool:
        """Write one line, or count it as lost and return False. The header goes before the first."""
        data = (b"" if self._size else self._header) + _line(row)
        try:
            # After a short write the file ends in a torn line; it has to go before anything may follow.
            os.ftruncate(self._descriptor, self._size)
            if os.write(self._descriptor, data) == len(data):
                self._size += len(data)
                return True
        except OSError:
            pass
        self.lost_lines += 1
        with suppress(OSError):
            os.ftruncate(self._descriptor, self._size)
        return False

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._descriptor)


class WallClock:
    """Monotonic seconds of this process to wall milliseconds (reports only), by the offset between the two clocks.

    The offset is taken anew when it has moved by more than ``STEP_MS``: the machine was suspended, or its clock was set. What happened
    before the last look at the old offset keeps it. A time that is yet to come is one of before a reboot, and told as now.
    """

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall_ns = wall_ns
        self._monotonic = monotonic
        self._seen_at = monotonic()
        self._offset_ms = self._former_ms = wall_ns() // 1_000_000 - int(self._seen_at * 1000)
        self._former_until = float("-inf")

    def __call__(self, at: float) -> int:
        self._look()
        at = min(at, self._monotonic())
        return int(at * 1000) + (self._offset_ms if at > self._former_until else self._former_ms)

    def _look(self) -> None:
        before, wall_ns, now = self._monotonic(), self._wall_ns(), self._monotonic()
        if (now - before) * 1000 > STEP_MS:
            return  # Kept from the processor between the two clocks: that is no step.
        offset_ms = wall_ns // 1_000_000 - int(now * 1000)
        if abs(offset_ms - self._offset_ms) > STEP_MS:
            self._former_ms, self._former_until = self._offset_ms, self._seen_at
            self._offset_ms = offset_ms
        self._seen_at = now


class CsvFiles:
    """fills.csv, pairs.csv and cycles.csv of one state folder. ``wall_ms_of`` turns a monotonic time of this process to epoch ms.

    ``pairs``: lines of pairs.csv.
    """

    def __init__(self, state_dir: Path, *, wall_ms_of: Callable[[float], int]) -> None:
        """Raises CsvUnusable, OSError."""
        self._wall_ms_of = wall_ms_of
        state_dir.mkdir(parents=True, exist_ok=True)
        self._known = dict.fromkeys(_known_fills(state_dir / "fills.csv"))
        self._fills = CsvFile(state_dir / "fills.csv", FILLS_HEADER)
        self._pairs = CsvFile(state_dir / "pairs.csv", PAIRS_HEADER)
        self.pairs = self._pairs.lines
        self._cycles = CsvFile(state_dir / "cycles.csv", CYCLES_HEADER)

    @property
    def lost_lines(self) -> int:
        return sum(file.lost_lines for file in (self._fills, self._pairs, self._cycles))

    def fill(self, event: FillRecorded) -> None:
        """One line per execution, for ever: a fill read again after a kill that lost the journal's note of it is not written twice."""
        key = (str(event.fill.venue), str(event.fill.trade_id))
        if key in self._known:
            return
        self._known[key] = None
        if len(self._known) > KNOWN_FILLS_KEPT:
            del self._known[next(iter(self._known))]
        self._fills.append(fill_row(event, self._wall_ms_of(event.fill.received_at)))

    def pair(self, pair: PairRow) -> None:
        self.pairs += self._pairs.append(pair_row(pair, self._wall_ms_of(pair.at)))

    def cycle(self, cycle: CycleFinished, *, hedged: Decimal, carried: Decimal, api_calls: int, n429: int) -> None:
        """``hedged``, ``carried``: base quantities covered in this cycle and left open at its end."""
        start, end = self._wall_ms_of(cycle.started_at), self._wall_ms_of(cycle.at)
        counts = (cycle.requotes, cycle.cancels, cycle.skips, api_calls, n429)
        quantities = (cycle.intended, cycle.filled, hedged, carried)
        self._cycles.append(
            [str(cycle.cycle_id), iso_utc(start), iso_utc(end), cycle.result, *map(plain, quantities), *map(str, counts)]
        )

    def close(self) -> None:
        for file in (self._fills, self._pairs, self._cycles):
            file.close()


def fill_row(event: FillRecorded, received_ms: int) -> list[str]:
    """One line of fills.csv; ``ts`` is when the fill reached us, and the lag is what that is behind the venue's own time."""
    fill, order = event.fill, event.order
    return [
        iso_utc(received_ms),
        fill.venue,
        fill.symbol,
        order.role.value if order is not None else "",
        str(order.cycle_id) if order is not None else "",
        str(fill.client_order_id) if fill.client_order_id is not None else "",
        fill.venue_order_id or "",
        fill.trade_id,
        fill.side.value,
        plain(fill.price),
        plain(fill.quantity),
        plain(fill.fee),
        fill.fee_currency,
        "true" if fill.liquidity is Liquidity.MAKER else "false",
        fill.source.value,
        str(received_ms - fill.venue_time_ms) if fill.venue_time_ms else "",
    ]


def pair_row(pair: PairRow, at_ms: int) -> list[str]:
    """One line of pairs.csv; bps to 4 and money to 8 decimals."""
    return [
        iso_utc(at_ms),
        str(pair.cycle_id),
        pair.phase,
        pair.side.value,
        plain(pair.quantity),
        plain(pair.maker_price),
        plain(pair.hedge_vwap),
        plain(pair.fx),
        _rounded(pair.basis_bps, _BPS_STEP),
        _rounded(pair.edge_bps, _BPS_STEP),
        _rounded(pair.maker_fee, _MONEY_STEP),
        _rounded(pair.taker_fee, _MONEY_STEP),
        _rounded(pair.net_usd, _MONEY_STEP),
        _rounded(pair.net_bps, _BPS_STEP),
        str(pair.fill_to_hedge_ms),
        _rounded(pair.slippage_bps, _BPS_STEP),
    ]


def iso_utc(wall_ms: int) -> str:
    """Epoch milliseconds as ``2025-01-31T23:59:59.001Z``."""
    seconds, millis = divmod(wall_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"


def plain(value: Decimal) -> str:
    """Without an exponent, and zero without a sign."""
    return f"{value:f}" if value else f"{abs(value):f}"


def write_atomically(path: Path, content: bytes) -> bool:
    """Replace the file in one step, so that a reader sees the old or the new one whole; False where the system refused."""
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        return False
    return True


def _rounded(value: Decimal | None, step: Decimal) -> str:
    return plain(value.quantize(step)) if value is not None else ""


def _line(row: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue().encode()


def _known_fills(path: Path) -> set[tuple[str, str]]:
    """Venue and trade id of the lines at the end of the file; older fills are in the journal for certain."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - KNOWN_TAIL_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return set()
    columns = FILLS_HEADER.split(",")
    venue, trade = columns.index("venue"), columns.index("trade_id")
    # Line by line: none of ours has a newline in a field, and a quotation mark that a hand left open must not take in all that follows.
    rows = (row for line in lines for row in csv.reader([line]) if len(row) == len(columns))
    return {(row[venue], row[trade]) for row in rows}


def _whole_lines(descriptor: int) -> int:
    """Length of the file up to and with its last newline. A line is far shorter than the block that is searched."""
    size = os.fstat(descriptor).st_size
    start = max(size - 65_536, 0)
    tail = os.pread(descriptor, size - start, start)
    return start + tail.rfind(b"\n") + 1 if b"\n" in tail else 0
