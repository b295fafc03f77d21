"""API-key signatures as ApeX checks them, over REST headers and in the login frame (apex.md §1.4, §3).

Must never sign anything for a client: it rebuilds the signed text from what arrived.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from simulator.net import HttpRequest

WS_PATH = "/ws/accounts"
Form = Mapping[str, str]


class Refusal(Exception):
    """The venue says no, in HTTP 200: numeric code, message, and a key where the venue names one (apex.md §4)."""

    def __init__(self, code: int, message: str, key: str = "", detail: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code} {key} {message}")
        self.code = code
        self.message = message
        self.key = key
        self.detail = detail


class ApiKey(NamedTuple):
    """What a client logs in with."""

    key: str
    secret: str
    passphrase: str


class KeyVerifier:
    """Checks signatures against one API key; ``window_s``: how far a timestamp may be off (the venue's own window is unknown)."""

    def __init__(self, key: ApiKey, window_s: float) -> None:
        self._key = key
        self._hmac_key = base64.b64encode(key.secret.encode())
        self.window_s = window_s

    def check_request(self, request: HttpRequest, now: float) -> None:
        """Raises Refusal: 10002 for an unknown key or passphrase (its text echoes the key), 20002 for the time, 20006."""
        headers = request.headers
        api_key, timestamp = headers.get("apex-api-key", ""), headers.get("apex-timestamp", "")
        if api_key != self._key.key or headers.get("apex-passphrase", "") != self._key.passphrase:
            raise Refusal(10002, f"Api credential is invalid [apiKey={api_key}]!")
        if not self._is_timely(timestamp, now):
            raise Refusal(20002, "timestamp is out of range")
        if not self._is_genuine(timestamp + signed_tail(request), headers.get("apex-signature", "")):
            raise Refusal(20006, "apikey sign error")

    def is_login(self, login: Mapping[str, object], now: float) -> bool:
        """Whether the decoded argument of a login frame is ours, timely and signed."""
        timestamp = str(login.get("timestamp", ""))
        return (
            login.get("apiKey") == self._key.key
            and login.get("passphrase") == self._key.passphrase
            and login.get("httpMethod") == "GET"
            and login.get("requestPath") == WS_PATH
            and self._is_timely(timestamp, now)
            and self._is_genuine(f"{timestamp}GET{WS_PATH}", str(login.get("signature", "")))
        )

    def _is_timely(self, timestamp: str, now: float) -> bool:
        is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 20
        return is_number and abs(int(timestamp) / 1000 - now) <= self.window_s

    def _is_genuine(self, text: str, signature: str) -> bool:
        digest = hmac.new(self._hmac_key, text.encode(), hashlib.sha256).digest()
        return hmac.compare_digest(base64.b64encode(digest), signature.encode())


def signed_tail(request: HttpRequest) -> str:
    """What follows the timestamp: method, path and query of a GET, or the form's pairs sorted by name and decoded."""
    if request.method == "GET":
        query = f"?{unquote(request.raw_query)}" if request.raw_query else ""
        return f"{request.method}{request.path}{query}"
    pairs = "&".join(f"{name}={value}" for name, value in sorted(form_of(request.body).items()))
    return f"{request.method}{request.path}{pairs}"


def form_of(body: bytes) -> dict[str, str]:
    """The decoded fields of a form body, the last one winning."""
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def decode_object(text: str) -> dict[str, object] | None:
    """A JSON object, or None for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
