"""What a venue may send instead of what it should: cuts, wrong types, strange numbers, unknown words; and what must never come of it.

A ``Reader`` is one place where an adapter turns bytes into facts. Nothing here knows a venue; each venue names its readers.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import msgspec

from adapters.transport.stream import Session, SessionFailed
from core.messages import BookLost, BookUpdated, FillReported, FrameRejected, Message, OrderReported

NOW = 100.0
Path = tuple[str | int, ...]
Fate = Literal["asked", "refused", "ignored"]
SUBSTITUTES: dict[str, Any] = {"text": "x", "whole": 7, "fraction": 0.5, "null": None, "list": [], "object": {}, "flag": True}
SENT = {"whole": Decimal(7), "fraction": Decimal("0.5")}
"""Of the substitutes, those that are numbers: a field that takes numbers as text takes them bare as well."""
NUMBER_TEXTS = ("NaN", "sNaN", "Infinity", "-Infinity", "1e400", "1e-400", "-0", "-1", "", "1" * 40, "0x10", "1_000", " 1", "١")
NUMBER_TOKENS = ("NaN", "Infinity", "-Infinity", "1e400", "1e-400", "-0", "-1", "1" * 40, "0x10", "01")
PLAIN = {"-0": Decimal(0), "-1": Decimal(1), "1_000": Decimal(1000), " 1": Decimal(1), "١": Decimal(1)}
"""Sizes of those that may be read, where a sign, a grouping or foreign digits are taken; the others are nothing that a fact may hold."""
GARBAGE = {
    "nothing": b"",
    "blank": b" ",
    "null": b"null",
    "number": b"1",
    "empty object": b"{}",
    "list of nothing": b"[null]",
    "page": b"<html><body>502 Bad Gateway</body></html>",
    "bad UTF-8": b'{"stream":"\xff\xfe"}',
    "deep": b'{"x":' + b"[" * 200_000,
    "long text": b'"' + b"x" * 10_000_000 + b'"',
}
_NUMERIC = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_MARK = "\x00mark"


class Refused(Exception):
    """The bytes became no fact: refused by the typed rule, or the end of the conversation."""


class Reader(NamedTuple):
    """``sample`` is a JSON value that ``read`` accepts; ``read`` raises Refused and nothing else.

    ``words``: what becomes of an unknown word in a field of that name: the order is marked to be asked for, the bytes are refused, or
    nobody reads the word. ``silent``: names of fields by which rows may turn out to be absent or none of ours, so that nothing is told.
    """

    name: str
    sample: Any
    read: Callable[[bytes], Sequence[object]]
    words: Mapping[str, Fate] = {}
    silent: frozenset[str] = frozenset()


def session_reader(make: Callable[[], Session]) -> Callable[[bytes], Sequence[Message]]:
    """Reads one frame with a new session. A refusal is one FrameRejected and nothing beside it; a book withdrawn is a fact of nothing."""

    def read(raw: bytes) -> Sequence[Message]:
        try:
            messages = make().received(raw, NOW)
        except SessionFailed as error:
            raise Refused(error.reason) from None
        if any(isinstance(message, FrameRejected) for message in messages):
            assert len(messages) == 1, "a refused frame told something else too"
            raise Refused
        if any(isinstance(message, BookLost) for message in messages):
            raise Refused
        return messages

    return read


def body_reader(parse: Callable[[bytes], object], refusal: type[Exception]) -> Callable[[bytes], Sequence[object]]:
    """Reads one REST body; ``refusal`` is the adapter's typed rule."""

    def read(raw: bytes) -> Sequence[object]:
        try:
            return (parse(raw),)
        except refusal as error:
            raise Refused(str(error)) from None

    return read


def outcome(reader: Reader, raw: bytes) -> Sequence[object] | None:
    """The facts, or None where the bytes were refused."""
    try:
        return reader.read(raw)
    except Refused:
        return None


# ---- variants --------------------------------------------------------------------------------------------------------------------


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def paths(value: Any, so_far: Path = ()) -> Iterator[Path]:
    """Every field and list entry, parents first."""
    children: Sequence[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, child in children:
        yield (*so_far, key)
        yield from paths(child, (*so_far, key))


def at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def replaced(value: Any, path: Path, new: object) -> Any:
    changed = copy.deepcopy(value)
    at(changed, path[:-1])[path[-1]] = new
    return changed


def without(value: Any, path: Path) -> Any:
    changed = copy.deepcopy(value)
    del at(changed, path[:-1])[path[-1]]
    return changed


def mistyped(value: Any) -> Iterator[tuple[Path, str, bytes]]:
    """Each field as each other JSON type, and missing."""
    for path in paths(value):
        yield path, "missing", encoded(without(value, path))
        for kind, substitute in SUBSTITUTES.items():
            if type(substitute) is not type(at(value, path)):
                yield path, kind, encoded(replaced(value, path, substitute))


def strange_numbers(value: Any) -> Iterator[tuple[Path, str, bytes]]:
    """Each number, whether written as text or as a number, as each strange one."""
    for path in paths(value):
        found = at(value, path)
        if isinstance(found, bool) or not _NUMERIC.fullmatch(str(found)):
            continue
        for text in NUMBER_TEXTS:
            yield path, text, encoded(replaced(value, path, text))
        marked = encoded(replaced(value, path, _MARK))
        for token in NUMBER_TOKENS:
            yield path, token, marked.replace(encoded(_MARK), token.encode())


def with_word(value: Any, name: str, word: str) -> Any:
    """``word`` in every field called ``name``."""
    for path in paths(value):
        if path[-1] == name:
            value = replaced(value, path, word)
    return value


def with_news(value: Any) -> Any:
    """A field that no rule knows in every object."""
    if isinstance(value, dict):
        return {"brandNew": {"x": [1, None]}, **{key: with_news(child) for key, child in value.items()}}
    return [with_news(child) for child in value] if isinstance(value, list) else value


# ---- what must hold of facts -----------------------------------------------------------------------------------------------------


def parts(fact: object) -> Iterator[object]:
    """The fact and everything in it."""
    yield fact
    if isinstance(fact, msgspec.Struct):
        children: Sequence[object] = list(msgspec.structs.asdict(fact).values())
    elif isinstance(fact, dict):
        children = [*fact, *fact.values()]
    else:
        children = fact if isinstance(fact, tuple | list) else ()
    for child in children:
        yield from parts(child)


def amounts(facts: Sequence[object]) -> set[Decimal]:
    """Sizes of all numbers in ``facts``, without their signs."""
    return {abs(part) for part in parts(list(facts)) if isinstance(part, Decimal)}


def is_sound(facts: Sequence[object]) -> bool:
    """No number that a market cannot have (I16), and no order or fill without its key."""
    for part in parts(list(facts)):
        match part:
            case Decimal() if not (part.is_finite() and abs(part) < 10**19):
                return False
            case FillReported() if not (part.price > 0 and part.quantity > 0 and part.trade_id):
                return False
            case OrderReported() if not (part.filled_quantity >= 0 and (part.venue_order_id or part.client_order_id is not None)):
                return False
            case OrderReported() if any(number is not None and number <= 0 for number in (part.price, part.quantity)):
                return False
            case BookUpdated() if any(price <= 0 or size <= 0 for price, size in part.bids + part.asks):
                return False
    return True
