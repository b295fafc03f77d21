"""The floor plan holds: who may import whom, where everything may be caught, and how large a function or a file may grow.

Read from the source with ``ast``; nothing is imported. docs: ARCHITECTURE §1.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("core", "actors", "adapters", "simulator")
OWN = {*FLOORS, "supervisor", "bench", "tests"}
PURE = {
    "__future__",
    "abc",
    "bisect",
    "collections",
    "dataclasses",
    "decimal",
    "enum",
    "functools",
    "heapq",
    "itertools",
    "math",
    "operator",
    "re",
    "tomllib",
    "typing",
}
"""All of the standard library that core may use: no clock, thread, socket, file, randomness, environment or log among it."""
IMPURE_CALLS = {"open", "print", "input", "eval", "exec", "compile", "__import__", "breakpoint"}
STANDARD = set(sys.stdlib_module_names)
MAY_CATCH_ALL = ("actors/base.py", "adapters/transport/", "supervisor.py")
FUNCTION_LINES_MAX, FILE_LINES_MAX = 70, 500


def sources(floor: str) -> list[Path]:
    return sorted((ROOT / floor).rglob("*.py"))


PRODUCT = [path for floor in FLOORS for path in sources(floor)] + [ROOT / "supervisor.py"]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imported(source: ast.AST) -> set[str]:
    """Full names of everything imported anywhere in the module, also inside functions; a relative import is ``.``."""
    found: set[str] = set()
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." if node.level else node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names} if module in OWN else {module}
    return found


def tops(source: ast.AST) -> set[str]:
    return {name.partition(".")[0] for name in imported(source)}


def catches_all(source: ast.AST) -> Iterator[int]:
    """Lines of handlers that swallow everything, bare or by name, alone or in a tuple; one that ends in ``raise`` swallows nothing."""
    for node in ast.walk(source):
        if isinstance(node, ast.ExceptHandler) and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None):
            names = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(name is None or (isinstance(name, ast.Name) and name.id in ("Exception", "BaseException")) for name in names):
                yield node.lineno


def long_functions(source: ast.AST) -> list[str]:
    return [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(source)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]


def impure_calls(source: ast.AST) -> list[str]:
    return [
        f"line {node.lineno}: {node.func.id}()"
        for node in ast.walk(source)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
    ]


# ---- who may import whom ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sources("core"), ids=name_of)
def test_core_imports_nothing_that_reaches_outside(path: Path) -> None:
    """Only core, msgspec and the pure part of the standard library."""
    assert set() == tops(tree_of(path)) - PURE - {"core", "msgspec"}


@pytest.mark.parametrize("path", sources("core"), ids=name_of)
def test_core_calls_nothing_that_reaches_outside(path: Path) -> None:
    assert [] == impure_calls(tree_of(path))


@pytest.mark.parametrize("path", sources("actors"), ids=name_of)
def test_actors_know_core_and_pykka_and_no_network(path: Path) -> None:
    assert set() == tops(tree_of(path)) - STANDARD - {"core", "actors", "pykka"}


@pytest.mark.parametrize("path", sources("adapters"), ids=name_of)
def test_adapters_know_neither_actors_nor_the_simulator(path: Path) -> None:
    assert set() == tops(tree_of(path)) & {"actors", "pykka", "simulator", "supervisor", "tests", "bench"}


@pytest.mark.parametrize("path", sources("simulator"), ids=name_of)
def test_the_simulator_shares_only_words_and_rounding_with_core(path: Path) -> None:
    """It must not share a parser's misreading with the adapters it is there to contradict."""
    own = {name for name in imported(tree_of(path)) if name.partition(".")[0] in OWN or name == "pykka"}
    assert set() == {
        name for name in own if name.partition(".")[0] != "simulator" and name not in ("core.types", "core.instrument")
    }


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_only_the_supervisor_knows_actors_and_adapters(path: Path) -> None:
    both = {"actors", "adapters"} <= tops(tree_of(path))
    assert both is (name_of(path) == "supervisor.py")


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_imports_are_absolute_and_never_of_tests(path: Path) -> None:
    assert set() == tops(tree_of(path)) & {"", "tests", "bench"}


# ---- names, catching, size ----------------------------------------------------------------------------------------------------


def test_no_file_hides_the_websocket_library() -> None:
    own = [path for floor in (*FLOORS, "tests", "bench") for path in sources(floor)] + sorted(ROOT.glob("*.py"))
    assert [] == [name_of(path) for path in own if path.name == "websocket.py"]


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_everything_is_caught_only_where_somebody_elses_code_may_fail(path: Path) -> None:
    lines = [] if name_of(path).startswith(MAY_CATCH_ALL) else list(catches_all(tree_of(path)))
    assert [] == lines


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_no_function_is_longer_than_a_screen(path: Path) -> None:
    assert [] == long_functions(tree_of(path))


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_no_file_is_longer_than_it_may_be(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    source = tree_of(path)
    assert ast.get_docstring(source) or not source.body


# ---- the rules themselves can fail --------------------------------------------------------------------------------------------


def test_the_reader_finds_imports_wherever_they_hide() -> None:
    text = "import time\nfrom core import types\nfrom . import x\ndef f():\n    import threading as t\n    from os import path\n"
    assert {"time", "core.types", "", "threading", "os"} == {
        name.replace(".", "", name == ".") for name in imported(ast.parse(text))
    }


@pytest.mark.parametrize(
    "handler", ["except:", "except Exception:", "except BaseException as e:", "except (ValueError, Exception):"]
)
def test_the_reader_finds_every_way_to_catch_everything(handler: str) -> None:
    assert [3] == list(catches_all(ast.parse(f"try:\n    f()\n{handler}\n    pass\n")))


def test_the_reader_lets_a_named_failure_be_caught() -> None:
    assert [] == list(catches_all(ast.parse("try:\n    f()\nexcept (ValueError, KeyError):\n    pass\n")))


def test_the_reader_lets_everything_be_cleaned_up_after_and_raised_again() -> None:
    assert [] == list(catches_all(ast.parse("try:\n    f()\nexcept BaseException:\n    g()\n    raise\n")))


def test_the_reader_finds_a_function_of_one_line_too_many() -> None:
    body = "    pass\n" * FUNCTION_LINES_MAX
    assert ["f: 71 lines"] == long_functions(ast.parse(f"def f():\n{body}"))


def test_the_reader_finds_a_call_that_reaches_outside() -> None:
    assert ["line 1: open()"] == impure_calls(ast.parse("open('x')"))
