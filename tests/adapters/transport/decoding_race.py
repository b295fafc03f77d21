"""A program: many threads decode the same new types for the first time, again and again. Its exit code says whether it survived."""

from __future__ import annotations

import sys
import threading
from typing import Any

import msgspec

from adapters.transport.decoding import decoder_of

THREADS = 8


def family(number: int) -> tuple[Any, Any]:
    """Two types that share a third, each of many fields."""
    fields = [(f"field_{index}", "int | None", None) for index in range(60)]
    shared = msgspec.defstruct(f"Shared{number}", fields)
    outer = [msgspec.defstruct(f"Outer{number}{name}", [("first", list[shared] | None, None), *fields]) for name in "AB"]
    return outer[0], outer[1]


def race(number: int) -> None:
    kinds, barrier = family(number), threading.Barrier(THREADS)

    def decode(kind: Any) -> None:
        barrier.wait()
        decoder_of(kind).decode(b'{"first": [{"field_1": 1}], "field_2": 2}')

    threads = [threading.Thread(target=decode, args=(kinds[index % 2],)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    sys.setswitchinterval(1e-6)
    for number in range(int(sys.argv[1])):
        race(number)
