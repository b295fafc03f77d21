"""Every message that the recorder sees as one structured line; the log knows nothing of what it means."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import structlog

from core.messages import Alert, Message

_WARNINGS = frozenset(
    {
        "FrameRejected",
        "SubmitUnknown",
        "SubmitNotSent",
        "OrderDenied",
        "OrderRejected",
        "CancelFailed",
        "QueryFailed",
        "RateLimited",
        "ForeignActivity",
        "PositionMismatch",
        "HedgeStalled",
    }
)


class EventLog:
    """Writes to ``log.jsonl`` through structlog; redaction is the processors' business."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("perpfarm")

    def message(self, message: Message) -> None:
        """One line: the message's type as the event, its fields as they are."""
        name = type(message).__name__
        fields = msgspec.to_builtins(message, str_keys=True)
        fields.pop("type", None)
        if isinstance(message, Alert) and message.level != "info":
            self._log.error(name, **fields)
        elif name in _WARNINGS:
            self._log.warning(name, **fields)
        else:
            self._log.info(name, **fields)

    def line(self, event: str, **fields: Any) -> None:
        self._log.info(event, **fields)

    def report(self, report: NamedTuple) -> None:
        """What an actor told the watch: a crash with its traceback, or a flooded inbox."""
        self._log.error(type(report).__name__, **report._asdict())
