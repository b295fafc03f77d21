"""What kind of frame or error body the venue sent; its content is ``parse``'s business (grvt.md §2, §6).

Pure. It must never take a page of a proxy for the venue's word.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import msgspec

from adapters.grvt import models
from adapters.grvt.values import Rule, WireRefused, redacted, uint

T = TypeVar("T")


class Confirmed(NamedTuple):
    """Answer to a subscribe request; ``first_sequence`` of the selector at the same index, where given."""

    request_id: int
    stream: str
    selectors: tuple[str, ...]
    first_sequence: tuple[int, ...]


class Failed(NamedTuple):
    """An error on the socket; ``request_id`` None or 0 where it belongs to no request of ours."""

    request_id: int | None
    code: int
    message: str


class Feed(NamedTuple):
    """A data frame: ``sequence`` 0 is a snapshot; ``feed`` is still encoded."""

    stream: str
    selector: str
    sequence: int
    previous: int | None
    feed: bytes


def envelope(frame: bytes) -> Confirmed | Failed | Feed:
    """What kind of frame this is (grvt.md §2); lite and legacy dialects are refused, errors of any dialect with full names read."""
    found = decode(_ENVELOPE, frame)
    if found.error is not None:
        return Failed(found.id, uint(found.error.code, "code", 32), redacted(found.error.message or ""))
    if found.code is not None:
        return Failed(None, found.code, redacted(found.message or ""))
    if bytes(found.feed) and found.stream and found.sequence_number is not None:
        previous = found.prev_sequence_number
        return Feed(
            stream=found.stream,
            selector=found.selector,
            sequence=uint(found.sequence_number, "sequence_number", 64),
            previous=None if previous is None else uint(previous, "prev_sequence_number", 64),
            feed=bytes(found.feed),
        )
    if bytes(found.result) and found.id is not None:
        answer = decode(_SUBSCRIBED, bytes(found.result))
        first = tuple(uint(value, "first_sequence_number", 64) for value in answer.first_sequence_number)
        return Confirmed(found.id, answer.stream, answer.subs, first)
    raise WireRefused(Rule.UNKNOWN_KIND, "neither an answer nor a feed frame")


def error_of(body: bytes) -> tuple[int, str] | None:
    """(code, message) of a typed REST error, or None: an HTML page of a proxy is not the venue's word."""
    try:
        found = decode(_ERROR, body)
        return uint(found.code, "code", 32), redacted(found.message or "")[:200]
    except WireRefused:
        return None


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Typed JSON or WireRefused; deep nesting and bad UTF-8 are no errors of msgspec's own."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise WireRefused(Rule.WRONG_SHAPE, str(error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireRefused(Rule.NOT_JSON, type(error).__name__) from None


_ENVELOPE = msgspec.json.Decoder(models.Envelope)
_SUBSCRIBED = msgspec.json.Decoder(models.Subscribed)
_ERROR = msgspec.json.Decoder(models.ErrorBody)
