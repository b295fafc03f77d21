"""HMAC signatures of ApeX requests and of the private stream's login (apex.md §1.4, §3). It holds the secrets and never prints them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

LOGIN_PATH = "/ws/accounts"
ACCOUNT_TOPIC = "ws_zk_accounts_v3"


def signed_text(timestamp_ms: int, method: str, path: str, fields: Mapping[str, str]) -> str:
    """timestamp + METHOD + path (a GET's query included) + the form's ``k=v`` sorted by key, joined by ``&``, not URL-encoded."""
    form = "&".join(f"{name}={value}" for name, value in sorted(fields.items()))
    return f"{timestamp_ms}{method}{path}{form}"


class ApiKey:
    """One API key with its secret and passphrase."""

    def __init__(self, key: str, secret: str, passphrase: str) -> None:
        self._key = key
        self._secret = base64.b64encode(secret.encode("utf-8"))
        self._passphrase = passphrase

    def __repr__(self) -> str:
        return "ApiKey(<hidden>)"

    def sign(self, text: str) -> str:
        """Base64 of HMAC-SHA256; the HMAC key is the base64 text of the secret."""
        digest = hmac.new(self._secret, text.encode("utf-8"), hashlib.sha256).digest()
        return base64.b64encode(digest).decode("ascii")

    def headers(self, timestamp_ms: int, method: str, path: str, fields: Mapping[str, str]) -> dict[str, str]:
        """The four headers of a private call."""
        return {
            "APEX-SIGNATURE": self.sign(signed_text(timestamp_ms, method, path, fields)),
            "APEX-API-KEY": self._key,
            "APEX-TIMESTAMP": str(timestamp_ms),
            "APEX-PASSPHRASE": self._passphrase,
        }

    def login(self, timestamp_ms: int) -> str:
        """The login frame; its topics subscribe by themselves (apex.md §3)."""
        request = {
            "type": "login",
            "topics": [ACCOUNT_TOPIC],
            "httpMethod": "GET",
            "requestPath": LOGIN_PATH,
            "apiKey": self._key,
            "passphrase": self._passphrase,
            "timestamp": timestamp_ms,
            "signature": self.sign(signed_text(timestamp_ms, "GET", LOGIN_PATH, {})),
        }
        return json.dumps({"op": "login", "args": [json.dumps(request)]})
