"""What a person sees of a run: one line per event that matters, a status line below them, a table at the end.

It only shows. A terminal that is closed, broken or that nobody reads is counted and costs nothing else (adapters/output.py).
"""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import IO, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from adapters.output import QueuedOutput
from core.messages import Alert, CycleFinished, FeedChanged, TradingStateChanged
from core.pairing import PairRow
from core.totals import RunStatus
from core.types import FeedState, Role, VenueId

DisplayEvent = PairRow | CycleFinished | Alert | TradingStateChanged | FeedChanged

_VENUE_NAMES = {"grvt": "GRVT", "backpack": "Backpack", "apex": "ApeX", "paradex": "Paradex"}
_SHOWN_FEED_STATES = frozenset({FeedState.LIVE, FeedState.DEGRADED, FeedState.DOWN})
_PERCENT = Decimal(100)
_STYLES = {"critical": "bold red", "warning": "yellow"}


def say(line: str, stream: TextIO | None = None) -> None:
    """One line on ``stream`` (by default standard output), if anybody still reads it: nothing that matters may end with a terminal,
    or wait for one longer than a second."""
    output = QueuedOutput(stream if stream is not None else sys.stdout)
    output.write(f"{line}\n")
    output.finish()


class TerminalView:
    """Any thread; none waits but in ``close``. With a terminal behind ``stream`` the status stays below the lines; otherwise it is left
    out."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._output = QueuedOutput(stream if stream is not None else sys.stdout)
        self._is_terminal = self._output.isatty()
        self._console = Console(
            file=cast(IO[str], self._output),
            force_terminal=self._is_terminal,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)

    @property
    def lost_writes(self) -> int:
        """How often the output could not be written, or had to be left out since nobody reads."""
        return self._output.lost_writes

    def show(self, event: DisplayEvent) -> None:
        line = format_event(event)
        if line is not None:
            style = _STYLES.get(event.level, "") if isinstance(event, Alert) else ""
            self._print(Text(line, style=style, overflow="fold"))

    def status(self, status: RunStatus) -> None:
        """One that would have to wait for the reader is left out: the next one says it all."""
        if self._is_terminal and not self._output.is_behind:
            self._live.start()
            self._live.update(Text(format_status(status), style="reverse", no_wrap=True, overflow="ellipsis"), refresh=True)

    def finish(self, status: RunStatus) -> None:
        """The status line goes, the table stays."""
        self._live.stop()
        rows = summary_rows(status)
        if not self._is_terminal:
            for name, value in rows:
                self._print(Text(f"{name:<24} {value}"))
            return
        table = Table("Run", "", title_justify="left")
        for name, value in rows:
            table.add_row(name, value)
        self._print(table)

    def say(self, line: str) -> None:
        self._print(Text(line, overflow="fold"))

    def close(self) -> None:
        """The cursor comes back, and what was said is waited for, for two seconds at most; what is said after it is lost."""
        self._live.stop()
        self._output.finish()

    def _print(self, what: Text | Table) -> None:
        self._console.print(what, soft_wrap=isinstance(what, Text))


def format_event(event: DisplayEvent) -> str | None:
    """One line, or None for what does not matter to a person."""
    match event:
        case PairRow():
            return format_pair(event)
        case CycleFinished():
            return format_cycle(event)
        case Alert(level=level, text=text):
            return f"[{level}] {printable(text)}"
        case TradingStateChanged(state=state, reason=reason):
            return f"[state] {state.value}: {printable(reason)}"
        case FeedChanged(state=state) if state not in _SHOWN_FEED_STATES:
            return None
        case FeedChanged():
            why = f": {printable(event.reason)}" if event.reason else ""
            return f"[feed] {venue_name(event.venue)} {event.channel.value} {event.state.value} ({event.source.value}){why}"


def format_pair(pair: PairRow) -> str:
    """``[cycle 3] BUILD  GRVT BUY 0.10 @ 3000.12 filled → Backpack SELL 0.10 @ 2999.80 in 12 ms, edge −1.1 bps``"""
    role = "" if pair.cover_role is Role.HEDGE else f" ({pair.cover_role.value})"
    maker = f"{venue_name(pair.maker_venue)} {pair.side.value} {pair.quantity:f} @ {pair.maker_price:f}"
    cover = f"{venue_name(pair.cover_venue)} {pair.side.opposite.value} {pair.quantity:f} @ {pair.hedge_vwap:f}"
    return (
        f"[cycle {pair.cycle_id}] {pair.phase:<6} {maker} filled → {cover}{role}"
        f" in {pair.fill_to_hedge_ms} ms, edge {signed(pair.edge_bps, 1)} bps"
    )


def format_cycle(cycle: CycleFinished) -> str:
    result = {"done": "done", "no_fill": "no fill"}[cycle.result]
    return (
        f"[cycle {cycle.cycle_id}] {result} in {cycle.at - cycle.started_at:.1f} s:"
        f" filled {cycle.filled:f} of {cycle.intended:f}, {_count(cycle.requotes, 'requote')}, {_count(cycle.cancels, 'cancel')}"
    )


def format_status(status: RunStatus) -> str:
    summary = status.summary
    positions = "  ".join(f"{venue_name(venue)} {signed(quantity)}" for venue, quantity in status.positions)
    parts = (
        status.state.value,
        f"cycle {status.cycle_id}",
        positions or "no position",
        f"delta {signed(status.net_delta)}",
        f"fill rate {_rate(summary.fill_rate_count, summary.attempts_hedged, summary.attempts)}",
        f"volume ${summary.volume:,.0f}",
        f"cost {_money(summary.cost_per_million)} per $1M",
    )
    return " │ ".join(parts)


def summary_rows(status: RunStatus) -> tuple[tuple[str, str], ...]:
    """Name and value of each line of the final table."""
    summary = status.summary
    return (
        ("Cycles", str(summary.cycles)),
        ("Fill rate", _rate(summary.fill_rate_count, summary.attempts_hedged, summary.attempts)),
        ("Fill rate by quantity", _percent(summary.fill_rate_quantity)),
        ("Pairs hedged in full", _rate(summary.pair_rate, summary.attempts_hedged, summary.attempts_filled)),
        ("First fill p50 / p90", f"{_seconds(summary.first_fill_p50_s)} / {_seconds(summary.first_fill_p90_s)}"),
        *((f"Volume {venue_name(venue.venue)}", f"${venue.volume:,.2f}, fees {_money(venue.fees)}") for venue in summary.venues),
        ("Net result", _money(summary.net_usd)),
        ("Cost per $1M volume", _money(summary.cost_per_million)),
        *((f"Position {venue_name(venue)}", signed(quantity)) for venue, quantity in status.positions),
        ("Net delta", signed(status.net_delta)),
    )


def venue_name(venue: VenueId) -> str:
    return _VENUE_NAMES.get(venue, venue)


def signed(value: Decimal, places: int | None = None) -> str:
    """With a sign that a reader cannot miss (``−`` instead of a hyphen); zero has none."""
    rounded = value if places is None else round(value, places)
    sign = "" if not rounded else "+" if rounded > 0 else "−"
    return f"{sign}{abs(rounded):f}"


def printable(text: str) -> str:
    """Texts of venues may hold control characters, which must not reach a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _rate(share: Decimal | None, part: int, whole: int) -> str:
    return f"{_percent(share)} ({part}/{whole})"


def _percent(share: Decimal | None) -> str:
    return "–" if share is None else f"{share * _PERCENT:.1f} %"


def _money(value: Decimal | None) -> str:
    if value is None:
        return "–"
    cents = round(value, 2)
    return f"{'−' if cents < 0 else ''}${abs(cents):,.2f}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
