"""Credentials are read as users write them, and no spelling of one survives the redactor."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.secrets import CREDENTIAL_NAMES, CredentialsRefused, Redactor, check_env_file, load_credentials, read_env_file

HEX_KEY = "0x" + "c0ffee15" * 8
BASE64_KEY = base64.b64encode(bytes(range(200, 232))).decode()

# ---- loading ---------------------------------------------------------------------------------------------------------------------


def test_the_environment_is_read() -> None:
    """Known names only; an empty value is none."""
    environ = {"GRVT_API_KEY": " key ", "BACKPACK_PUBLIC_KEY": "", "HOME": "/home"}
    assert {"GRVT_API_KEY": "key"} == load_credentials(environ, None)


def test_the_file_wins_over_the_environment() -> None:
    """A file that was asked for must not lose to what a shell happens to hold: it could be another account."""
    assert {"GRVT_API_KEY": "file"} == load_credentials({"GRVT_API_KEY": "shell"}, "GRVT_API_KEY=file")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("GRVT_API_KEY=abc", "abc"),
        ("  export GRVT_API_KEY = abc  ", "abc"),
        ("GRVT_API_KEY=abc # comment", "abc"),
        ("GRVT_API_KEY=abc#def", "abc#def"),
        ("GRVT_API_KEY='a b # c'", "a b # c"),
        ('GRVT_API_KEY="a=b" # comment', "a=b"),
        ("GRVT_API_KEY=YWJj+/==", "YWJj+/=="),
        ("\ufeffGRVT_API_KEY=abc\r\n", "abc"),
        ("# GRVT_API_KEY=old\n\nGRVT_API_KEY=abc\nUNKNOWN=1\n", "abc"),
        ("GRVT_API_KEY= # nothing", None),
        ("GRVT_API_KEY=''", None),
    ],
)
def test_file_forms(line: str, value: str | None) -> None:
    """Comments, quotes, export, spaces, a byte order mark, keys with = and #."""
    assert value == load_credentials({}, line).get("GRVT_API_KEY")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("A=1\ncanary-value", "line 2"),
        ("GRVT_API_KEY='canary-value", "line 1"),
        ('GRVT_API_KEY="canary-value" rest', "line 1"),
        ("=canary-value", "line 1"),
        ("GRVT_API_KEY=canary-value\nGRVT_API_KEY=canary-other", "line 2"),
    ],
)
def test_a_bad_line_is_named_and_not_quoted(text: str, place: str) -> None:
    """The operator needs the number; the value stays out."""
    with pytest.raises(CredentialsRefused, match=place) as refused:
        load_credentials({}, text)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o601, 0o620, 0o777])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever can read it can trade; whoever can write it can redirect the trading."""
    path = tmp_path / "keys.env"
    path.write_text("GRVT_API_KEY=canary")
    path.chmod(mode)
    with pytest.raises(CredentialsRefused, match="chmod 600"):
        check_env_file(path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_private_file_is_read(tmp_path: Path, mode: int) -> None:
    """Owner, or owner and a reading group."""
    path = tmp_path / "keys.env"
    path.write_text("GRVT_API_KEY=abc")
    path.chmod(mode)
    assert read_env_file(path) == "GRVT_API_KEY=abc"


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    """Missing, a directory, or not UTF-8."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    for path in (tmp_path / "missing", tmp_path, binary):
        with pytest.raises(CredentialsRefused, match=path.name):
            read_env_file(path)


# ---- redacting -------------------------------------------------------------------------------------------------------------------


def spellings(value: str) -> dict[str, str]:
    raw = value.encode()
    return {
        "raw": value,
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "base64": base64.b64encode(raw).decode(),
        "urlsafe": base64.urlsafe_b64encode(raw).decode(),
        "unpadded": base64.b64encode(raw).decode().rstrip("="),
        "url": quote(value, safe=""),
        "json": json.dumps(value),
        "repr": repr(value),
        "twice": value + value,
    }


CANARIES = ["canary-Se.cret", "p@ss wörd/+\"'\\&=", HEX_KEY, BASE64_KEY, "123456", "a" * 6]


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("form", spellings("x").keys())
def test_no_spelling_survives(canary: str, form: str) -> None:
    """In text and in bytes, with neighbours."""
    spelled = spellings(canary)[form]
    redactor = Redactor.of({"GRVT_API_KEY": canary})
    text = f"before [{spelled}] after"
    assert spelled.strip("'\"") not in redactor.redact(text)
    assert spelled.strip("'\"").encode() not in redactor.redact(text.encode())


@given(secret=st.binary(min_size=8, max_size=40), before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_base64_of_something_around_the_secret_is_caught(secret: bytes, before: bytes, after: bytes) -> None:
    """Basic authentication encodes name and secret together: at most the edges, mixed with neighbours, may remain."""
    value = secret.hex()
    encoded = base64.b64encode(before + value.encode() + after).decode()
    redacted = Redactor([value]).redact(encoded)
    assert "***" in redacted
    assert len(redacted) - len("***") <= len(base64.b64encode(before)) + len(base64.b64encode(after)) + 4


@given(secret=st.text(min_size=6, max_size=40), before=st.text(max_size=10), after=st.text(max_size=10))
def test_any_known_text_is_removed(secret: str, before: str, after: str) -> None:
    """Whatever characters it is made of, and whatever stands around it."""
    redacted = Redactor([secret]).redact(before + secret + after)
    assert secret not in redacted or secret in before + after or set(secret) <= set("*")


def test_the_bytes_behind_a_key_are_caught() -> None:
    """A hex key written as base64 of its bytes, a base64 seed written in hex."""
    redactor = Redactor([HEX_KEY, BASE64_KEY])
    for leak in (base64.b64encode(bytes.fromhex(HEX_KEY[2:])).decode(), base64.b64decode(BASE64_KEY).hex()):
        assert "***" == redactor.redact(leak)


def test_a_part_of_a_longer_secret_leaves_no_rest() -> None:
    """Two secrets of which one begins with the other."""
    assert "***" == Redactor(["secret", "secret-longer"]).redact("secret-longer")


def test_short_values_are_left_alone() -> None:
    """Five characters would eat ordinary words."""
    assert Redactor(["abcde"]).redact("abcde") == "abcde"


def test_the_environment_s_name_is_no_secret() -> None:
    """A log that cannot say "testnet" helps nobody."""
    assert Redactor.of({"GRVT_ENVIRONMENT": "testnet"}).redact("testnet") == "testnet"


def test_every_credential_but_the_environment_is_removed() -> None:
    """None is forgotten."""
    credentials = {name: f"canary-{name}-value" for name in CREDENTIAL_NAMES if name != "GRVT_ENVIRONMENT"}
    assert "canary" not in Redactor.of(credentials).redact(json.dumps(credentials))


def test_secrets_can_be_added() -> None:
    """A session token is learned at login."""
    redactor = Redactor()
    redactor.add("token-of-today")
    assert redactor.redact("x token-of-today") == "x ***"


def test_the_redactor_shows_nothing_of_itself() -> None:
    """Its repr may end up in a traceback."""
    assert "canary" not in repr(Redactor(["canary-secret"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Set-Cookie: gravity=TOKEN1; Path=/; HttpOnly", "Set-Cookie: ***"),
        ("x gravity=TOKEN1; Path=/", "x gravity=***; Path=/"),
        ("{'Cookie': 'gravity=TOKEN1', 'a': 1}", "{'Cookie': '***', 'a': 1}"),
        ('{"cookie": "rm=true; gravity=TOKEN1"}', '{"cookie": "***"}'),
        ("Authorization: Bearer TOKEN12345", "Authorization: ***"),
        ("sent bearer TOKEN12345.abc-_", "sent bearer ***"),
        ("X-Signature: TOKEN12345==", "X-Signature: ***"),
        ("x-api-key=TOKEN12345&a=1", "x-api-key=***&a=1"),
        ('{"api_key": "TOKEN12345"}', '{"api_key": "***"}'),
        ("APEX_API_KEY_PASSPHRASE", "APEX_API_KEY_PASSPHRASE"),
        ("/bot123456789:TOKEN-abcdefghijklmnop/send", "/bot***/send"),
        ("order signature verified by the venue", "order signature verified by the venue"),
        ("the cookie is stale", "the cookie is stale"),
        ("basic facts", "basic facts"),
    ],
)
def test_logins_are_recognised_by_their_shape(text: str, expected: str) -> None:
    """Tokens that nobody told us of, in headers, cookies and fields; ordinary words stay."""
    redactor = Redactor()
    assert (expected, expected.encode()) == (redactor.redact(text), redactor.redact(text.encode()))
