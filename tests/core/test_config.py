"""The configuration: whatever is wrong with the file ends as one line with file, key and accepted values, and as nothing else (P9)."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from core.config import BRACKET_VENUES, NATIVE_OCO_VENUES, Config, ConfigError, parse_config
from core.config_shape import accepted, misfits
from tests.core.builders import D

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
HEDGE: dict[str, Any] = {
    "run": {"state_dir": "state/x", "iterations": 3, "log_level": "INFO"},
    "strategy": {
        "kind": "hedge",
        "ticker": "ETH",
        "primary": "grvt",
        "hedge": "backpack",
        "size": "0.10",
        "max_delta": "0.10",
        "max_position": "0.50",
        "fill_timeout_s": 10,
        "direction": "alternate",
        "min_build_bps": "-1000",
        "min_unwind_bps": "-1000",
        "max_hold_s": 600,
        "max_daily_loss": "5",
        "hedge_slippage_bps": ["20", "40", "80"],
        "fx": {"USDC/USDT": "1.0"},
    },
    "venues": {"grvt": {"environment": "prod", "endpoints": {"edge": "http://127.0.0.1:1"}, "limits": {"create": 5.0}}},
}
BRACKET: dict[str, Any] = {
    "run": {"state_dir": "state/x"},
    "strategy": {
        "kind": "bracket",
        "ticker": "ETH",
        "size": "0.10",
        "bracket": {
            "venue": "apex",
            "side": "BUY",
            "take_profit_pct": "0.10",
            "stop_loss_pct": "0.05",
            "on_manual_cancel": "cancel_sibling",
            "native_oco": False,
        },
    },
}
DECIMALS = ("size", "max_delta", "max_position", "min_build_bps", "min_unwind_bps", "max_daily_loss")


def toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return msgspec.json.encode(value).decode()
        case dict():
            return "{ " + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + " }"
        case list():
            return "[" + ", ".join(toml(item) for item in value) + "]"
        case _:
            return repr(value)


def text_of(tree: dict[str, Any]) -> str:
    return "\n".join(f"{toml(key)} = {toml(value)}" for key, value in tree.items())


def parse(tree: dict[str, Any]) -> Config:
    return parse_config(text_of(tree), "bot.toml")


def changed(tree: dict[str, Any], path: tuple[str, ...], *, value: Any = None, is_left_out: bool = False) -> dict[str, Any]:
    """A copy of ``tree`` in which the key at ``path`` has another value or is missing."""
    copy = dict(tree)
    if len(path) > 1:
        copy[path[0]] = changed(copy.get(path[0], {}), path[1:], value=value, is_left_out=is_left_out)
    elif is_left_out:
        del copy[path[0]]
    else:
        copy[path[0]] = value
    return copy


def refusal(tree: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(tree)
    return str(caught.value)


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        leaf
        for key, value in tree.items()
        for leaf in [(*path, key), *(leaves(value, (*path, key)) if isinstance(value, dict) else [])]
    ]


REQUIRED = [
    (HEDGE, ("run",)),
    (HEDGE, ("strategy",)),
    (HEDGE, ("run", "state_dir")),
    *((HEDGE, ("strategy", key)) for key in ("kind", "ticker", "size", "primary", "hedge", "max_delta", "max_position")),
    (BRACKET, ("strategy", "bracket")),
    *((BRACKET, ("strategy", "bracket", key)) for key in ("venue", "side", "take_profit_pct", "stop_loss_pct")),
]
WRONG_TYPES: list[Any] = [True, 7, 0.5, "word", [], ["word"], {}, {"word": 1}]
FLAWED_TYPES = [
    (tree, path, wrong)
    for tree in (HEDGE, BRACKET)
    for path in leaves(tree)
    for wrong in WRONG_TYPES
    if type(wrong) is not type(tree)
    and path[-1] not in ("ticker", "state_dir", "edge")
    and (path[-1], wrong) != ("native_oco", True)
]


# ---- what is right ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_configuration_that_we_ship_is_accepted(path: Path) -> None:
    assert "ETH" == parse_config(path.read_text("utf-8"), path.name).strategy.ticker


def test_values_arrive_exactly_as_written() -> None:
    strategy = parse(HEDGE).strategy
    assert (D("0.10"), (D(20), D(40), D(80)), {"USDC/USDT": D("1.0")}) == (
        strategy.size,
        strategy.hedge_slippage_bps,
        strategy.fx,
    )


def test_a_bracket_needs_none_of_the_hedge_keys() -> None:
    config = parse(BRACKET)
    assert D("0.05") == config.strategy.bracket.stop_loss_pct if config.strategy.bracket else None


def test_an_absent_venue_section_means_its_defaults() -> None:
    assert "prod" == parse(HEDGE).venue("backpack").environment


def test_an_override_replaces_the_files_value() -> None:
    config = parse_config(text_of(HEDGE), "bot.toml", {"strategy.size": "0.05", "run.iterations": 7})
    assert (D("0.05"), 7) == (config.strategy.size, config.run.iterations)


# ---- what is wrong ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tree", "path"), REQUIRED, ids=lambda value: ".".join(value) if isinstance(value, tuple) else None)
def test_each_missing_key_is_named_with_its_file_and_what_is_accepted(tree: dict[str, Any], path: tuple[str, ...]) -> None:
    line = refusal(changed(tree, path, is_left_out=True))
    assert (True, True, True) == (line.startswith("bot.toml: "), path[-1] in line, "accepted: " in line)


@pytest.mark.parametrize(
    "path",
    [
        ("x",),
        ("run", "x"),
        ("strategy", "x"),
        ("strategy", "bracket", "x"),
        ("venues", "grvt", "x"),
        ("limits", "x"),
        ("alerts", "x"),
        ("metrics", "x"),
    ],
    ids=".".join,
)
def test_each_unknown_key_is_named_with_the_accepted_ones(path: tuple[str, ...]) -> None:
    line = refusal(changed(BRACKET, path, value=1))
    assert (True, True) == (f"{'.'.join(path)}: unknown key" in line, "accepted: " in line)


@pytest.mark.parametrize("key", DECIMALS)
@pytest.mark.parametrize("value", [0.1, 1, 0.30000000000000004, True], ids=str)
def test_a_quantity_that_is_not_a_string_is_refused(key: str, value: object) -> None:
    """A TOML float is no decimal: 0.1 would already be another number when we see it."""
    line = refusal(changed(HEDGE, ("strategy", key), value=value))
    assert (True, True) == (f"strategy.{key}: {value}" in line, 'accepted: a decimal string such as "0.10"' in line)


@pytest.mark.parametrize("path", [("strategy", "hedge_slippage_bps"), ("strategy", "fx")], ids=".".join)
def test_numbers_inside_lists_and_tables_must_be_strings_too(path: tuple[str, ...]) -> None:
    value = [20, 40.5] if path[-1] == "hedge_slippage_bps" else {"USDC/USDT": 1.0}
    assert "a decimal string" in refusal(changed(HEDGE, path, value=value))


@pytest.mark.parametrize("key", DECIMALS)
@pytest.mark.parametrize("value", ["NaN", "sNaN", "-nan", "Infinity", "-Infinity", "inf", "", "abc", "1,0", "0x1"])
def test_a_string_that_is_no_finite_number_is_refused_by_name(key: str, value: str) -> None:
    line = refusal(changed(HEDGE, ("strategy", key), value=value))
    assert (True, True) == (f"strategy.{key}: '{value}'" in line, "accepted: " in line)


@pytest.mark.parametrize("key", DECIMALS)
@pytest.mark.parametrize("value", ["1e10", "-1e30", "1e999999", "1e9999999", "1e-19", "1." + 40 * "1"])
def test_a_decimal_that_arithmetic_would_not_keep_is_refused_by_name(key: str, value: str) -> None:
    """What is too large raises once the preflight multiplies it, and what has too many digits is rounded."""
    line = refusal(changed(HEDGE, ("strategy", key), value=value))
    assert (True, True) == (f"strategy.{key}: '{value}'" in line, "accepted: " in line)


def test_a_decimal_as_large_and_fine_as_arithmetic_keeps_is_accepted() -> None:
    value = f"{10**10 - 1}.{18 * '9'}"
    assert value == str(parse(changed(HEDGE, ("strategy", "max_position"), value=value)).strategy.max_position)


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e10, 10**400])
def test_a_rate_that_is_no_sensible_number_is_refused_by_name(value: float) -> None:
    """An endless rate would leave the bucket of a limiter without a number of tokens."""
    tree = changed(HEDGE, ("venues", "grvt"), value={"limits": {"create": value}})
    assert "venues.grvt.limits.create: " in refusal(tree)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "0"),
        ("size", "-0.1"),
        ("size", "0.11"),
        ("max_delta", "0"),
        ("max_delta", "0.09"),
        ("max_position", "0.09"),
        ("max_daily_loss", "0"),
        ("fill_timeout_s", 0),
        ("fill_timeout_s", -1),
        ("fill_timeout_s", math.nan),
        ("fill_timeout_s", 10**400),
        ("max_hold_s", math.inf),
        ("hedge_slippage_bps", []),
        ("hedge_slippage_bps", ["40", "20"]),
        ("hedge_slippage_bps", ["0"]),
        ("hedge_slippage_bps", ["501"]),
        ("fx", {"USDC": "1"}),
        ("fx", {"USDC/USDT": "0"}),
        ("primary", "binance"),
        ("hedge", "grvt"),
        ("kind", "spread"),
        ("direction", "up"),
        ("ticker", "ETH USDT"),
        ("ticker", ""),
    ],
)
def test_each_value_out_of_range_is_named_with_what_is_accepted(key: str, value: object) -> None:
    line = refusal(changed(HEDGE, ("strategy", key), value=value))
    assert (True, True) == ("accepted: " in line, key in line or "size" in line)


@pytest.mark.parametrize(
    ("key", "value"), [("take_profit_pct", "0"), ("stop_loss_pct", "50"), ("venue", "moon"), ("side", "LONG")]
)
def test_each_value_of_a_bracket_out_of_range_is_named(key: str, value: str) -> None:
    line = refusal(changed(BRACKET, ("strategy", "bracket", key), value=value))
    assert (True, True) == (f"strategy.bracket.{key}" in line, "accepted: " in line)


@pytest.mark.parametrize("venue", BRACKET_VENUES)
def test_native_oco_is_off_and_accepted_only_where_the_venue_can(venue: str) -> None:
    """Nothing is silently ignored; which venues can is what the adapters say (tests/adapters/test_capabilities.py)."""
    off = changed(BRACKET, ("strategy", "bracket", "venue"), value=venue)
    on = changed(off, ("strategy", "bracket", "native_oco"), value=True)
    default = parse(changed(off, ("strategy", "bracket", "native_oco"), is_left_out=True))
    assert False is default.strategy.bracket.native_oco  # type: ignore[union-attr]  # a bracket
    if venue in NATIVE_OCO_VENUES:
        assert True is parse(on).strategy.bracket.native_oco  # type: ignore[union-attr]  # a bracket
    else:
        assert "strategy.bracket.native_oco" in refusal(on)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("run", "iterations"), -1),
        (("run", "state_dir"), ""),
        (("run", "state_dir"), "a\0b"),
        (("run", "state_dir"), "a\nb"),
        (("run", "log_level"), "LOUD"),
    ],
)
def test_each_value_of_the_run_out_of_range_is_named(path: tuple[str, ...], value: object) -> None:
    line = refusal(changed(HEDGE, path, value=value))
    assert (True, True) == (".".join(path) in line, "accepted: " in line)


@pytest.mark.parametrize(
    ("path", "value"),
    [(("limits", "shared"), "redis://127.0.0.1:6379/0"), (("alerts", "urls"), ["json://host"]), (("metrics", "listen"), ":9464")],
)
def test_a_setting_that_nothing_acts_on_is_refused(path: tuple[str, ...], value: object) -> None:
    """Nobody shall rely on an alert that is never sent."""
    assert f"{'.'.join(path)}: not available in this version; accepted: empty" in refusal(changed(HEDGE, path, value=value))


def test_an_unknown_venue_is_named_with_the_known_ones() -> None:
    line = refusal(changed(HEDGE, ("venues", "binance"), value={}))
    assert "venues.binance" in line
    assert "accepted: grvt, backpack, apex" in line


@pytest.mark.parametrize(("tree", "path", "wrong"), FLAWED_TYPES)
def test_no_wrong_type_anywhere_is_anything_but_a_config_error(
    tree: dict[str, Any], path: tuple[str, ...], wrong: object
) -> None:
    """Each key times each TOML type: accepted where it fits, otherwise one line, never another exception."""
    text = text_of(changed(tree, path, value=wrong))
    try:
        parse_config(text, "bot.toml")
        line = "bot.toml: fine"
    except ConfigError as error:
        line = str(error)
    assert (True, 1) == (line.startswith("bot.toml: "), len(line.splitlines()))


@pytest.mark.parametrize(
    "text", ["[run", "a = ", "a = 1\na = 2", "= 1", '"', "a = " + "[" * 5_000, "a = " + "9" * 5_000], ids=range(7)
)
def test_text_that_is_no_toml_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^bot.toml: not valid TOML"):
        parse_config(text, "bot.toml")


def test_an_override_into_a_section_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^bot.toml: run: 3; accepted: a table"):
        parse_config("run = 3", "bot.toml", {"run.iterations": 1})


@given(st.text(max_size=200))
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text, "bot.toml")


@given(
    st.dictionaries(
        st.sampled_from(["run", "strategy", "venues", "limits", "alerts", "metrics", "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ),
    )
)
def test_what_has_no_fault_converts_and_what_has_one_does_not_reach_the_conversion(tree: dict[str, Any]) -> None:
    """The shape check is as strict as the conversion it stands before."""
    if not list(misfits(tree, inspect.type_info(Config))):
        msgspec.convert(tree, Config)


def test_every_type_in_the_configuration_has_words_for_an_operator() -> None:
    def kinds(kind: inspect.Type) -> list[inspect.Type]:
        fields = [field.type for field in kind.fields] if isinstance(kind, inspect.StructType) else []
        return [kind, *(each for field in fields for each in kinds(field))]

    assert [] == [kind for kind in kinds(inspect.type_info(Config)) if accepted(kind).endswith("Type")]


def test_the_helper_writes_what_it_means() -> None:
    assert HEDGE == tomllib.loads(text_of(HEDGE))
