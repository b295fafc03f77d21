"""What the Date headers of a venue's answers say against a measured clock offset."""

from __future__ import annotations

JUMP_MS = 1_500.0
"""A Date header counts whole seconds, and half a round trip of an answer that took two may lie on top."""


class DateCheck:
    """One connection. A single answer proves nothing: some proxy's error page may carry a wrong date."""

    def __init__(self) -> None:
        self._seen_ms: float | None = None
        self._suspect_ms: float | None = None

    def correction(self, date_offset_ms: float | None, offset_ms: float) -> float | None:
        """The offset to use from now on, where two answers in a row agree that ``offset_ms`` is wrong; None: leave it.

        ``date_offset_ms`` as ``RestClient`` has it: unchanged after a request without an answer, which then says nothing new.
        """
        if date_offset_ms is None or date_offset_ms == self._seen_ms:
            return None
        self._seen_ms, before = date_offset_ms, self._suspect_ms
        self._suspect_ms = date_offset_ms if abs(date_offset_ms - offset_ms) > JUMP_MS else None
        if self._suspect_ms is None or before is None or abs(self._suspect_ms - before) > JUMP_MS:
            return None
        self._suspect_ms = None
        return date_offset_ms
