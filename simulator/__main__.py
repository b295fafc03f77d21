"""The simulated venues as a process of their own, so that their ledger outlives any bot under test.

``python -m simulator --market lively --seed 1 --control-port 0 --state FILE`` prints one JSON line of endpoints and credentials, then
serves until SIGTERM, SIGINT or the end of its standard input. ``--venues grvt,backpack,apex`` serves ApeX as well. Must never listen on
anything but loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import stat
import sys
from pathlib import Path

from simulator.clock import Delays, RealClock
from simulator.control import Control
from simulator.listing import DEFAULT_VENUES, REAL_DELAYS, VENUES
from simulator.market import PROFILES
from simulator.net import serve_http
from simulator.site import Site

STDIN = 0


def main(argv: list[str] | None = None) -> int:
    """0 after an orderly end; argparse exits with 2 for arguments that make no sense."""
    arguments = _parser().parse_args(argv)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # Half of the handshakes fail on purpose here.
    asyncio.run(_serve(arguments))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description="Simulated venues on loopback ports.")
    parser.add_argument("--market", choices=sorted(PROFILES), default="lively")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control-port", type=int, default=0, help="0 = any free port")
    parser.add_argument(
        "--state", type=Path, default=None, help="JSON file for the ledger, written at the end and on GET /ledger"
    )
    parser.add_argument(
        "--venues", type=_venues, default=DEFAULT_VENUES, help=f"comma-separated, of {', '.join(VENUES)}; the first is primary"
    )
    parser.add_argument(
        "--churn",
        type=float,
        default=0.0,
        help="that many more changes per second of the hedge venue's book, each a frame of its own",
    )
    parser.add_argument("--latency", choices=("real", "none"), default="real")
    return parser


def _venues(text: str) -> tuple[str, ...]:
    """Raises ArgumentTypeError for a name that is unknown or comes twice."""
    names = tuple(text.split(","))
    if not set(names) <= set(VENUES) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {', '.join(VENUES)}")
    return names


async def _serve(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    _stop_on_signals(stopped)
    _stop_with_stdin(stopped)
    delays = REAL_DELAYS if arguments.latency == "real" else dict.fromkeys(REAL_DELAYS, Delays())
    profile = PROFILES[arguments.market]
    if arguments.churn > 0:
        profile = profile._replace(conflate_s=0.0, churn_rate=arguments.churn)
    site = Site(profile, arguments.seed, RealClock(), delays, arguments.venues)
    await site.open()
    control = Control(site, arguments.state)
    port = await serve_http(control.handle, arguments.control_port)
    print(json.dumps({**site.directory(), "control": f"http://127.0.0.1:{port.port}"}), flush=True)
    try:
        await stopped.wait()
    finally:
        port.close()
        site.close()
        control.write_ledger()


def _stop_on_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)


def _stop_with_stdin(stopped: asyncio.Event) -> None:
    """A pipe that closes means that the parent is gone. A terminal or a file says nothing of the kind."""
    try:
        mode = os.fstat(STDIN).st_mode
    except OSError:
        return
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(STDIN, 4096):
                loop.remove_reader(STDIN)
                stopped.set()

    loop.add_reader(STDIN, read)


if __name__ == "__main__":
    sys.exit(main())
