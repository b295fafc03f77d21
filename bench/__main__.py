"""``python -m bench`` runs every case and prints what it found; ``python -m bench NAME ...`` runs those.

No case is a test: a missed goal is printed and ends with exit code 1, and what else the machine does meanwhile is the reader's business.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping

from bench import cycles, exit_latency, failures, healing, hedge_latency, startup
from bench.table import Row, print_rows

CASES: Mapping[str, tuple[str, Callable[[], list[Row]]]] = {
    "hedge_latency": ("Maker fill → hedge request, quiet", hedge_latency.quiet),
    "hedge_latency_busy": ("Maker fill → hedge request under a flood of public frames", hedge_latency.busy),
    "hedge_latency_pinned": ("Maker fill → hedge request, the bot confined to one core", hedge_latency.pinned),
    "exit_latency": ("Take-profit fill → cancel of its stop, quiet", exit_latency.quiet),
    "exit_latency_busy": ("Take-profit fill → cancel of its stop under a flood of public frames", exit_latency.busy),
    "undisturbed": ("Maker fill → no net position, no fault", healing.undisturbed),
    "stream_lost": ("Maker fill → no net position, its stream breaks before it", healing.stream_lost),
    "stream_refused": ("Maker fill → no net position, its stream is refused for 6 s", healing.stream_refused),
    "answer_lost": ("Maker fill → no net position, the hedge's answer is lost", healing.answer_lost),
    "request_lost": ("Maker fill → no net position, the hedge is lost", healing.request_lost),
    "crashes": ("Crash of an actor → noticed by the watch", failures.crashes),
    "wedges": ("Actor beyond its limit → noticed by the watch", failures.wedges),
    "calls": ("REST calls of 200 cycles with immediate fills, default limits", cycles.calls),
    "memory": ("Memory of the bot over 200 cycles", cycles.memory),
    "startup": ("Process start → first quote at the venue", startup.start),
    "listening": ("Cost of listening", startup.listening),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="\n".join(("cases:", *(f"  {name:<22} {title}" for name, (title, _) in CASES.items()))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all cases, in this order")
    names = parser.parse_args().names or list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are: {', '.join(CASES)}")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}")
    are_met = True
    for name in names:
        title, case = CASES[name]
        rows = case()
        print_rows(f"{name}: {title}", rows)
        are_met &= all(row.is_met is not False for row in rows)
    return 0 if are_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
