"""What happened in one run, in order: messages between actors, facts at the venues, strokes of the nemesis. Checkers and people read it."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from core.messages import BookUpdated, Message, OrderSnapshot, PlaceOrder
from tests.sim.scenario import START_S

WORLD = "world"
_TOLD = ("at", "received_at", "asked_at", "symbol", "venue_time_ms", "fee", "fee_currency", "source")


class Entry(NamedTuple):
    """``what``: a message, or a line about the world."""

    at: float
    who: str
    what: Message | str


class History:
    """Append-only. ``entries`` keep messages as they are; words are made of them only when somebody wants to read."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, at: float, who: str, what: Message | str) -> None:
        self.entries.append(Entry(at, who, what))

    def digest(self) -> str:
        """Equal for two runs only if they were the same to the last byte."""
        whole = hashlib.sha256()
        for at, who, what in self.entries:
            whole.update(f"{at!r} {who} {what!r}\n".encode())
        return whole.hexdigest()[:16]

    def lines(self, *, books: bool = False) -> Iterator[str]:
        for at, who, what in self.entries:
            if books or not isinstance(what, BookUpdated):
                yield f"{at - START_S:9.3f}  {who:<22} {what if isinstance(what, str) else words(what)}"


def words(message: Message) -> str:
    """One message in one line for a person."""
    parts = []
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if name in _TOLD or value in ("", None, False, ()):
            continue
        parts.append(f"{name}={_word(value)}" if not isinstance(value, (OrderSnapshot, PlaceOrder)) else _word(value))
    return f"{type(message).__name__} {' '.join(parts)}"


def _word(value: object) -> str:
    match value:
        case enum.Enum():
            return str(value.value)
        case Decimal():
            return f"{value:f}"
        case PlaceOrder():
            flags = f"{' post-only' * value.post_only}{' reduce-only' * value.reduce_only}"
            return f"#{value.client_order_id} {value.role.value} {value.side.value} {value.quantity}@{value.price}{flags}"
        case OrderSnapshot():
            seen = f"{value.recorded_quantity}/{value.filled_quantity}/{value.quantity}"
            return f"#{value.client_order_id} {value.role.value} {value.side.value} {seen} {value.state.value} {value.reason}"
        case Message():
            return f"[{words(value)}]"
        case tuple() if len(value) > 3:
            return f"<{len(value)}>"
        case tuple():
            return "(" + ", ".join(_word(each) for each in value) + ")"
        case _:
            return str(value)
