"""Metrics are values: counting returns a new one, merging is adding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.metrics import BUCKET_BOUNDS_S, Counter, Histogram, Metrics

_durations = st.lists(st.floats(0.0002, 900), min_size=1, max_size=50)


def histogram_of(durations: list[float]) -> Histogram:
    histogram = Histogram()
    for duration in durations:
        histogram = histogram.with_sample(duration)
    return histogram


def test_outside_names_are_in_the_dump() -> None:
    """The names that dashboards read, present before anything was counted."""
    names = {
        "ws_events_received",
        "oco_success",
        "oco_failures",
        "avg_latency_ms",
        "ws_disconnects",
        "rest_fallback_triggers",
    }
    assert names <= Metrics().as_dict().keys()


def test_counting_leaves_the_old_value_alone() -> None:
    """A dump taken before stays what it was."""
    before = Metrics()
    before.counted(Counter.API_CALLS)
    assert 0 == before.count(Counter.API_CALLS)


def test_each_counter_counts_for_itself() -> None:
    """One counted up, every other untouched."""
    metrics = Metrics().counted(Counter.WS_DISCONNECTS, 3)
    assert {Counter.WS_DISCONNECTS: 3} == {counter: metrics.count(counter) for counter in Counter if metrics.count(counter)}


def test_merging_adds_counters_and_samples() -> None:
    """The health dump's sum over the actors."""
    one = Metrics().counted(Counter.API_CALLS, 2).timed(0.010)
    both = one.merged(Metrics().counted(Counter.API_CALLS, 3).timed(0.030))
    assert (5, 20.0) == (both.count(Counter.API_CALLS), both.as_dict()["avg_latency_ms"])


@given(_durations, st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_quantile_is_within_one_bucket_of_the_true_one(durations: list[float], share: float) -> None:
    """Never below the true quantile, and at most 26 % above."""
    rank = next(index for index in range(1, len(durations) + 1) if index >= share * len(durations))
    true = sorted(durations)[rank - 1]
    seen = histogram_of(durations).quantile_s(share)
    assert seen is not None
    assert true <= seen <= true * 1.26


@given(_durations, _durations)
def test_merged_histogram_is_that_of_all_samples(some: list[float], others: list[float]) -> None:
    """Counts add up whatever the split."""
    assert histogram_of(some + others).counts == histogram_of(some).merged(histogram_of(others)).counts


def test_durations_off_the_scale_are_kept_at_its_ends() -> None:
    """Nothing raises and nothing gets lost: shorter than the first bound, longer than the last, negative."""
    histogram = histogram_of([-1.0, 0.0, 1e9])
    assert (3, BUCKET_BOUNDS_S[0], BUCKET_BOUNDS_S[-1]) == (
        histogram.samples,
        histogram.quantile_s(0.5),
        histogram.quantile_s(1.0),
    )


def test_no_samples_no_quantile() -> None:
    """Nothing measured is not zero milliseconds."""
    assert (None, None) == (Histogram().quantile_s(0.99), Histogram().mean_s())
