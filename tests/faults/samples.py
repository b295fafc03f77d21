"""A message of every type, made from its declaration: for handlers that are to fail, where the content is of no interest.

Its ids belong to nobody, so that a handler which does finish has nothing to act on.
"""

from __future__ import annotations

import enum
import time
import types
import typing
from decimal import Decimal
from typing import Any

import msgspec

from core.messages import Message
from core.types import ClientOrderId, VenueId

NOBODYS_ID = ClientOrderId(4_000_000_000)


def sample(kind: type[Message], venue: VenueId, **fields: Any) -> Message:
    """``fields`` replace what the declaration alone would give."""
    return typing.cast(Message, _struct(kind, venue, fields))


def _struct(kind: Any, venue: VenueId, fields: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    required = [field.name for field in msgspec.structs.fields(kind) if field.required and field.name not in fields]
    return kind(**{name: _value(name, hints[name], venue) for name in required}, **fields)


def _value(name: str, hint: Any, venue: VenueId) -> Any:
    if name == "venue":
        return venue
    if name == "symbol":
        return f"ETH@{venue}"
    if name.endswith("_at") or name == "at":
        return time.monotonic()
    if name == "client_order_id":
        return NOBODYS_ID
    return _of_type(getattr(hint, "__supertype__", hint), venue)


def _of_type(hint: Any, venue: VenueId) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint):
        return None
    if origin is typing.Literal:
        return typing.get_args(hint)[0]
    if origin is tuple:
        return ()
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return next(iter(hint))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _struct(hint, venue, {})
    return {str: "planted", int: 0, float: 0.0, bool: False, Decimal: Decimal("0.01")}[hint]
