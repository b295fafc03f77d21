"""perpfarm: the program on one screen. Command line, composition, watch, health dump on a signal, ordered stop.

Only this module knows both actors and adapters. Exit codes: 0 stopped flat, 1 an internal part failed or a venue could not be asked at the
start, 2 configuration or preflight refused, 3 stopped with exposure or an order of unknown outcome, 4 another process holds the account.
"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # An interrupt among the imports has nothing to undo, and no traceback to show.

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from actors.bracket_composition import BracketComposition
from actors.children import Children, Outputs, Side
from actors.composition import Composition
from actors.mailbox import Addresses
from actors.run_loop import EXIT_EXPOSED, EXIT_FAILED, ControlInbox, RunLoop, VenueSymbol
from actors.supervision import Actions, Watch
from adapters.archive import archive_state
from adapters.config_file import load_config
from adapters.csv_files import CsvFiles, CsvUnusable, WallClock, write_atomically
from adapters.event_log import EventLog
from adapters.flatten import flatten
from adapters.journal import JournalCorrupt, SqliteJournal, opened, read_state
from adapters.lock import AlreadyRunning, SingleInstance
from adapters.logs import LogHandle, setup_logging
from adapters.memory import give_back_memory, keep_for_good
from adapters.paper import PaperFailed, PaperVenues
from adapters.patience import StartStopped, StopBell
from adapters.preflight import doctor, facts_to_trade_on
from adapters.qualify import is_loopback, qualify
from adapters.run_signals import RunSignals, interrupt_on_stop
from adapters.secrets import CredentialsRefused, Redactor, load_credentials, read_env_file
from adapters.status import StatusUnavailable, ask_status, is_thrown, kill_switch, throw_kill_switch
from adapters.steps import Steps
from adapters.terminal import TerminalView, say
from adapters.venues import VENUES, claims, limiter_rates, open_venue, open_venues, venue_names
from core.config import Config, ConfigError
from core.health import HealthDump, to_json
from core.messages import Alert, Message
from core.ports import JournalFailed, VenueRefused, VenueUnreachable

EXIT_REFUSED, EXIT_LOCKED = 2, 4
SWITCH_INTERVAL_S = 0.0005
"""A thread in pure Python may hold the interpreter for this long; at the default of 5 ms a fill can wait 170 ms."""
RECURSION_LIMIT = 1_000
"""Some library raises it at import; a deeply nested frame would then overflow the C stack instead of being refused."""
PAPER_CONFIG = Path(__file__).with_name("configs") / "paper.toml"
PAPER_CONFIGS = {"bracket": PAPER_CONFIG.with_name("paper-bracket.toml")}
"""Scenarios that need another configuration; every other name is a market of the embedded venues."""


def main(argv: Sequence[str] | None = None) -> int:
    try:
        interrupt_on_stop()
        arguments = _parser().parse_args(argv)
        return int(arguments.command(arguments))
    except VenueUnreachable as error:
        return _refuse(f"{error}; it may be started again", EXIT_FAILED)
    except StartStopped as stopped:
        say(f"left: unknown, {stopped}")
        return EXIT_EXPOSED
    except AlreadyRunning as error:
        return _refuse(error, EXIT_LOCKED)
    except (JournalCorrupt, JournalFailed) as error:
        return _refuse(error, EXIT_EXPOSED)
    except KeyboardInterrupt:
        return _refuse("interrupted", EXIT_EXPOSED)
    except (ConfigError, CredentialsRefused, VenueRefused, PaperFailed, StatusUnavailable, CsvUnusable, OSError) as error:
        return _refuse(error, EXIT_REFUSED)


def _refuse(why: object, code: int) -> int:
    line = f"{why.filename or 'system'}: {why.strerror or why}" if isinstance(why, OSError) else why
    say(f"perpfarm: {line}", sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="supervisor.py", description="Delta-neutral point farming, supervised.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    paper = commands.add_parser("paper", help="trade on embedded venues on loopback, no keys")
    paper.add_argument("--iter", type=int, help="cycles; 0 = until stopped")
    paper.add_argument("--seed", type=int, default=1)
    paper.add_argument("--scenario", default="lively", choices=("lively", "seeds", "bracket"), help="seeds fills as measured")
    paper.set_defaults(command=_paper)

    run = commands.add_parser("run", help="trade for real")
    for flag in ("--primary", "--hedge", "--ticker", "--size", "--max-position"):
        run.add_argument(flag)
    run.add_argument("--iter", type=int, help="cycles; 0 = until stopped")
    run.add_argument("--fill-timeout", type=float)
    run.add_argument("--dry-run", action="store_true", help="decide and log, send no order")
    doctor = commands.add_parser("doctor", help="preflight: go or no-go, sends nothing that can trade")
    flat = commands.add_parser("flatten", help="cancel every order, close every position, verify")
    qualification = commands.add_parser("qualify", help="measure what a venue really does, write a report")
    qualification.add_argument("--venue", required=True, choices=VENUES)
    qualification.add_argument("--pairs", type=int, default=100, help="place-and-cancel pairs")
    qualification.add_argument("--yes-real-money", action="store_true")
    for command, function in ((run, _run), (doctor, _doctor), (flat, _flatten), (qualification, _qualify)):
        command.add_argument("config", type=Path)
        command.add_argument("--env-file", type=Path)
        command.set_defaults(command=function)

    status = commands.add_parser("status", help="print the health dump of the running process")
    status.add_argument("--state-dir", type=Path)
    status.set_defaults(command=lambda arguments: ask_status(arguments.state_dir))
    halt = commands.add_parser("halt", help="throw the kill switch of the running process: only cancels from then on")
    halt.add_argument("--state-dir", type=Path)
    halt.set_defaults(command=lambda arguments: throw_kill_switch(arguments.state_dir))
    return parser


# ---- commands ------------------------------------------------------------------------------------------------------------------


def _paper(arguments: argparse.Namespace) -> int:
    signals = RunSignals(EXIT_EXPOSED)
    path = PAPER_CONFIGS.get(arguments.scenario, PAPER_CONFIG)
    config = load_config(path, {"run.iterations": arguments.iter})
    state_dir = Path(config.run.state_dir)
    with ExitStack() as stack:
        stack.enter_context(SingleInstance(state_dir))
        archive_state(state_dir)
        market = arguments.scenario if path == PAPER_CONFIG else "lively"
        endpoints = stack.enter_context(PaperVenues(market, arguments.seed, state_dir / "ledger.json", venue_names(config)))
        return _trade(endpoints.put_into(config), endpoints.credentials, signals, is_dry_run=False, is_locked=True)


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
    config = load_config(arguments.config, keys)
    if arguments.dry_run:
        say("dry run: decides and logs, sends no order; fills nothing, hedges nothing and closes nothing")
    return _trade(config, _credentials(arguments), signals, is_dry_run=arguments.dry_run)


def _doctor(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.config, {})
    state = read_state(Path(config.run.state_dir) / "journal.sqlite")
    return 0 if doctor(config, open_venues(config, _credentials(arguments)), state) else EXIT_REFUSED


def _flatten(arguments: argparse.Namespace) -> int:
    config, credentials = load_config(arguments.config, {}), _credentials(arguments)
    with ExitStack() as stack:
        state_dir = Path(config.run.state_dir)
        stack.enter_context(SingleInstance(state_dir, claims(config, credentials)))
        path = state_dir / "journal.sqlite"
        return flatten(config, open_venues(config, credentials), lambda: stack.enter_context(opened(path)), say)


def _qualify(arguments: argparse.Namespace) -> int:
    config, credentials = load_config(arguments.config, {}), _credentials(arguments)
    state_dir, section = Path(config.run.state_dir), config.venue(arguments.venue)
    if not (arguments.yes_real_money or is_loopback(tuple(section.endpoints.values()))):
        raise VenueRefused(f"{arguments.venue}: its orders would be real; accepted: --yes-real-money")
    with ExitStack() as stack:
        stack.enter_context(SingleInstance(state_dir, claims(config, credentials, arguments.venue)))
        journal = stack.enter_context(opened(state_dir / "journal.sqlite"))
        report = state_dir / f"qualify-{arguments.venue}.md"
        venue = open_venue(arguments.venue, section, credentials)
        return qualify(config, venue, journal, report, pairs=arguments.pairs, say=say)


def _credentials(arguments: argparse.Namespace) -> Mapping[str, str]:
    return load_credentials(os.environ, read_env_file(arguments.env_file) if arguments.env_file is not None else None)


# ---- a run ---------------------------------------------------------------------------------------------------------------------


def _trade(
    config: Config, credentials: Mapping[str, str], signals: RunSignals, *, is_dry_run: bool, is_locked: bool = False
) -> int:
    """Lock, journal, preflight, actors, watch, ordered stop."""
    state_dir = Path(config.run.state_dir)
    with StopBell() as bell, ExitStack() as stack:
        if not is_locked:
            stack.enter_context(SingleInstance(state_dir, claims(config, credentials)))
        log_file = stack.enter_context(closing(setup_logging(state_dir, config.run.log_level, Redactor.of(credentials))))
        if is_thrown(state_dir):
            return _refuse(f"the kill switch is thrown; remove {kill_switch(state_dir)} to trade again", EXIT_REFUSED)
        steps = Steps.of(os.environ)
        journal = steps.journal(state_dir / "journal.sqlite")
        found = facts_to_trade_on(config, steps.venues(open_venues(config, credentials)), journal, bell, say)
        sides = [Side(venue, facts.instrument, facts.fees, limiter_rates(venue.name, venue.limits)) for venue, facts in found]
        files = stack.enter_context(closing(CsvFiles(state_dir, wall_ms_of=WallClock())))
        run = _Run(config, sides, journal, files, log_file, state_dir, is_dry_run=is_dry_run)
        try:
            return run.go(signals)
        except OSError as error:
            return _refuse(error, EXIT_FAILED)  # No refusal any more: it has traded.


class _Run:
    """Everything of one run that needs both floors."""

    def __init__(
        self,
        config: Config,
        sides: list[Side],
        journal: SqliteJournal,
        files: CsvFiles,
        log_file: LogHandle,
        state_dir: Path,
        *,
        is_dry_run: bool,
    ) -> None:
        self._journal = journal
        self._files = files
        self._log_file = log_file
        self._state_dir = state_dir
        self._view = TerminalView()
        self._log = EventLog()
        self._addresses = addresses = Addresses()
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
        compose: Callable[..., Children] = BracketComposition if config.strategy.kind == "bracket" else Composition
        self._composition = compose(
            config,
            *sides,
            journal,
            Outputs(files, self._view, self._log.message),
            addresses,
            self._watch.report,
            process_epoch=journal.begin_epoch(),
            is_dry_run=is_dry_run,
        )
        self._route: Callable[[Message], None] = self._composition.route("supervisor")
        is_hedge = config.strategy.kind == "hedge"
        venues = [VenueSymbol.of(side.venue, side.instrument, may_cancel_all=is_hedge) for side in sides]
        inbox, helpers = ControlInbox(addresses), (partial(is_thrown, state_dir), give_back_memory)
        self._loop = RunLoop(self._watch, inbox, self._route, venues, self._write_health, self._metrics, *helpers)

    def go(self, signals: RunSignals) -> int:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        sys.setrecursionlimit(RECURSION_LIMIT)
        signals.hand_over(self._loop.stop, self._loop.hasten, self._loop.request_health)
        for child in self._composition.children():
            self._watch.add(child)
        self._watch.start()
        keep_for_good()
        with closing(self._view), ExitStack() as stack:
            stack.callback(lambda: self._journal.close(is_clean=self._loop.residue.is_flat))
            try:
                code = self._loop.run()
                if left := self._loop.residue.text:
                    self._view.say(left)
                self._log.line("ended", exit_code=code, left=left, failure=self._loop.failure)
                status = self._loop.finish()
            finally:
                self._watch.stop()
            if status is not None:
                self._view.finish(status)
            return code if code != EXIT_FAILED else _refuse(self._loop.failure, code)

    def _alert(self, key: str, text: str) -> None:
        self._route(Alert(level="critical", key=key, text=text, at=time.monotonic()))

    def _metrics(self) -> dict[str, float]:
        lost = self._log_file.lost + self._files.lost_lines + self._view.lost_writes
        letters, triggers = sum(self._addresses.dead_letters().values()), self._composition.fallback.triggers
        return {"rest_fallback_triggers": float(triggers), "lines_lost": float(lost), "dead_letters": float(letters)}

    def _write_health(self, dump: HealthDump) -> None:
        write_atomically(self._state_dir / "health.json", to_json(dump))


if __name__ == "__main__":
    sys.exit(main())
