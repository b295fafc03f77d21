"""Ed25519 signatures and time windows as Backpack checks them (backpack.md §1).

Must never sign anything: it knows the public key only, and rebuilds the signed text from what arrived.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

DEFAULT_WINDOW_MS = "5000"
MAX_WINDOW_MS = 60_000

Fields = Mapping[str, object]


class RawFloat(str):
    """A fractional JSON number kept exactly as it was printed: the signature covers the printed form."""


class Refusal(Exception):
    """The venue says no: HTTP status, error code and message; an empty code means a plain-text body (backpack.md §5)."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message


def decode_json(body: bytes | str) -> object:
    """The decoded body with fractional numbers as RawFloat; ValueError for anything that is not JSON."""
    try:
        decoded: object = json.loads(body, parse_float=RawFloat)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return decoded


def signed_text(instruction: str, fields: Fields, timestamp: str, window: str) -> str:
    """What the client must have signed for one instruction: fields sorted by name, absent ones left out."""
    return f"{_clause(instruction, fields)}&timestamp={timestamp}&window={window}"


def batch_text(orders: Sequence[Fields], timestamp: str, window: str) -> str:
    """The signed text of ``POST /api/v1/orders``: one orderExecute clause per order, the time once."""
    clauses = "&".join(_clause("orderExecute", order) for order in orders)
    return f"{clauses}&timestamp={timestamp}&window={window}"


class Verifier:
    """Checks the four parts of a signed request (key, signature, time, window) against one API key."""

    def __init__(self, api_key: str) -> None:
        """``api_key``: base64 of the 32-byte verifying key; ValueError where it is not."""
        self._api_key = api_key
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(api_key, validate=True))

    def check_headers(self, headers: Mapping[str, str], text: Callable[[str, str], str], now_ms: float) -> None:
        """``headers`` with lower-case names; ``text(timestamp, window)`` builds the signed text; raises Refusal."""
        self.check(
            headers.get("x-api-key", ""),
            headers.get("x-signature", ""),
            headers.get("x-timestamp", ""),
            headers.get("x-window", DEFAULT_WINDOW_MS),
            text,
            now_ms,
        )

    def check(
        self, key: str, signature: str, timestamp: str, window: str, text: Callable[[str, str], str], now_ms: float
    ) -> None:
        """Raises Refusal unless the key is ours, the window holds at ``now_ms`` and the signature is over ``text``."""
        if key != self._api_key:
            raise Refusal(401, "UNAUTHORIZED", "Unauthorized")
        if not (timestamp.isdecimal() and window.isdecimal()) or int(window) > MAX_WINDOW_MS:
            raise Refusal(400, "INVALID_CLIENT_REQUEST", "Invalid timestamp or window")
        if abs(now_ms - int(timestamp)) > int(window):
            raise Refusal(400, "INVALID_CLIENT_REQUEST", "Request has expired")
        if not self._is_genuine(signature, text(timestamp, window)):
            raise Refusal(400, "INVALID_SIGNATURE", "Invalid signature")

    def _is_genuine(self, signature: str, text: str) -> bool:
        try:
            self._key.verify(base64.b64decode(signature, validate=True), text.encode())
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def _clause(instruction: str, fields: Fields) -> str:
    present = {name: value for name, value in fields.items() if value is not None}
    return "&".join([f"instruction={instruction}", *(f"{name}={_printed(present[name])}" for name in sorted(present))])


def _printed(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
