"""``python -m tests.sim SEED [--trace]``: play one seed, or a range of them, and say what was wrong."""

from __future__ import annotations

import argparse
import sys
import time

from tests.sim.history import History
from tests.sim.mutants import MUTANTS
from tests.sim.scenario import Cruelty
from tests.sim.world import Result, run

NOTHING = History()


def main() -> int:
    arguments = _parser().parse_args()
    parts = MUTANTS[arguments.mutant].parts if arguments.mutant else None
    began = time.process_time()
    results = []
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        result = run(seed, parts, arguments.intensity, is_alone=arguments.alone, only=arguments.only)
        if result.violations or arguments.count == 1:
            _show(result, trace=arguments.trace, books=arguments.books)
        results.append(result._replace(history=NOTHING))
    if arguments.count > 1:
        _sum_up(results, time.process_time() - began)
    return 1 if any(result.violations for result in results) else 0


def _sum_up(results: list[Result], took_s: float) -> None:
    count = len(results)
    steps = sum(result.steps for result in results)
    print(f"{sum(bool(result.violations) for result in results)} of {count} seeds bad")
    print(
        f"{count / took_s:.1f} seeds and {steps / took_s:.0f} messages per second of processor time; {steps / count:.0f} messages a seed"
    )
    print(f"{sum(result.fills for result in results) / count:.1f} fills a seed")
    print(f"exposures: {_shares([exposed_s for result in results for exposed_s in result.exposed_s])}")
    print(f"longest of a seed: {_shares([max(result.exposed_s, default=0.0) for result in results])}")


def _shares(seconds: list[float]) -> str:
    ordered = sorted(seconds) or [0.0]
    found = ", ".join(f"p{share} {ordered[min(len(ordered) * share // 100, len(ordered) - 1)]:.1f} s" for share in (50, 90, 99))
    return f"{found}, max {ordered[-1]:.1f} s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Play a seed of the whole-system simulation.")
    parser.add_argument("seed", type=int)
    parser.add_argument("--count", type=int, default=1, help="so many seeds from this one on")
    parser.add_argument("--trace", action="store_true", help="print the whole run")
    parser.add_argument("--books", action="store_true", help="with the books")
    parser.add_argument("--intensity", type=float, help="instead of the seed's own; 0 = no faults")
    parser.add_argument(
        "--alone", action="store_true", help="without the troubles of trouble.py: nobody else, no operators, no disk"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        choices=Cruelty._fields,
        metavar="FAULT",
        help="these faults at their usual rates, no other",
    )
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="plant this bug")
    return parser


def _show(result: Result, *, trace: bool, books: bool) -> None:
    if trace:
        for line in result.history.lines(books=books):
            print(line)
    struck = ", ".join(f"{name} {count}" for name, count in sorted(result.struck.items()))
    print(
        f"seed {result.seed}: {result.fills} fills, {result.steps} messages, ends {result.state}, history {result.history.digest()}"
    )
    print(f"  struck: {struck or 'nothing'}")
    for violation in result.violations:
        print(f"  {violation}")


if __name__ == "__main__":
    sys.exit(main())
