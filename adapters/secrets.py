"""Credentials: where they come from, and how they are kept out of everything that is written.

No error text and no repr here ever holds a value; errors name the file's line or the key.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import AnyStr
from urllib.parse import quote, quote_plus

CREDENTIAL_NAMES = (
    "GRVT_API_KEY",
    "GRVT_PRIVATE_KEY",
    "GRVT_TRADING_ACCOUNT_ID",
    "GRVT_ENVIRONMENT",
    "BACKPACK_PUBLIC_KEY",
    "BACKPACK_SECRET_KEY",
    "APEX_API_KEY",
    "APEX_API_KEY_SECRET",
    "APEX_API_KEY_PASSPHRASE",
    "APEX_OMNI_KEY_SEED",
    "PARADEX_L1_ADDRESS",
    "PARADEX_L2_PRIVATE_KEY",
    "TELEGRAM_BOT_TOKEN",
    "TELEGRAM_CHAT_ID",
    "LARK_TOKEN",
)
_PLAIN_NAMES = frozenset({"GRVT_ENVIRONMENT"})
"""Settings rather than secrets: redacting the word "testnet" would only spoil the log."""

MIN_SECRET_LENGTH = 6
MASK = "***"
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"""(?:"([^"]*)"|'([^']*)')\s*(?:#.*)?""")


class CredentialsRefused(Exception):
    """One line for the operator: which file, line or key, and what is wrong with it; never a value."""


def load_credentials(environ: Mapping[str, str], env_file_text: str | None) -> Mapping[str, str]:
    """The credentials that are set and not empty, by name. A file that was asked for wins over the environment.

    Raises CredentialsRefused for a line that is not ``KEY=VALUE``.
    """
    found = {name: environ[name].strip() for name in CREDENTIAL_NAMES if name in environ}
    found.update(_parse_env_file(env_file_text or ""))
    return {name: value for name, value in found.items() if value}


def read_env_file(path: Path) -> str:
    """The text of a file that nobody else on this computer can read. Raises CredentialsRefused."""
    check_env_file(path)
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsRefused(f"{path}: not readable as UTF-8 text ({type(error).__name__})") from None


def check_env_file(path: Path) -> None:
    """Raise CredentialsRefused unless ``path`` is a file without any permission for others and not writable by its group."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise CredentialsRefused(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise CredentialsRefused(f"{path}: not a regular file")
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise CredentialsRefused(f"{path}: open to other users (mode {stat.S_IMODE(mode):03o}); chmod 600 it")


def _parse_env_file(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise CredentialsRefused(f"env file line {number}: not KEY=VALUE")
        name, value = match[1], _parse_value(match[2], number)
        if name not in CREDENTIAL_NAMES:
            continue
        if name in values:
            raise CredentialsRefused(f"env file line {number}: {name} is given twice")
        values[name] = value
    return values


def _parse_value(text: str, number: int) -> str:
    """Quoted: everything between the quotes, as it is. Bare: up to a " #" comment."""
    if text[:1] in ("'", '"'):
        match = _QUOTED.fullmatch(text)
        if match is None:
            raise CredentialsRefused(f"env file line {number}: quotes do not match")
        return str(match[1] if match[1] is not None else match[2]).strip()
    return re.sub(r"(^|\s+)#.*$", "", text).strip()


class Redactor:
    """Replaces secrets by ``***`` in any text or bytes: the known values in all usual spellings, and what looks like a login.

    Usable from any thread; ``add`` takes effect for calls that start after it.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._text: re.Pattern[str] | None = None
        self._bytes: re.Pattern[bytes] | None = None
        self._needles: tuple[str, ...] = ()
        self._needles_bytes: tuple[bytes, ...] = ()
        self.add(*values)

    @classmethod
    def of(cls, credentials: Mapping[str, str]) -> Redactor:
        return cls(value for name, value in credentials.items() if name not in _PLAIN_NAMES)

    def __repr__(self) -> str:
        return f"Redactor({len(self._forms)} forms)"

    def add(self, *values: str) -> None:
        """More secrets, such as a session token; values shorter than 6 characters are left alone, so that words stay."""
        for value in values:
            self._forms.update(form for form in _spellings(value) if len(form) >= MIN_SECRET_LENGTH)
        if not self._forms:
            return
        # The longest first: a form that is part of another one must not leave the rest of it behind.
        source = "|".join(re.escape(form) for form in sorted(self._forms, key=len, reverse=True))
        self._bytes = re.compile(source.encode(), re.IGNORECASE)
        self._text = re.compile(source, re.IGNORECASE)
        # A plain search is ten times faster than the pattern, and nearly every text is clean. Lower case alone would not do: that
        # of a Greek sigma depends on its neighbours.
        self._needles = tuple({form.lower() for form in self._forms} | {form for form in self._forms if not form.isascii()})
        self._needles_bytes = tuple(form.encode().lower() for form in self._forms)

    def is_clean(self, text: str) -> bool:
        """No secret in any spelling, JSON's included, and no word that a login could begin with: nothing in it needs a closer look."""
        lowered = text.lower()
        return not (
            any(form in lowered or form in text for form in self._needles) or any(word in lowered for word in _LOGIN_WORDS)
        )

    def redact(self, data: AnyStr) -> AnyStr:
        if isinstance(data, bytes):
            return self._redact_bytes(data)
        lowered = data.lower()
        if self._text is not None and any(form in lowered or form in data for form in self._needles):
            data = self._text.sub(MASK, data)
        if any(word in lowered for word in _LOGIN_WORDS):
            for pattern in _LOGINS:
                data = pattern.sub(rf"\g<1>{MASK}", data)
        return data

    def _redact_bytes(self, data: bytes) -> bytes:
        lowered = data.lower()
        if self._bytes is not None and any(form in lowered or form in data for form in self._needles_bytes):
            data = self._bytes.sub(MASK.encode(), data)
        if any(word in lowered for word in _LOGIN_WORDS_BYTES):
            for pattern in _LOGINS_BYTES:
                data = pattern.sub(rb"\g<1>" + MASK.encode(), data)
        return data


_LOGIN_SOURCES = (
    r"""((?<![\w-])(?:set-)?cookie\\?["']?\s*[:=,]\s*(?:b(?=\\?["']))?\\?["']?)[^"'\\\r\n]+""",
    r"""((?<![\w-])(?:proxy-)?authorization\\?["']?\s*[:=,]\s*(?:b(?=\\?["']))?\\?["']?)[^"'\\\r\n]+""",
    r"""(gravity=)[^;\s"'\\,&]+""",
    r"""(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}""",
    r"""((?<![\w-])(?:x-)?(?:[a-z]{1,12}[-_])?"""
    r"""(?:api[-_]?key|signature|secret(?:[-_]key)?|passphrase|private[-_]?key|(?:access[-_])?token)"""
    r"""\\?["']?\s*[:=]\s*(?:b(?=\\?["']))?\\?["']?)[^\s"'\\,;&]{6,}""",
    r"""(\bbot)\d{6,}:[A-Za-z0-9_-]{20,}""",
)
"""Group 1 is kept: the name of a cookie, header or field that carries a login; the rest is its value."""
_LOGIN_WORDS = (
    "cookie",
    "authorization",
    "gravity=",
    "bearer",
    "basic",
    "key",
    "signature",
    "secret",
    "passphrase",
    "token",
    "bot",
)
_LOGIN_WORDS_BYTES = tuple(word.encode() for word in _LOGIN_WORDS)
"""No text without one of these can match."""
_LOGINS = tuple(re.compile(source, re.IGNORECASE) for source in _LOGIN_SOURCES)
_LOGINS_BYTES = tuple(re.compile(source.encode(), re.IGNORECASE) for source in _LOGIN_SOURCES)


def _spellings(value: str) -> Iterator[str]:
    """The value as libraries and venues may write it; upper and lower case are told apart by nobody."""
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield quote(value, safe="")
    yield quote(value)
    yield quote_plus(value)
    for raw in _raw_bytes(value):
        yield raw.hex()
        yield from _base64_spellings(raw)


def _raw_bytes(value: str) -> Iterator[bytes]:
    """The value's own bytes, and those that it spells where it is hex or base64, as keys are."""
    yield value.encode()
    digits = value.removeprefix("0x").removeprefix("0X")
    if re.fullmatch(r"(?:[0-9a-fA-F]{2}){8,}", digits):
        yield bytes.fromhex(digits)
    if len(value) >= 16:
        try:
            yield base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return


def _base64_spellings(raw: bytes) -> Iterator[str]:
    """On its own, and inside a longer text, at any of three bit offsets, where its edges mix with its neighbours."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(raw).decode()
        yield whole
        yield whole.rstrip("=")
        for offset in (0, 1, 2):
            encoded = encode(b"\0" * offset + raw).decode()
            first = (0, 2, 3)[offset]
            whole_bits = (offset + len(raw)) * 8
            yield encoded[first : whole_bits // 6]
