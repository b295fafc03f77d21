"""The terminal view: its lines word for word, and that no broken output stops it."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from adapters.output import QueuedOutput
from adapters.terminal import TerminalView, format_event, format_status, say, signed, summary_rows
from core.messages import Alert, CycleFinished, FeedChanged, TradingStateChanged
from core.pairing import PairRow
from core.totals import RunStatus, RunSummary, VenueTotals
from core.types import Channel, FeedState, Role, Side, Source, TradingState, VenueId

REPO = Path(__file__).resolve().parents[2]
GRVT, BACKPACK = VenueId("grvt"), VenueId("backpack")
D = Decimal

PAIR = PairRow(
    cycle_id=3,
    phase="BUILD",
    side=Side.BUY,
    quantity=D("0.10"),
    maker_venue=GRVT,
    maker_price=D("3000.12"),
    cover_venue=BACKPACK,
    cover_role=Role.HEDGE,
    cover_cycle_id=3,
    hedge_vwap=D("2999.80"),
    fx=D(1),
    basis_bps=None,
    edge_bps=D("-1.0666"),
    maker_fee=D(0),
    taker_fee=D(0),
    net_usd=D("-0.032"),
    net_bps=D("-1.0666"),
    fill_to_hedge_ms=12,
    slippage_bps=None,
    at=0.0,
)
STATUS = RunStatus(
    state=TradingState.ACTIVE,
    cycle_id=3,
    positions=((GRVT, D("0.10")), (BACKPACK, D("-0.10"))),
    net_delta=D("0.00"),
    summary=RunSummary(
        venues=(VenueTotals(BACKPACK, D("6000"), D("3")), VenueTotals(GRVT, D("6000.50"), D("-0.06"))),
        cycles=2,
        attempts=20,
        attempts_filled=9,
        attempts_hedged=9,
        intended=D("2.00"),
        filled_of_intended=D("0.90"),
        filled=D("0.90"),
        hedged=D("0.90"),
        net_usd=D("-1.50"),
        first_fill_p50_s=2.5,
        first_fill_p90_s=8.0,
    ),
)
ALERT = Alert(level="warning", key="k", text="margin is low", at=0.0)


def feed(state: FeedState, reason: str = "") -> FeedChanged:
    return FeedChanged(venue=GRVT, channel=Channel.ACCOUNT, state=state, source=Source.WS, reason=reason, at=0.0)


def test_pair_line() -> None:
    """The line that a user watches for, word for word."""
    expected = "[cycle 3] BUILD  GRVT BUY 0.10 @ 3000.12 filled → Backpack SELL 0.10 @ 2999.80 in 12 ms, edge −1.1 bps"
    assert expected == format_event(PAIR)


def test_pair_line_of_an_unwind_on_the_maker_venue_says_so() -> None:
    """Not a hedge: a reader must see that the emergency path was taken."""
    pair = msgspec.structs.replace(PAIR, phase="UNWIND", cover_venue=GRVT, cover_role=Role.UNWIND, edge_bps=D("2"))
    expected = "[cycle 3] UNWIND GRVT BUY 0.10 @ 3000.12 filled → GRVT SELL 0.10 @ 2999.80 (unwind) in 12 ms, edge +2.0 bps"
    assert expected == format_event(pair)


def test_cycle_line() -> None:
    """How the cycle ended, how long it took, what it filled."""
    cycle = CycleFinished(
        cycle_id=3, started_at=1.0, result="done", intended=D("0.20"), filled=D("0.10"), requotes=1, cancels=2, skips=0, at=35.34
    )
    assert "[cycle 3] done in 34.3 s: filled 0.10 of 0.20, 1 requote, 2 cancels" == format_event(cycle)


def test_alert_and_state_lines() -> None:
    """Level and reason first."""
    state = TradingStateChanged(state=TradingState.REDUCING, reason="hedge venue down", at=0.0)
    assert ["[warning] margin is low", "[state] REDUCING: hedge venue down"] == [format_event(ALERT), format_event(state)]


def test_feed_line_only_for_states_that_matter() -> None:
    """Every reconnect passes through CONNECTING and SYNCING; a person needs neither."""
    lines = [format_event(feed(state, "no pong")) for state in FeedState]
    assert [
        None,
        None,
        "[feed] GRVT account LIVE (ws): no pong",
        "[feed] GRVT account DEGRADED (ws): no pong",
        "[feed] GRVT account DOWN (ws): no pong",
    ] == lines


def test_control_characters_of_a_venue_do_not_reach_the_terminal() -> None:
    """An error text must not move the cursor or forge a line."""
    alert = Alert(level="critical", key="k", text="bad\x1b[2J\nline", at=0.0)
    assert "[critical] bad [2J line" == format_event(alert)


def test_status_line() -> None:
    """State, positions, delta, fill rate, volume and its price."""
    expected = "ACTIVE │ cycle 3 │ GRVT +0.10  Backpack −0.10 │ delta 0.00 │ fill rate 45.0 % (9/20) │ volume $12,000 │ cost $124.99 per $1M"
    assert expected == format_status(STATUS)


def test_summary_of_an_empty_run_shows_dashes() -> None:
    """Stopped before the first attempt: no rate is invented."""
    status = RunStatus(state=TradingState.STOPPING, cycle_id=0, positions=(), net_delta=D(0), summary=RunSummary())
    shown = dict(summary_rows(status))
    assert ("– (0/0)", "– / –", "–") == (shown["Fill rate"], shown["First fill p50 / p90"], shown["Cost per $1M volume"])


def test_summary_table() -> None:
    """Every number under its name."""
    expected = (
        ("Cycles", "2"),
        ("Fill rate", "45.0 % (9/20)"),
        ("Fill rate by quantity", "45.0 %"),
        ("Pairs hedged in full", "100.0 % (9/9)"),
        ("First fill p50 / p90", "2.5 s / 8.0 s"),
        ("Volume Backpack", "$6,000.00, fees $3.00"),
        ("Volume GRVT", "$6,000.50, fees −$0.06"),
        ("Net result", "−$1.50"),
        ("Cost per $1M volume", "$124.99"),
        ("Position GRVT", "+0.10"),
        ("Position Backpack", "−0.10"),
        ("Net delta", "0.00"),
    )
    assert expected == summary_rows(STATUS)


@pytest.mark.parametrize(("value", "places", "expected"), [("-0.04", 1, "0.0"), ("0.10", None, "+0.10"), ("-1.06", 1, "−1.1")])
def test_sign_is_of_the_rounded_number(value: str, places: int | None, expected: str) -> None:
    """No minus in front of a zero."""
    assert expected == signed(D(value), places)


def test_without_a_terminal_lines_are_plain_and_there_is_no_status() -> None:
    """A log file gets no control sequences and no line twice."""
    stream = io.StringIO()
    view = TerminalView(stream)
    view.show(PAIR)
    view.status(STATUS)
    view.show(ALERT)
    view.show(feed(FeedState.SYNCING))
    view.close()
    assert f"{format_event(PAIR)}\n[warning] margin is low\n" == stream.getvalue()


def test_long_lines_are_not_wrapped_without_a_terminal() -> None:
    """One event is one line, for whoever greps."""
    stream = io.StringIO()
    view = TerminalView(stream)
    view.show(Alert(level="info", key="k", text="word " * 100 + "end", at=0.0))
    view.say("word " * 100 + "end")
    view.close()
    assert 2 == stream.getvalue().count("\n")


def test_final_summary_without_a_terminal_is_name_and_value_a_line() -> None:
    """Readable in a log."""
    stream = io.StringIO()
    view = TerminalView(stream)
    view.finish(STATUS)
    view.close()
    assert "Net result               −$1.50\n" in stream.getvalue()


def everything_on(master: int) -> str:
    """What was written to a pseudo-terminal that is closed by now; one read may return any part of it."""
    shown = b""
    with os.fdopen(master, "rb", buffering=0) as screen, suppress(OSError):  # EIO is the end of a terminal.
        while more := screen.read(65_536):
            shown += more
    return shown.decode()


def test_terminal_shows_status_lines_and_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real pseudo-terminal: the status line is live, the event line and the table are there."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        view = TerminalView(stream)
        view.status(STATUS)
        view.show(PAIR)
        view.finish(STATUS)
        view.close()
    shown = everything_on(master)
    assert [True, True, True] == [text in shown for text in ("fill rate 45.0 %", "Backpack SELL 0.10 @ 2999.80", "Net result")]


def test_closed_stream_is_counted(tmp_path: Path) -> None:
    """Output that was closed under the view costs a count, not the run."""
    with (tmp_path / "out").open("w") as stream:
        view = TerminalView(stream)
    view.show(ALERT)
    view.finish(STATUS)
    view.close()
    assert view.lost_writes > 0


def test_without_any_output_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process started with its output closed has no stream at all."""
    monkeypatch.setattr(sys, "stdout", None)
    say("nobody hears this")
    view = TerminalView()
    view.show(ALERT)
    view.finish(STATUS)
    view.close()
    assert view.lost_writes > 1


_NO_READER = """
import sys
from tests.adapters.test_terminal import ALERT, PAIR, STATUS
from adapters.output import QueuedOutput
from adapters.terminal import TerminalView
view = TerminalView()
sys.stdin.readline()
for event in (PAIR, ALERT, PAIR):
    view.show(event)
view.status(STATUS)
view.finish(STATUS)
view.close()
print(view.lost_writes > 2, file=sys.stderr)
"""


def test_reader_that_went_away_does_not_end_the_run() -> None:
    """The pipe behind stdout is closed (``| head``): the process goes on, counts, and exits 0."""
    process = subprocess.Popen(
        [sys.executable, "-c", _NO_READER],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write("go\n")
    process.stdin.close()
    said = process.stderr.read()
    process.stderr.close()
    assert ("True\n", 0) == (said, process.wait())


def test_a_status_that_would_have_to_wait_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two a second would fill the queue of a terminal that stands still, and the lines that matter would be lost."""
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        view = TerminalView(stream)
        monkeypatch.setattr(QueuedOutput, "is_behind", True)
        view.status(STATUS)
        view.close()
    assert "fill rate" not in everything_on(master)


def test_the_cursor_comes_back_without_a_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that does not answer at the end leaves none to show."""
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        view = TerminalView(stream)
        view.status(STATUS)
        view.close()
    assert everything_on(master).endswith("\x1b[?25h\r\x1b[1A\x1b[2K")
