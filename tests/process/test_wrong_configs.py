"""Generated wrong configurations through the program's own entry: exit 2 and one line, which names file, key and what is accepted (P9)."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import pytest

import supervisor
from adapters.config_file import load_config
from adapters.secrets import CREDENTIAL_NAMES
from core.config import ConfigError
from tests.process.kit import ROOT, by_night

TEXTS = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "configs").glob("*.toml"))}
WRONG_VALUES = (
    *('""', '"word"', '"NaN"', '"-1"', '"1e999999"', "true", "-1", "0.5", "nan", "1979-05-27"),
    *("[]", '["word"]', "{}", "{ a = 1 }"),
)
SETTING = re.compile(r"^(\w+)(\s*=\s*)(.+)$")
CANARY = "canary5Hq2wWZ9"


def wrong_lines(text: str) -> Iterator[str]:
    """Each line left out, written twice, its key misspelt, its value replaced by any other, a stranger's key put behind it."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        found = SETTING.match(line)
        replaced = (
            [f"{found[1]}x{found[2]}{found[3]}", *(f"{found[1]}{found[2]}{value}" for value in WRONG_VALUES)] if found else []
        )
        for new in ([], [line, line], [line, f'api_key = "{CANARY}"'], *([each] for each in replaced)):
            yield "\n".join([*lines[:index], *new, *lines[index + 1 :]])


def garbled(text: str, dice: random.Random) -> bytes:
    """A few bytes changed, dropped, or doubled anywhere."""
    data = bytearray(text.encode())
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data))
        match dice.randrange(3):
            case 0:
                data[at] ^= 1 << dice.randrange(8)
            case 1:
                del data[at : at + dice.randint(1, 30)]
            case _:
                data[at:at] = data[at : at + dice.randint(1, 30)]
    return bytes(data)


def assert_refused(path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """One that still is a configuration is refused by the credentials, of which there are none."""
    path.write_bytes(content)
    try:
        load_config(path, {})
        words = [name for name in CREDENTIAL_NAMES if name.startswith(("GRVT", "BACKPACK", "APEX"))]
    except ConfigError:
        words = ["accepted: ", "not valid TOML: ", "not UTF-8 text"]
    code = supervisor.main(["doctor", str(path)])
    said = capfd.readouterr()
    assert (2, "", 1, False) == (code, said.out, len(said.err.splitlines()), CANARY in said.err), (content, said.err)
    assert any(word in said.err for word in words), (content, said.err)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a configuration file, in a process that knows no credentials."""
    for name in CREDENTIAL_NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "bot.toml"


@pytest.mark.parametrize("every", [23, *by_night(1)])
def test_each_line_gone_wrong_is_refused(path: Path, capfd: pytest.CaptureFixture[str], every: int) -> None:
    """Every line of every configuration that we ship, in every way; by day each 23rd of them."""
    for text in islice(chain.from_iterable(map(wrong_lines, TEXTS.values())), 0, None, every):
        assert_refused(path, text.encode(), capfd)


@pytest.mark.parametrize("seed", [1, *by_night(*range(2, 32))])
def test_a_garbled_configuration_is_refused(path: Path, capfd: pytest.CaptureFixture[str], seed: int) -> None:
    """Forty of a seed; any file, any byte."""
    dice = random.Random(seed)
    for _ in range(40):
        assert_refused(path, garbled(dice.choice(list(TEXTS.values())), dice), capfd)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1", "utf-8-sig"])
def test_another_encoding_is_refused(path: Path, capfd: pytest.CaptureFixture[str], encoding: str) -> None:
    """With a comment that tells them apart."""
    assert_refused(path, f"# réglage\n{TEXTS['grvt-backpack.toml']}".encode(encoding), capfd)


@pytest.mark.parametrize("name", [".", os.devnull, "x" * 5_000], ids=["folder", "empty", "too long"])
def test_what_is_no_configuration_file_is_refused(path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """In one line that names it."""
    code = supervisor.main(["doctor", name])
    said = capfd.readouterr()
    assert (2, 1, True) == (code, len(said.err.splitlines()), f"perpfarm: {name}: " in said.err), said.err
