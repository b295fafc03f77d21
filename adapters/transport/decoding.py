"""JSON decoders that several threads may ask for at once.

msgspec 0.22 learns a struct's fields at the first use of its type, without a lock; two threads that meet there end the process (SIGSEGV).
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_lock = threading.Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder_of(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The one decoder of ``kind``; made under a lock, used without."""
    found = _decoders.get(kind)
    if found is None:
        with _lock:
            found = _decoders.get(kind) or msgspec.json.Decoder(kind)
            _decoders[kind] = found
    return found
