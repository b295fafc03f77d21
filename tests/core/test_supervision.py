"""Restart decisions: who comes back, how often, and what happens instead."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.supervision import (
    MAX_ABANDONED,
    TABLE,
    ChildCrashed,
    ChildEnded,
    ChildSilent,
    ChildSpec,
    ChildStarted,
    ChildSynced,
    ChildWedged,
    EnterReducing,
    ExitProcess,
    Halt,
    RestartChild,
    StartFallback,
    StayDown,
    StopFallback,
    SupervisionCommand,
    SupervisionPolicy,
    spec_for,
)

ESCALATIONS = (Halt, ExitProcess, EnterReducing, StartFallback, StayDown)


class Tree:
    """A policy and the starts that its restarts lead to, made at once."""

    def __init__(self, *kinds: str) -> None:
        self.policy = SupervisionPolicy([spec_for(kind, kind) for kind in kinds])
        self.epochs = {kind: self.policy.open_epoch(kind) for kind in kinds}
        for kind in kinds:
            self.started(kind)

    def started(self, name: str) -> None:
        self.policy.handle(ChildStarted(name=name, epoch=self.epochs[name]), 0.0, 0.0)

    def follow(self, commands: Sequence[SupervisionCommand]) -> tuple[SupervisionCommand, ...]:
        for command in commands:
            if isinstance(command, RestartChild):
                self.epochs[command.name] = command.epoch
                self.started(command.name)
        return tuple(commands)

    def crash(self, name: str, now: float = 0.0, jitter: float = 0.0) -> tuple[SupervisionCommand, ...]:
        event = ChildCrashed(name=name, epoch=self.epochs[name], reason="boom")
        return self.follow(self.policy.handle(event, now, jitter))

    def wedge(self, name: str, now: float = 0.0, abandoned: int = 1) -> tuple[SupervisionCommand, ...]:
        wedged = ChildWedged(name=name, epoch=self.epochs[name], busy_s=9.0, abandoned=abandoned)
        return self.follow(self.policy.handle(wedged, now, 0.0))

    def sync(self, name: str) -> tuple[SupervisionCommand, ...]:
        return self.follow(self.policy.handle(ChildSynced(name=name, epoch=self.epochs[name]), 0.0, 0.0))


def kinds_of(commands: Sequence[SupervisionCommand]) -> list[str]:
    return [type(command).__name__ for command in commands]


GIVING_UP = {
    "halt": ["Halt"],
    "exit": ["Halt", "ExitProcess"],
    "reducing": ["EnterReducing"],
    "reducing_exit": ["EnterReducing", "Halt", "ExitProcess"],
    "fallback": ["StartFallback"],
    "stay_down": ["StayDown"],
}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.kind)
def test_a_crash_loop_restarts_as_often_as_the_table_says_and_escalates_once(row: ChildSpec) -> None:
    """Ten crashes in five seconds: ``intensity`` restarts, then the row's way of giving up, exactly once (D5)."""
    tree = Tree(row.kind)
    commands = [command for n in range(10) for command in tree.crash(row.kind, now=n * 0.5)]
    escalations = [command for command in commands if isinstance(command, ESCALATIONS)]
    first = commands.index(escalations[0])
    assert (row.intensity, GIVING_UP[row.on_giving_up]) == (len(commands[:first]), kinds_of(escalations))


def test_the_trade_lane_is_never_restarted_in_place() -> None:
    """A crashed sender may have sent: halt and leave, whatever the intensity would allow."""
    policy = SupervisionPolicy([msgspec.structs.replace(spec_for("trade_lane", "trade"), intensity=5)])
    event = ChildCrashed(name="trade", epoch=policy.open_epoch("trade"), reason="boom")
    assert ["Halt", "ExitProcess"] == kinds_of(policy.handle(event, 0.0, 0.0))


def test_failures_older_than_the_period_are_forgotten() -> None:
    """A crash every half minute never exhausts 3 in 60 s."""
    tree = Tree("order_tracker")
    assert {"RestartChild"} == {kind for n in range(50) for kind in kinds_of(tree.crash("order_tracker", now=n * 30.0))}


@given(jitter=st.floats(0.0, 1.0, exclude_max=True), failures=st.integers(1, 5))
def test_the_delay_is_spread_between_the_minimum_and_a_doubling_ceiling(jitter: float, failures: int) -> None:
    """Full jitter, never below the minimum, never above min * 2^n nor the maximum."""
    tree = Tree("account_feed")
    spec = spec_for("account_feed", "account_feed")
    for _ in range(failures):
        restart = tree.crash("account_feed", jitter=jitter)[0]
    assert isinstance(restart, RestartChild)
    assert spec.backoff_min_s <= restart.delay_s <= min(spec.backoff_max_s, spec.backoff_min_s * 2.0**failures)


def test_the_delay_reaches_its_maximum_and_stays_there() -> None:
    """The ceiling stops at 30 s for a spec that fails often."""
    spec = ChildSpec(
        name="a",
        kind="a",
        restart="permanent",
        intensity=100,
        period_s=1e9,
        backoff_min_s=0.25,
        backoff_max_s=30.0,
        beat_limit_s=1.0,
        on_giving_up="exit",
    )
    policy = SupervisionPolicy([spec])
    epoch = policy.open_epoch("a")
    for _ in range(20):
        (restart,) = policy.handle(ChildCrashed(name="a", epoch=epoch, reason=""), 0.0, 1.0)
        assert isinstance(restart, RestartChild)
        epoch = restart.epoch
    assert restart.delay_s == 30.0


def test_an_event_of_an_older_epoch_changes_nothing() -> None:
    """A zombie that falls over does not take its successor with it (I25)."""
    tree = Tree("hedger")
    stale = ChildCrashed(name="hedger", epoch=tree.epochs["hedger"], reason="late")
    tree.crash("hedger")
    assert () == tree.policy.handle(stale, 1.0, 0.0)


def test_a_start_that_fails_counts_as_a_failure_of_the_new_epoch() -> None:
    """No ChildStarted came in between, and still it is retried."""
    tree = Tree("hedger")
    (restart,) = tree.policy.handle(ChildCrashed(name="hedger", epoch=tree.epochs["hedger"], reason=""), 0.0, 0.0)
    assert isinstance(restart, RestartChild)
    again = tree.policy.handle(ChildCrashed(name="hedger", epoch=restart.epoch, reason=""), 0.1, 0.0)
    assert ["RestartChild"] == kinds_of(again)


def test_who_builds_on_a_failed_tracker_is_rebuilt_with_it() -> None:
    """Hedger and quoter are restarted after it, in start order; feeds and lanes are left alone."""
    tree = Tree("trade_lane", "order_tracker", "account_feed", "hedger", "quoter")
    restarts = [command.name for command in tree.crash("order_tracker") if isinstance(command, RestartChild)]
    assert ["order_tracker", "hedger", "quoter"] == restarts


def test_who_was_started_before_the_failed_child_does_not_build_on_it() -> None:
    """Only what comes later in start order is rebuilt."""
    restarts = [
        command.name for command in Tree("hedger", "order_tracker").crash("order_tracker") if isinstance(command, RestartChild)
    ]
    assert ["order_tracker"] == restarts


def test_a_failed_hedger_touches_nobody_else() -> None:
    """One for one where nothing builds on the child (D1)."""
    tree = Tree("rate_limiter", "order_tracker", "account_feed", "hedger", "quoter")
    assert [("RestartChild", "hedger")] == [(type(each).__name__, getattr(each, "name", "")) for each in tree.crash("hedger")]


def test_a_dependent_that_waits_for_its_own_restart_keeps_its_turn() -> None:
    """It is down already: neither stopped nor given a second start."""
    tree = Tree("order_tracker", "hedger")
    tree.policy.handle(ChildCrashed(name="hedger", epoch=tree.epochs["hedger"], reason=""), 0.0, 0.0)
    commands = tree.crash("order_tracker")
    assert [("RestartChild", "order_tracker")] == [(type(each).__name__, getattr(each, "name", "")) for each in commands]


def test_a_given_up_feed_is_probed_once_a_period() -> None:
    """The poller carries on; the feed tries once a minute and does not escalate again."""
    tree = Tree("account_feed")
    for _ in range(6):
        last = tree.crash("account_feed")
    probes = [command for n in range(20) for command in tree.crash("account_feed", now=60.0 * n)]
    delays = {command.delay_s for command in (last[-1], *probes) if isinstance(command, RestartChild)}
    assert ({"RestartChild"}, {60.0}) == (set(kinds_of(probes)), delays)


def fallen_back() -> Tree:
    tree = Tree("account_feed")
    for _ in range(6):
        tree.crash("account_feed")
    return tree


def test_two_good_syncs_end_the_fallback() -> None:
    """The first agreement is not enough."""
    tree = fallen_back()
    assert ((), (StopFallback(name="account_feed"),)) == (tree.sync("account_feed"), tree.sync("account_feed"))


def test_a_crash_between_two_syncs_starts_the_count_over() -> None:
    """Two good syncs in a row are meant."""
    tree = fallen_back()
    tree.sync("account_feed")
    tree.crash("account_feed", now=60.0)
    assert () == tree.sync("account_feed")


def test_after_a_recovery_the_feed_has_its_whole_budget_again() -> None:
    """Old failures are forgiven: the next crash is a restart, not a fallback."""
    tree = fallen_back()
    tree.sync("account_feed")
    tree.sync("account_feed")
    assert ["RestartChild"] == kinds_of(tree.crash("account_feed"))


def test_syncs_of_a_healthy_feed_mean_nothing() -> None:
    """There is no fallback to stop."""
    tree = Tree("account_feed")
    assert ((), (), ()) == (tree.sync("account_feed"), tree.sync("account_feed"), tree.sync("account_feed"))


def test_one_thread_too_many_abandoned_ends_the_process() -> None:
    """Three zombies are borne, whoever they were; with the fourth only a new process helps."""
    tree = Tree("market_feed", "account_feed")
    names = ("market_feed", "account_feed")
    borne = [kinds_of(tree.wedge(names[n % 2], now=n * 1000.0, abandoned=n + 1)) for n in range(MAX_ABANDONED)]
    last = kinds_of(tree.wedge("market_feed", now=9000.0, abandoned=MAX_ABANDONED + 1))
    assert ([["RestartChild"]] * MAX_ABANDONED, ["Halt", "ExitProcess"]) == (borne, last)


def test_nothing_is_ordered_after_the_exit() -> None:
    """The process is on its way out: no restart races with it."""
    tree = Tree("trade_lane", "hedger")
    tree.crash("trade_lane")
    assert () == tree.crash("hedger")


def test_a_silent_child_is_restarted() -> None:
    """Alive, not stuck, and nothing comes: a failure like another."""
    tree = Tree("account_feed")
    event = ChildSilent(name="account_feed", epoch=tree.epochs["account_feed"], reason="no frame")
    assert ["RestartChild"] == kinds_of(tree.policy.handle(event, 0.0, 0.0))


@pytest.mark.parametrize(
    ("kind", "expected"), [("quoter", []), ("hedger", ["RestartChild"]), ("trade_lane", ["Halt", "ExitProcess"])]
)
def test_an_end_without_being_asked_is_a_failure_unless_transient(kind: str, expected: list[str]) -> None:
    """Only a transient child may stop by its own will."""
    tree = Tree(kind)
    assert expected == kinds_of(tree.policy.handle(ChildEnded(name=kind, epoch=tree.epochs[kind]), 0.0, 0.0))


def test_the_beat_limit_grows_by_the_deadline_of_the_io_call() -> None:
    """A lane may block for its total deadline plus a second (RELIABILITY §3.1)."""
    assert 6.0 == spec_for("trade_lane", "trade:grvt", longest_call_s=5.0).beat_limit_s


def test_two_children_of_one_name_are_refused() -> None:
    """Names are keys."""
    policy = SupervisionPolicy([spec_for("quoter", "quoter")])
    with pytest.raises(ValueError, match="quoter"):
        policy.add(spec_for("quoter", "quoter"))


NAMES = ("rate_limiter", "query_lane", "order_tracker", "account_feed", "hedger", "quoter")
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from("cws"), st.floats(0.0, 40.0)), max_size=60)


def run(steps: Sequence[tuple[str, str, float]]) -> list[tuple[float, SupervisionCommand]]:
    tree, now, log = Tree(*NAMES), 0.0, []
    for name, what, gap_s in steps:
        now += gap_s
        commands = tree.crash(name, now) if what == "c" else tree.wedge(name, now) if what == "w" else tree.sync(name)
        log += [(now, command) for command in commands]
    return log


@given(steps=STEPS)
def test_epochs_rise_strictly_over_all_children(steps: list[tuple[str, str, float]]) -> None:
    """No two starts share an epoch, and a later start has the larger one."""
    epochs = [command.epoch for _, command in run(steps) if isinstance(command, RestartChild)]
    assert sorted(set(epochs)) == epochs


@given(steps=STEPS)
def test_the_process_is_left_at_most_once_and_finally(steps: list[tuple[str, str, float]]) -> None:
    """ExitProcess, if it comes, is the last word."""
    log = [command for _, command in run(steps)]
    exits = [n for n, command in enumerate(log) if isinstance(command, ExitProcess)]
    assert exits in ([], [len(log) - 1])


@given(steps=STEPS)
def test_no_window_holds_more_restarts_than_the_intensity(steps: list[tuple[str, str, float]]) -> None:
    """For the query lane, which nothing else restarts: at most 5 in any 60 s."""
    times = [at for at, command in run(steps) if isinstance(command, RestartChild) and command.name == "query_lane"]
    assert all(sum(start <= at < start + 60.0 for at in times) <= 5 for start in times)
