"""The fallback: a stream that is away is polled for after its patience, and comes back into its place only after showing continuity."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.fallback import DEAF_FILLS, DEAF_GRACE_S, GOOD_SYNCS, MARKET_GRACE_S, PATIENCE_S, START_PATIENCE_S, FallbackPolicy
from core.messages import FillRecorded, Message, Resync, SetPolling, Tick, VenueReconciled
from core.types import Channel, FeedState, Source
from tests.core.builders import BACKPACK, GRVT, VENUES, feed, fill, of_type, place

FEEDS = tuple((venue, channel) for venue in VENUES for channel in Channel)
ACCOUNT, MARKET = Channel.ACCOUNT, Channel.MARKET


def policy(*, live: bool = True) -> FallbackPolicy:
    made = FallbackPolicy(FEEDS, 0.0)
    for venue, channel in FEEDS if live else ():
        made.handle(feed(venue, channel), 0.0)
    return made


def on(channel: Channel, *, is_on: bool = True) -> tuple[Message, ...]:
    return (SetPolling(venue=GRVT, channel=channel, is_on=is_on),)


def polled(channel: Channel = ACCOUNT) -> FallbackPolicy:
    """The poller stands in for GRVT's stream since second 11; the stream is live again since second 20."""
    made = policy()
    made.handle(feed(GRVT, channel, FeedState.DOWN), 10.0)
    made.handle(Tick(), 10.0 + PATIENCE_S)
    made.handle(feed(GRVT, channel), 20.0)
    return made


@pytest.mark.parametrize("state", [state for state in FeedState if state is not FeedState.LIVE])
def test_a_stream_that_is_not_live_for_longer_than_the_patience_is_polled_for(state: FeedState) -> None:
    made = policy()
    told = [made.handle(feed(GRVT, ACCOUNT, state), 10.0), made.handle(Tick(), 10.9), made.handle(Tick(), 10.0 + PATIENCE_S)]
    assert [(), (), on(ACCOUNT)] == told


def test_a_flapping_stream_is_polled_for_from_its_first_failure() -> None:
    """DOWN, CONNECTING, SYNCING, DOWN: the patience runs from the moment it was last live."""
    made = policy()
    for at, state in ((10.0, FeedState.DOWN), (10.4, FeedState.CONNECTING), (10.8, FeedState.SYNCING)):
        made.handle(feed(GRVT, ACCOUNT, state), at)
    assert on(ACCOUNT) == made.handle(feed(GRVT, ACCOUNT, FeedState.DOWN), 11.1)


def test_a_short_blink_is_not_polled_for() -> None:
    made = policy()
    made.handle(feed(GRVT, ACCOUNT, FeedState.DOWN), 10.0)
    made.handle(feed(GRVT, ACCOUNT), 10.5)
    assert () == made.handle(Tick(), 60.0)


def test_a_first_connection_is_given_more_time() -> None:
    made = policy(live=False)
    early = made.handle(Tick(), START_PATIENCE_S - 0.1)
    late = made.handle(Tick(), START_PATIENCE_S)
    assert (0, len(FEEDS)) == (len(early), len(late))


def test_polling_is_turned_on_once() -> None:
    made = policy()
    made.handle(feed(GRVT, ACCOUNT, FeedState.DOWN), 10.0)
    told = [made.handle(Tick(), at) for at in (12.0, 13.0)]
    assert ([on(ACCOUNT), ()], 1) == (told, made.triggers)


def test_only_the_lost_stream_is_polled_for() -> None:
    made = policy()
    made.handle(feed(GRVT, ACCOUNT, FeedState.DOWN), 10.0)
    made.handle(Tick(), 12.0)
    assert frozenset({(GRVT, ACCOUNT)}) == made.polled


def test_what_the_poller_itself_says_changes_nothing() -> None:
    made = policy()
    made.handle(feed(GRVT, ACCOUNT, FeedState.DOWN), 10.0)
    made.handle(feed(GRVT, ACCOUNT, FeedState.LIVE, Source.REST), 10.5)
    assert on(ACCOUNT) == made.handle(Tick(), 12.0)


def test_the_account_poller_leaves_after_two_reconciliations_since_the_return() -> None:
    made = polled()
    told = [made.handle(VenueReconciled(venue=GRVT, at=0.0), 21.0 + sync) for sync in range(GOOD_SYNCS)]
    assert [(), on(ACCOUNT, is_on=False)] == told


def test_time_alone_does_not_send_the_account_poller_away() -> None:
    assert () == polled().handle(Tick(), 1_000.0)


def test_a_new_outage_forgets_the_reconciliations_so_far() -> None:
    made = polled()
    made.handle(VenueReconciled(venue=GRVT, at=0.0), 21.0)
    made.handle(feed(GRVT, ACCOUNT, FeedState.DOWN), 22.0)
    made.handle(feed(GRVT, ACCOUNT), 23.0)
    assert () == made.handle(VenueReconciled(venue=GRVT, at=0.0), 24.0)


def test_a_reconciliation_during_the_outage_shows_nothing() -> None:
    made = policy()
    made.handle(feed(GRVT, ACCOUNT, FeedState.DOWN), 10.0)
    for at in (12.0, 13.0):
        made.handle(VenueReconciled(venue=GRVT, at=0.0), at)
    made.handle(feed(GRVT, ACCOUNT), 20.0)
    assert () == made.handle(Tick(), 30.0)


def test_the_other_venues_reconciliation_does_not_count() -> None:
    made = polled()
    told = [made.handle(VenueReconciled(venue=BACKPACK, at=0.0), 21.0 + sync) for sync in range(GOOD_SYNCS)]
    assert [(), ()] == told


def test_a_market_poller_leaves_after_the_grace_time() -> None:
    made = polled(MARKET)
    told = [made.handle(Tick(), 20.0 + MARKET_GRACE_S - 0.1), made.handle(Tick(), 20.0 + MARKET_GRACE_S)]
    assert [(), on(MARKET, is_on=False)] == told


@given(st.lists(st.tuples(st.sampled_from(FEEDS), st.sampled_from(FeedState), st.floats(0.01, 3.0)), max_size=60))
def test_on_and_off_alternate_for_each_stream(steps: list[tuple[tuple[str, Channel], FeedState, float]]) -> None:
    """No stream is ever polled for twice or released twice in a row, and ``polled`` says what was last told."""
    made, now = policy(), 0.0
    told: dict[tuple[str, Channel], list[bool]] = {key: [False] for key in FEEDS}
    for (venue, channel), state, seconds in steps:
        now += seconds
        for message in (feed(venue, channel, state), VenueReconciled(venue=venue, at=now), Tick()):  # type: ignore[arg-type]
            for command in made.handle(message, now):
                assert isinstance(command, SetPolling)
                told[command.venue, command.channel].append(command.is_on)
    assert all(before is not after for each in told.values() for before, after in pairwise(each))
    assert frozenset(key for key, each in told.items() if each[-1]) == made.polled


# ---- deafness -----------------------------------------------------------------------------------------------------------------


def found(source: Source, number: int = 1) -> FillRecorded:
    return FillRecorded(fill=fill(place(), str(number), "0.01", source=source), order=None, at=0.0)


def resyncs(made: FallbackPolicy, *told: Message, at: float = 100.0) -> list[Resync]:
    return [command for message in told for command in of_type(made.handle(message, at), Resync)]


def test_a_live_stream_that_tells_of_no_fill_while_reads_do_is_made_to_connect_anew() -> None:
    """Once, after the third fill in a row; the next three begin a new count."""
    made = policy()
    counts = [len(resyncs(made, found(Source.REST, number))) for number in range(2 * DEAF_FILLS)]
    assert [*[0] * (DEAF_FILLS - 1), 1] * 2 == counts


def test_the_stream_of_that_venue_is_the_one_that_is_blamed() -> None:
    (command,) = resyncs(policy(), *(found(Source.REST, number) for number in range(DEAF_FILLS)))
    assert (GRVT, ACCOUNT) == (command.venue, command.channel)


def test_a_fill_that_the_stream_tells_of_ends_the_suspicion() -> None:
    """Even one that was known by then: the stream is slow, not deaf."""
    made = policy()
    told = [found(Source.REST, number) for number in range(DEAF_FILLS - 1)]
    assert [] == resyncs(made, *told, fill(place(), "1", "0.01"), *told)


def test_a_fill_that_a_look_up_answers_with_is_no_word_of_the_stream() -> None:
    """Backpack's look-ups tell of fills in passing, in the same words as its stream."""
    made = policy()
    told = [found(Source.REST, number) for number in range(DEAF_FILLS - 1)]
    assert 1 == len(resyncs(made, *told, fill(place(), "1", "0.01", source=Source.REST), found(Source.REST, DEAF_FILLS)))


def test_what_a_reconciliation_finds_is_not_held_against_a_stream_that_has_just_returned() -> None:
    made = policy()
    made.handle(feed(GRVT, ACCOUNT, FeedState.DOWN), 10.0)
    made.handle(feed(GRVT, ACCOUNT), 100.0)
    fills = [found(Source.REST, number) for number in range(DEAF_FILLS)]
    assert [[], 1] == [resyncs(made, *fills, at=99.9 + DEAF_GRACE_S), len(resyncs(made, *fills, at=100.0 + DEAF_GRACE_S))]


def test_a_stream_that_is_down_is_not_told_to_connect() -> None:
    """It is at it, and reads are all there is."""
    made = policy()
    made.handle(feed(GRVT, ACCOUNT, FeedState.DOWN), 10.0)
    assert [] == resyncs(made, *(found(Source.REST, number) for number in range(DEAF_FILLS)))
