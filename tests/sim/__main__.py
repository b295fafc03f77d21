"""``python -m tests.sim SEED [--trace]``: play one seed, or a range of them, and say what was wrong."""

from __future__ import annotations

import argparse
import sys
import time

from tests.sim.mutants import MUTANTS
from tests.sim.world import Result, run


def main() -> int:
    arguments = _parser().parse_args()
    parts = MUTANTS[arguments.mutant].parts if arguments.mutant else None
    began, bad, steps, longest = time.perf_counter(), 0, 0, 0.0
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        result = run(seed, parts, arguments.intensity)
        steps += result.steps
        longest = max(longest, result.worst_exposed_s)
        bad += bool(result.violations)
        if result.violations or arguments.count == 1:
            _show(result, trace=arguments.trace, books=arguments.books)
    took = time.perf_counter() - began
    if arguments.count > 1:
        print(f"{bad} of {arguments.count} seeds bad; {arguments.count / took:.1f} seeds/s, {steps / took:.0f} messages/s;")
        print(f"longest exposure {longest:.1f} s")
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Play a seed of the whole-system simulation.")
    parser.add_argument("seed", type=int)
    parser.add_argument("--count", type=int, default=1, help="so many seeds from this one on")
    parser.add_argument("--trace", action="store_true", help="print the whole run")
    parser.add_argument("--books", action="store_true", help="with the books")
    parser.add_argument("--intensity", type=float, help="instead of the seed's own; 0 = no faults")
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
