"""Ed25519 signatures of Backpack requests (backpack.md §1). It holds the secret key and never prints or returns it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.ports import VenueRefused

FieldValue = str | int | bool

PUBLIC_KEY = "BACKPACK_PUBLIC_KEY"
SECRET_KEY = "BACKPACK_SECRET_KEY"


def signed_text(instruction: str, fields: Mapping[str, FieldValue], timestamp_ms: int, window_ms: int) -> str:
    """``instruction=..&k=v..&timestamp=..&window=..`` with the fields in alphabetical order and nothing URL-encoded."""
    parts = [f"instruction={instruction}"]
    parts += [f"{name}={_plain(value)}" for name, value in sorted(fields.items())]
    return "&".join([*parts, f"timestamp={timestamp_ms}", f"window={window_ms}"])


def _plain(value: FieldValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Signer:
    """Signs with one key pair; raises VenueRefused at construction when the pair cannot be right."""

    def __init__(self, public_key: str, secret_key: str) -> None:
        seed = _decoded(secret_key, SECRET_KEY, (32, 64))[:32]  # some exports append the public key to the seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        if public != _decoded(public_key, PUBLIC_KEY, (32,)):
            raise VenueRefused(f"backpack: {PUBLIC_KEY} does not belong to {SECRET_KEY}")
        self.public_key = base64.b64encode(public).decode("ascii")

    def __repr__(self) -> str:
        return "Signer(<key hidden>)"

    def sign(self, text: str) -> str:
        """Base64 of the 64-byte signature."""
        return base64.b64encode(self._key.sign(text.encode("utf-8"))).decode("ascii")

    def headers(self, instruction: str, fields: Mapping[str, FieldValue], timestamp_ms: int, window_ms: int) -> dict[str, str]:
        """The four headers of a signed call."""
        return {
            "X-API-Key": self.public_key,
            "X-Signature": self.sign(signed_text(instruction, fields, timestamp_ms, window_ms)),
            "X-Timestamp": str(timestamp_ms),
            "X-Window": str(window_ms),
        }

    def subscription(self, timestamp_ms: int, window_ms: int) -> list[str]:
        """The ``signature`` member of a private SUBSCRIBE: key, signature, timestamp, window, all text."""
        signature = self.sign(signed_text("subscribe", {}, timestamp_ms, window_ms))
        return [self.public_key, signature, str(timestamp_ms), str(window_ms)]


def _decoded(text: str, name: str, lengths: tuple[int, ...]) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise VenueRefused(f"backpack: {name} is not base64") from None
    if len(key) not in lengths:
        raise VenueRefused(
            f"backpack: {name} is {len(key)} bytes long; accepted: base64 of {' or '.join(map(str, lengths))} bytes"
        )
    return key
