"""Whatever a venue sends becomes a sound fact or is refused by the typed rule; nothing else happens (RELIABILITY.md B4-B9)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.transport.stream import SessionFailed
from core.messages import FrameRejected, OrderReported
from core.types import OrderState
from tests.adapters.apex import content as apex
from tests.adapters.backpack import content as backpack
from tests.adapters.content import (
    GARBAGE,
    NOW,
    PLAIN,
    SENT,
    Reader,
    amounts,
    encoded,
    is_sound,
    mistyped,
    outcome,
    parts,
    paths,
    replaced,
    strange_numbers,
    with_news,
    with_word,
)
from tests.adapters.grvt import content as grvt
from tests.process.kit import by_night

VENUES: dict[str, Any] = {"grvt": grvt, "backpack": backpack, "apex": apex}
READERS: list[Reader] = [reader for venue in VENUES.values() for reader in venue.READERS]
CHANNELS = ("account", "market")
NEW_WORD = "MELTED"
each_reader = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
each_venue = pytest.mark.parametrize("venue", VENUES)


@each_reader
def test_the_sample_is_read(reader: Reader) -> None:
    """Otherwise the tests below would prove nothing."""
    facts = reader.read(encoded(reader.sample))
    assert (True, True) == (is_sound(facts), bool(amounts(facts)))


# ---- B4: cuts --------------------------------------------------------------------------------------------------------------------


@each_reader
def test_a_sample_cut_at_any_byte_is_refused(reader: Reader) -> None:
    raw = encoded(reader.sample)
    assert [] == [raw[:length] for length in range(len(raw)) if outcome(reader, raw[:length]) is not None]


@each_venue
@pytest.mark.parametrize("channel", ["account", *by_night("market")])
def test_a_recorded_frame_cut_at_any_byte_is_rejected_and_changes_nothing(venue: str, channel: str) -> None:
    """One FrameRejected and nothing else; the whole frame is then read as by a session that has seen none of its cuts."""
    make = VENUES[venue].SESSIONS[channel]
    for raw in VENUES[venue].recorded_frames():
        session = make()
        for length in range(len(raw)):
            (message,) = session.received(raw[:length], NOW)
            assert isinstance(message, FrameRejected), raw[:length]
        assert heard(make(), raw) == heard(session, raw)


def heard(session: Any, raw: bytes) -> object:
    try:
        return tuple(session.received(raw, NOW))
    except SessionFailed as failed:
        return failed.reason


@each_venue
def test_a_recorded_body_cut_at_any_byte_is_refused(venue: str) -> None:
    """By every parser that reads the whole of it; one that nobody reads, by the first of them."""
    parsers = VENUES[venue].BODY_PARSERS
    for raw in VENUES[venue].recorded_bodies():
        readers = [Reader("", None, parse) for parse in parsers]
        for reader in [reader for reader in readers if outcome(reader, raw) is not None] or readers[:1]:
            assert [] == [raw[:length] for length in range(len(raw)) if outcome(reader, raw[:length]) is not None]


# ---- B5: garbage -----------------------------------------------------------------------------------------------------------------


@each_reader
@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_refused(reader: Reader, raw: bytes) -> None:
    assert outcome(reader, raw) is None


@each_reader
def test_trailing_bytes_are_refused(reader: Reader) -> None:
    """Two values in one frame: neither is believed."""
    raw = encoded(reader.sample)
    assert [None] * 3 == [outcome(reader, raw + more) for more in (b"}", b"x", raw)]


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@each_venue
@given(raw=st.binary(max_size=100) | JSON.map(encoded))
def test_any_bytes_are_read_soundly_or_refused(venue: str, raw: bytes) -> None:
    """Each of them by every reader of the venue."""
    read = [(reader.name, facts) for reader in VENUES[venue].READERS if (facts := outcome(reader, raw)) is not None]
    assert [] == [(name, facts) for name, facts in read if not is_sound(facts)]


@each_venue
@given(data=st.data())
def test_any_value_in_any_field_is_read_soundly_or_refused(venue: str, data: st.DataObject) -> None:
    """Of every reader of the venue."""
    reader: Reader = data.draw(st.sampled_from(VENUES[venue].READERS))
    path = data.draw(st.sampled_from(list(paths(reader.sample))))
    facts = outcome(reader, encoded(replaced(reader.sample, path, data.draw(JSON))))
    assert facts is None or is_sound(facts)


# ---- B6, B7: fields --------------------------------------------------------------------------------------------------------------


@each_reader
def test_a_field_of_another_type_is_refused_or_invents_nothing(reader: Reader) -> None:
    """What is read then has no number but those that were sent, and is silent only where the field says whose row it is."""
    known = amounts(reader.read(encoded(reader.sample)))
    wrong = []
    for path, kind, raw in mistyped(reader.sample):
        facts = outcome(reader, raw)
        if facts is None:
            continue
        is_row_gone = kind == "missing" and isinstance(path[-1], int)
        may_be_silent = is_row_gone or reader.silent & set(path)
        sent = known | ({SENT[kind]} if kind in SENT else set()) | ({Decimal(0)} if may_be_silent else set())
        if not (is_sound(facts) and amounts(facts) <= sent and (amounts(facts) or may_be_silent)):
            wrong.append((path, kind, facts))
    assert [] == wrong


@each_reader
def test_a_number_that_no_market_has_is_refused_or_read_by_nobody(reader: Reader) -> None:
    """NaN, infinite, gigantic, endless, empty, hexadecimal: no fact has it. A sign may be read where there can be one."""
    known = amounts(reader.read(encoded(reader.sample)))
    wrong = []
    for path, kind, raw in strange_numbers(reader.sample):
        facts = outcome(reader, raw)
        read = known | {PLAIN[kind]} if kind in PLAIN else known
        if facts is not None and not (is_sound(facts) and amounts(facts) <= read):
            wrong.append((path, kind, facts))
    assert [] == wrong


# ---- B8, B9: news ----------------------------------------------------------------------------------------------------------------


def reports(facts: object) -> list[OrderReported]:
    return [part for part in parts(facts) if isinstance(part, OrderReported)]


@pytest.mark.parametrize(
    ("reader", "field"),
    [pytest.param(reader, field, id=f"{reader.name}-{field}") for reader in READERS for field in reader.words],
)
def test_an_unknown_word_is_asked_about_refused_or_read_by_nobody(reader: Reader, field: str) -> None:
    """An order of an unknown status is told as UNKNOWN, with the word, and keeps its quantities; what decides over money is refused."""
    before = reader.read(encoded(reader.sample))
    raw = encoded(with_word(reader.sample, field, NEW_WORD))
    assert NEW_WORD.encode() in raw
    after = outcome(reader, raw)
    match reader.words[field]:
        case "refused":
            assert after is None
        case "ignored":
            assert known_part(before) == known_part(after)
        case "asked":
            found = [(report.state, report.reason, report.filled_quantity) for report in reports(after)]
            assert [(OrderState.UNKNOWN, NEW_WORD, report.filled_quantity) for report in reports(before)] == found


def known_part(facts: object) -> object:
    """Without the reason, which only people read."""
    return [msgspec.structs.replace(report, reason="") for report in reports(facts)] or facts


@each_reader
def test_unknown_fields_change_nothing(reader: Reader) -> None:
    """In every object of the frame or body, at its beginning."""
    assert reader.read(encoded(reader.sample)) == outcome(reader, encoded(with_news(reader.sample)))


@each_venue
@pytest.mark.parametrize("channel", CHANNELS)
def test_an_unknown_kind_of_frame_is_rejected_alone(venue: str, channel: str) -> None:
    """The conversation goes on where the venue merely speaks of something new; what is rejected is counted by the loop."""
    for raw in VENUES[venue].NEWS:
        (message,) = VENUES[venue].SESSIONS[channel]().received(raw, NOW)
        assert isinstance(message, FrameRejected)
