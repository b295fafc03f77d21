"""perpfarm: the program on one screen. Command line, composition, watch, health dump on a signal, ordered stop.

Only this module knows both actors and adapters. Exit codes: 0 stopped flat, 1 an internal part failed, 2 configuration or preflight refused,
3 stopped with exposure or an order of unknown outcome, 4 another process holds the account.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from actors.composition import Composition, Outputs, Side
from actors.mailbox import Addresses
from actors.run_loop import EXIT_EXPOSED, EXIT_FAILED, ControlInbox, RunLoop, VenueSymbol
from actors.supervision import Actions, Watch
from adapters.archive import archive_state
from adapters.csv_files import CsvFiles, CsvUnusable, write_atomically
from adapters.event_log import EventLog
from adapters.flatten import flatten
from adapters.journal import JournalCorrupt, SqliteJournal
from adapters.lock import AlreadyRunning, Claim, SingleInstance
from adapters.logs import setup_logging
from adapters.paper import PaperEndpoints, PaperFailed, PaperVenues
from adapters.preflight import gather, print_checks
from adapters.run_signals import RunSignals
from adapters.secrets import CredentialsRefused, Redactor, load_credentials, read_env_file
from adapters.status import StatusUnavailable, ask_status
from adapters.terminal import TerminalView
from adapters.venues import ACCOUNT_NAMES, limiter_rates, open_venue
from core.config import Config, ConfigError, VenueConfig, parse_config
from core.health import HealthDump, to_json
from core.messages import Alert, Message
from core.ports import JournalFailed, VenueRefused
from core.preflight import Check, VenueFacts, is_go, judge_pair
from core.recovery import explained_positions

EXIT_REFUSED, EXIT_LOCKED = 2, 4
SWITCH_INTERVAL_S = 0.0005
"""A thread in pure Python may hold the interpreter for this long; at the default of 5 ms a fill can wait 170 ms (docs/decisions.md)."""
PAPER_CONFIG = Path("configs/paper.toml")


def main(argv: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # Whoever asks for a health dump must not end a command that writes none.
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except (ConfigError, CredentialsRefused, VenueRefused, PaperFailed, StatusUnavailable, CsvUnusable) as error:
        return _refuse(str(error), EXIT_REFUSED)
    except AlreadyRunning as error:
        return _refuse(str(error), EXIT_LOCKED)
    except (JournalCorrupt, JournalFailed) as error:
        return _refuse(str(error), EXIT_EXPOSED)
    except KeyboardInterrupt:
        return _refuse("interrupted", EXIT_EXPOSED)
    except OSError as error:
        return _refuse(f"{error.filename or 'system'}: {error.strerror or error}", EXIT_REFUSED)


def _refuse(line: str, code: int) -> int:
    print(f"perpfarm: {line}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="supervisor.py", description="Delta-neutral point farming, supervised.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    paper = commands.add_parser("paper", help="trade on embedded venues on loopback, no keys")
    paper.add_argument("--iter", type=int, help="cycles; 0 = until stopped")
    paper.add_argument("--seed", type=int, default=1)
    paper.add_argument("--scenario", default="lively", help="market of the embedded venues: lively or seeds")
    paper.set_defaults(command=_paper)

    run = commands.add_parser("run", help="trade for real")
    for flag, kind in (("--primary", str), ("--hedge", str), ("--ticker", str), ("--size", str), ("--max-position", str)):
        run.add_argument(flag, type=kind)
    run.add_argument("--iter", type=int, help="cycles; 0 = until stopped")
    run.add_argument("--fill-timeout", type=float)
    run.add_argument("--dry-run", action="store_true", help="decide and log, send no order")
    run.set_defaults(command=_run)

    doctor = commands.add_parser("doctor", help="preflight: go or no-go, sends nothing that can trade")
    doctor.set_defaults(command=_doctor)
    flat = commands.add_parser("flatten", help="cancel every order, close every position, verify")
    flat.set_defaults(command=_flatten)
    for command in (run, doctor, flat):
        command.add_argument("config", type=Path)
        command.add_argument("--env-file", type=Path)

    status = commands.add_parser("status", help="print the health dump of the running process")
    status.add_argument("--state-dir", type=Path)
    status.set_defaults(command=lambda arguments: ask_status(arguments.state_dir))
    return parser


# ---- commands ------------------------------------------------------------------------------------------------------------------


def _paper(arguments: argparse.Namespace) -> int:
    signals = RunSignals(EXIT_EXPOSED)
    overrides = {} if arguments.iter is None else {"run.iterations": arguments.iter}
    config = _load(PAPER_CONFIG, overrides)
    state_dir = Path(config.run.state_dir)
    with ExitStack() as stack:
        stack.enter_context(SingleInstance(state_dir))
        archive_state(state_dir)
        venues = PaperVenues(arguments.scenario, arguments.seed, state_dir / "ledger.json")
        endpoints = stack.enter_context(venues)
        return _trade(_on_loopback(config, endpoints), endpoints.credentials, signals, is_dry_run=False, is_locked=True)


def _run(arguments: argparse.Namespace) -> int:
    signals = RunSignals(EXIT_EXPOSED)
    keys = {
        "strategy.primary": arguments.primary,
        "strategy.hedge": arguments.hedge,
        "strategy.ticker": arguments.ticker,
        "strategy.size": arguments.size,
        "strategy.max_position": arguments.max_position,
        "strategy.fill_timeout_s": arguments.fill_timeout,
        "run.iterations": arguments.iter,
    }
    config = _load(arguments.config, {key: value for key, value in keys.items() if value is not None})
    return _trade(config, _credentials(arguments), signals, is_dry_run=arguments.dry_run)


def _doctor(arguments: argparse.Namespace) -> int:
    config = _load(arguments.config, {})
    state_dir = Path(config.run.state_dir)
    journal = SqliteJournal(state_dir / "journal.sqlite") if (state_dir / "journal.sqlite").exists() else None
    checks, _ = _preflight(config, _credentials(arguments), journal)
    print_checks(checks, is_go=is_go(checks))
    return 0 if is_go(checks) else EXIT_REFUSED


def _flatten(arguments: argparse.Namespace) -> int:
    config, credentials = _load(arguments.config, {}), _credentials(arguments)
    with ExitStack() as stack:
        state_dir = Path(config.run.state_dir)
        stack.enter_context(SingleInstance(state_dir, _claims(config, credentials)))
        journal = SqliteJournal(state_dir / "journal.sqlite")
        stack.callback(journal.close, is_clean=False)
        return flatten(config, _open_venues(config, credentials), journal, print)


# ---- set-up --------------------------------------------------------------------------------------------------------------------


def _load(path: Path, overrides: dict[str, Any]) -> Config:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    return parse_config(text, str(path), overrides)


def _credentials(arguments: argparse.Namespace) -> Mapping[str, str]:
    return load_credentials(os.environ, read_env_file(arguments.env_file) if arguments.env_file is not None else None)


def _on_loopback(config: Config, endpoints: PaperEndpoints) -> Config:
    venues = {
        name: VenueConfig(endpoints=dict(urls), limits=config.venue(name).limits) for name, urls in endpoints.venues.items()
    }
    return Config(run=config.run, strategy=config.strategy, venues=venues, limits=config.limits)


def _venue_names(config: Config) -> tuple[str, str]:
    if config.strategy.kind != "hedge":
        raise ConfigError(f"strategy.kind: {config.strategy.kind!r} cannot be run yet; accepted: hedge")
    return config.strategy.primary, config.strategy.hedge


def _claims(config: Config, credentials: Mapping[str, str]) -> list[Claim]:
    names = _venue_names(config)
    return [Claim(name, credentials.get(ACCOUNT_NAMES.get(name, ""), ""), config.strategy.ticker) for name in names]


def _open_venues(config: Config, credentials: Mapping[str, str]) -> tuple[Any, Any]:
    maker, hedge = (open_venue(name, config.venue(name), credentials) for name in _venue_names(config))
    return maker, hedge


def _preflight(
    config: Config, credentials: Mapping[str, str], journal: SqliteJournal | None
) -> tuple[tuple[Check, ...], tuple[tuple[Any, VenueFacts], ...]]:
    """Every check, and the facts they were made on. Raises VenueRefused where a venue cannot even be asked."""
    state = journal.fold() if journal is not None else None
    known = frozenset(entry.order.client_order_id for entry in state.orders) if state is not None else frozenset()
    found = []
    for venue in _open_venues(config, credentials):
        instrument = venue.setup.resolve(config.strategy.ticker)
        found.append((venue, gather(venue, instrument, is_ours=known.__contains__)))
    (_, maker), (_, hedge) = found
    checks = judge_pair(maker, hedge, config.strategy, explained=explained_positions(state, (maker.instrument, hedge.instrument)))
    return checks, tuple(found)


# ---- a run ---------------------------------------------------------------------------------------------------------------------


def _trade(
    config: Config, credentials: Mapping[str, str], signals: RunSignals, *, is_dry_run: bool, is_locked: bool = False
) -> int:
    """Lock, journal, preflight, actors, watch, ordered stop."""
    state_dir = Path(config.run.state_dir)
    with ExitStack() as stack:
        if not is_locked:
            stack.enter_context(SingleInstance(state_dir, _claims(config, credentials)))
        stack.callback(setup_logging(state_dir, config.run.log_level, Redactor.of(credentials)).close)
        journal = SqliteJournal(state_dir / "journal.sqlite")
        checks, found = _preflight(config, credentials, journal)
        if not is_go(checks):
            journal.close(is_clean=False)
            failed = [f"{check.venue} {check.name}: {check.detail}" for check in checks if check.verdict == "fail"]
            return _refuse(f"no-go: {' | '.join(failed)}", EXIT_REFUSED)
        maker, hedge = (
            Side(venue, facts.instrument, facts.fees, limiter_rates(venue.name, venue.limits)) for venue, facts in found
        )
        files = CsvFiles(state_dir, wall_ms_of=_wall_clock())
        stack.callback(files.close)
        return _Run(config, maker, hedge, journal, files, state_dir, is_dry_run=is_dry_run).go(signals)


class _Run:
    """Everything of one run that needs both floors."""

    def __init__(
        self,
        config: Config,
        maker: Side,
        hedge: Side,
        journal: SqliteJournal,
        files: CsvFiles,
        state_dir: Path,
        *,
        is_dry_run: bool,
    ) -> None:
        self._journal = journal
        self._state_dir = state_dir
        self._view = TerminalView()
        self._log = EventLog()
        addresses = Addresses()
        actions = Actions(
            halt=lambda reason: self._alert("halt", reason),
            exit_process=lambda reason: self._loop.fail(reason),  # noqa: PLW0108  the loop does not exist yet
            enter_reducing=lambda reason: self._alert("reduce", reason),
            start_fallback=lambda name, reason: self._log.line("fallback", child=name, reason=reason),
            stop_fallback=lambda name: self._log.line("fallback_over", child=name),
            stay_down=lambda name, reason: self._alert("stay-down", f"{name} stays down: {reason}"),
            reported=self._log.report,
        )
        self._watch = Watch(addresses, actions, random.random)
        self._composition = Composition(
            config,
            maker,
            hedge,
            journal,
            Outputs(files, self._view, self._log.message),
            addresses,
            self._watch.report,
            process_epoch=journal.begin_epoch(),
            is_dry_run=is_dry_run,
        )
        self._route: Callable[[Message], None] = self._composition.route("supervisor")
        venues = [
            VenueSymbol(
                side.venue.name, side.instrument.symbol, side.instrument.lot_size, side.venue.capabilities.dead_man_switch
            )
            for side in (maker, hedge)
        ]
        metrics = lambda: {"rest_fallback_triggers": float(self._composition.fallback.triggers)}  # noqa: E731  one line reads better
        self._loop = RunLoop(self._watch, ControlInbox(addresses), self._route, venues, self._write_health, metrics)

    def go(self, signals: RunSignals) -> int:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        signals.hand_over(self._loop.stop, self._loop.request_health)
        for child in self._composition.children():
            self._watch.add(child)
        self._watch.start()
        gc.collect()
        gc.freeze()
        try:
            code = self._loop.run()
            status = self._loop.status()
        finally:
            self._watch.stop()
            self._journal.close(is_clean=self._loop.residue.is_flat)
        if status is not None:
            self._view.finish(status)
        return self._say_how_it_ended(code)

    def _say_how_it_ended(self, code: int) -> int:
        for venue, quantity in self._loop.residue.positions:
            print(f"left at {venue}: {'BUY' if quantity > 0 else 'SELL'} {abs(quantity)}")
        for order in self._loop.residue.orders:
            print(f"left at {order.venue}: order {order.client_order_id} {order.side} {order.quantity} {order.state}")
        if code == EXIT_FAILED:
            print(f"perpfarm: {self._loop.failure}", file=sys.stderr)
        return code

    def _alert(self, key: str, text: str) -> None:
        self._route(Alert(level="critical", key=key, text=text, at=time.monotonic()))

    def _write_health(self, dump: HealthDump) -> None:
        write_atomically(self._state_dir / "health.json", to_json(dump))


def _wall_clock() -> Callable[[float], int]:
    """Monotonic seconds to wall milliseconds, by the offset at this moment (reports only)."""
    offset_ms = time.time_ns() // 1_000_000 - int(time.monotonic() * 1000)
    return lambda at: int(at * 1000) + offset_ms


if __name__ == "__main__":
    sys.exit(main())
