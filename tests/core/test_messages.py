"""Messages can be shared, hashed and read back from the journal exactly as they were written."""

from __future__ import annotations

import inspect as python_inspect

import msgspec
import pytest
from msgspec import inspect

from core import commands, messages
from core.messages import Message, OrderSnapshot
from core.types import OrderState, Side
from tests.core.builders import BUY, SELL, D, book, fill, ledger, place, report, snapshot

MESSAGES = sorted(
    {
        kind
        for module in (messages, commands)
        for _, kind in python_inspect.getmembers(module, python_inspect.isclass)
        if issubclass(kind, Message) and kind is not Message
    },
    key=lambda kind: kind.__name__,
)
EXAMPLES: list[Message] = [
    place(1),
    fill(place(1), "t1", "0.04"),
    report(place(1), OrderState.CANCELED, "0.04", venue_order_id="v"),
    ledger("hedger", snapshot(place(1), OrderState.UNKNOWN), grvt="-0.10"),
    book(place(1).venue),
]


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_a_message_is_frozen_and_tagged_with_its_own_name(kind: type[Message]) -> None:
    config = kind.__struct_config__
    assert (True, kind.__name__) == (config.frozen, config.tag)


@pytest.mark.parametrize("kind", [*MESSAGES, OrderSnapshot], ids=lambda kind: kind.__name__)
def test_a_message_holds_no_list_and_no_dictionary(kind: type[msgspec.Struct]) -> None:
    """A frozen struct that holds a list can be changed under another thread's hands."""
    struct = inspect.type_info(kind)
    assert isinstance(struct, inspect.StructType)
    assert [] == [
        field.name for field in struct.fields if isinstance(field.type, inspect.ListType | inspect.DictType | inspect.SetType)
    ]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_journal_unchanged(message: Message) -> None:
    assert message == msgspec.json.decode(msgspec.json.encode(message), type=type(message))


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_can_be_hashed(message: Message) -> None:
    assert hash(message) == hash(msgspec.structs.replace(message))


def test_everything_offered_exists() -> None:
    assert [] == [name for name in messages.__all__ if not hasattr(messages, name)]


@pytest.mark.parametrize(("side", "sign"), [(BUY, 1), (SELL, -1)])
def test_a_side_has_the_sign_of_what_it_does_to_a_position(side: Side, sign: int) -> None:
    assert (sign, side, side) == (side.sign, Side.of(D(sign)), side.opposite.opposite)


def test_zero_has_no_side() -> None:
    with pytest.raises(ValueError, match="zero"):
        Side.of(D(0))
