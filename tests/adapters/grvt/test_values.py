"""Numbers, ids and redaction."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.grvt.values import (
    Rule,
    WireRefused,
    client_order_id,
    head_of,
    not_negative,
    number,
    positive,
    unix_ms,
    venue_order_id,
    wire_client_order_id,
)
from core.types import ClientOrderId


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("NaN", Rule.NOT_FINITE),
        ("-Infinity", Rule.NOT_FINITE),
        ("inf", Rule.NOT_FINITE),
        ("", Rule.NOT_A_NUMBER),
        ("1_000", Rule.NOT_A_NUMBER),
        (" 1", Rule.NOT_A_NUMBER),
        ("1.", Rule.NOT_A_NUMBER),
        ("0x10", Rule.NOT_A_NUMBER),
        ("١", Rule.NOT_A_NUMBER),
        ("1" * 40, Rule.TOO_LONG),
        ("1" * 41, Rule.TOO_LONG),
        ("1." + "1" * 30, Rule.TOO_LONG),
        ("1e99", Rule.TOO_LONG),
        ("1e-99", Rule.TOO_LONG),
    ],
)
def test_strange_numbers_are_refused_by_their_rule(text: str, rule: Rule) -> None:
    """Each kind of non-number has one rule that refuses it."""
    with pytest.raises(WireRefused) as caught:
        number(text, "price")
    assert rule is caught.value.rule


@given(st.decimals(min_value="-1e12", max_value="1e12", places=9, allow_nan=False))
def test_every_plain_decimal_is_read_exactly(value: Decimal) -> None:
    """No digit is lost between the venue's text and the Decimal."""
    assert value == number(f"{value:f}", "price")


def test_minus_zero_is_zero() -> None:
    """A negative zero would be a zero with a side."""
    assert not number("-0.0", "fee").is_signed()


@pytest.mark.parametrize(("read", "text", "rule"), [(not_negative, "-1", Rule.NEGATIVE), (positive, "0.0", Rule.ZERO)])
def test_signs_are_checked_where_they_matter(read: object, text: str, rule: Rule) -> None:
    """A negative size and a price of zero are refused."""
    with pytest.raises(WireRefused) as caught:
        read(text, "size")  # type: ignore[operator]
    assert rule is caught.value.rule


@pytest.mark.parametrize("raw", ["0", "0x0", "0x00", "", 0])
def test_a_zero_order_id_is_no_id(raw: str | int) -> None:
    """create_order answers with the placeholder 0x00."""
    assert venue_order_id(raw) is None


@given(st.integers(min_value=1, max_value=2**128 - 1))
def test_an_order_id_has_one_spelling(value: int) -> None:
    """Hex and decimal of the same number are the same id."""
    assert venue_order_id(hex(value)) == venue_order_id(str(value)) == venue_order_id(f"0x{value:032X}")


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_client_ids_round_trip(counter: int) -> None:
    """What we send as a client order id comes back as our counter."""
    assert counter == client_order_id(wire_client_order_id(ClientOrderId(counter)))


@pytest.mark.parametrize("raw", ["0", "99191900", str(2**63 - 1), ""])
def test_the_lower_half_is_foreign(raw: str) -> None:
    """Ids of the web interface are never taken for ours."""
    assert client_order_id(raw) is None


@pytest.mark.parametrize("raw", [str(2**64), "-1", "12x", "1.5"])
def test_impossible_client_ids_are_refused(raw: str) -> None:
    """An id outside uint64 refuses the frame."""
    with pytest.raises(WireRefused):
        client_order_id(raw)


def test_a_counter_outside_the_space_is_a_programming_error() -> None:
    """2**63 + counter would wrap into the foreign half."""
    with pytest.raises(ValueError, match="does not fit"):
        wire_client_order_id(ClientOrderId(2**63))


def test_times_are_milliseconds() -> None:
    """The venue counts nanoseconds."""
    assert unix_ms("1767354369431470728", "event_time") == 1_767_354_369_431


def test_the_head_of_a_frame_holds_no_secret() -> None:
    """Signatures and cookies are removed before the cut."""
    frame = b'{"signature":{"r":"0x%s","s":"0x%s"},"c":"gravity=secretcookie; x","x":"0x%s"}' % (
        b"ab" * 32,
        b"cd" * 32,
        b"ef" * 32,
    )
    head = head_of(frame)
    assert [] == [word for word in ("abab", "cdcd", "efef", "secretcookie") if word in head]
