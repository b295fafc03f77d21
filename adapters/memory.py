"""What is known of the process's memory: what stays for good, and what the C library keeps in its free lists for itself.

A process that allocates buffers of all sizes on many threads for weeks is left with pages that hold nothing any more (I19, docs/soak.md).
"""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def give_back_memory() -> None:
    """A few milliseconds, the interpreter free meanwhile; nothing where the C library is not glibc."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_for_good() -> None:
    """What there is now the garbage collector never looks at again."""
    gc.collect()
    gc.freeze()
