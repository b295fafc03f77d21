"""``python -m tests.sim.oco_main STORY NUMBER [--count N] [--trace]``: play trials of the OCO simulation and say what was wrong."""

from __future__ import annotations

import argparse
import sys
import time

from tests.sim.oco_mutants import OCO_MUTANTS
from tests.sim.oco_scenario import LINKS, POLICIES, STORIES, OcoScenario, nemesis_of, story_of
from tests.sim.oco_world import OcoResult, play


def main() -> int:
    arguments = _parser().parse_args()
    parts = OCO_MUTANTS[arguments.mutant].parts if arguments.mutant else None
    began, bad, steps, good, failed, overshoots = time.perf_counter(), 0, 0, 0, 0, 0
    latencies: list[tuple[float, float]] = []
    for number in range(arguments.number, arguments.number + arguments.count):
        result = play(_scenario(arguments, number), parts, kill_before=arguments.kill)
        steps, bad = steps + result.steps, bad + bool(result.violations)
        good, failed, overshoots = good + result.successes, failed + result.failures, overshoots + result.overshoots
        latencies += result.latencies
        if result.violations or arguments.count == 1:
            _show(result, trace=arguments.trace)
    took = time.perf_counter() - began
    print(f"{bad} of {arguments.count} trials bad; {arguments.count / took:.1f} trials/s, {steps / took:.0f} messages/s")
    print(f"oco_success {good}, oco_failures {failed}, trials with an overshoot {overshoots}; {_spread(latencies)}")
    return 1 if bad else 0


def _scenario(arguments: argparse.Namespace, number: int) -> OcoScenario:
    is_hostile = arguments.story == "nemesis"
    scenario = nemesis_of(number, arguments.intensity) if is_hostile else story_of(arguments.story, number, arguments.policy)
    link = OCO_MUTANTS[arguments.mutant].link if arguments.mutant and arguments.link is None else arguments.link
    return scenario if link is None else scenario._replace(venue=scenario.venue._replace(link=link))


def _spread(latencies: list[tuple[float, float]]) -> str:
    if not latencies:
        return "no sibling was cancelled"
    words = []
    for name, index in (("fill to cancel", 0), ("fill to terminal", 1)):
        values = sorted(each[index] * 1000 for each in latencies)
        words.append(f"{name} p50 {values[len(values) // 2]:.0f} ms p99 {values[int(len(values) * 0.99)]:.0f} ms")
    return ", ".join(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.oco_main", description="Play trials of the OCO simulation.")
    parser.add_argument("story", choices=(*STORIES, "nemesis"))
    parser.add_argument("number", type=int)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--policy", choices=POLICIES, help="of a manual cancel; default: drawn")
    parser.add_argument("--intensity", type=float, help="of the nemesis, instead of the trial's own")
    parser.add_argument(
        "--link", choices=sorted(set(LINKS)), help="what the venue makes of linked exits; default: drawn, or the mutant's"
    )
    parser.add_argument("--kill", type=int, help="kill the process before its n-th order leaves")
    parser.add_argument("--mutant", choices=sorted(OCO_MUTANTS), help="plant this bug")
    parser.add_argument("--trace", action="store_true", help="print the whole run")
    return parser


def _show(result: OcoResult, *, trace: bool) -> None:
    if trace:
        for line in result.history.lines():
            print(line)
    print(f"{result.seed}: {result.fills} fills, {result.steps} messages, ends {result.pair_state}, {result.history.digest()}")
    for violation in result.violations:
        print(f"  {violation}")


if __name__ == "__main__":
    sys.exit(main())
