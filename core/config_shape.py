"""What is wrong with a tree of plain values that should become a struct: the key, the fault and what is accepted, in one line each.

It judges shape only: keys, types, and numbers that are written as decimal strings. What the values mean is ``core/config.py``'s business.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from msgspec import inspect

NUMBER_LIMIT, DECIMAL_PLACES = 10**10, 18
"""Numbers stay below the one and decimals within the other: 28 digits in all, which arithmetic keeps exactly. Beyond them it raises."""


def misfits(value: object, kind: inspect.Type, path: str = "") -> Iterator[str]:
    """One line for each place where ``value`` does not have the shape of ``kind``; an empty iterator means that it converts."""
    match kind:
        case inspect.StructType() if isinstance(value, dict):
            yield from _keys(value, kind, path)
        case inspect.DictType() if isinstance(value, dict):
            for key, item in value.items():
                yield from misfits(item, kind.value_type, _join(path, str(key)))
        case inspect.VarTupleType() if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield from misfits(item, kind.item_type, f"{path}[{index}]")
        case inspect.UnionType() if value is not None:
            yield from misfits(value, next(each for each in kind.types if not isinstance(each, inspect.NoneType)), path)
        case _:
            if not _fits(value, kind):
                yield f"{path}: {value!r}; accepted: {accepted(kind)}"


def _keys(table: dict[str, object], kind: inspect.StructType, path: str) -> Iterator[str]:
    """Unknown keys first: a misspelt key is also a missing one, and its own name says more."""
    known = {field.encode_name: field for field in kind.fields}
    for key in table:
        if key not in known:
            yield f"{_join(path, key)}: unknown key; accepted: {', '.join(known)}"
    for key, field in known.items():
        if key in table:
            yield from misfits(table[key], field.type, _join(path, key))
        elif field.required:
            yield f"{_join(path, key)}: missing; accepted: {accepted(field.type)}"


def _fits(value: object, kind: inspect.Type) -> bool:
    if isinstance(value, bool):
        return isinstance(kind, inspect.BoolType)
    match kind:
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.LiteralType():
            return isinstance(value, str) and value in kind.values
        case inspect.IntType():
            return isinstance(value, int)
        case inspect.FloatType():
            return isinstance(value, int | float) and abs(value) < NUMBER_LIMIT
        case inspect.DecimalType():
            return isinstance(value, str) and _is_decimal(value)
        case inspect.UnionType():
            return value is None
        case _:
            return False


def _is_decimal(text: str) -> bool:
    try:
        value = Decimal(text)
        return value.copy_abs() < NUMBER_LIMIT and round(value, DECIMAL_PLACES) == value
    except InvalidOperation:  # Not a number, or one that says so.
        return False


def accepted(kind: inspect.Type) -> str:
    """What a value of this type may look like, for an operator."""
    match kind:
        case inspect.StrType():
            return "a text"
        case inspect.BoolType():
            return "true, false"
        case inspect.LiteralType():
            return ", ".join(str(value) for value in kind.values)
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number below 1e10"
        case inspect.DecimalType():
            return 'a decimal string such as "0.10", below 1e10, 18 decimals at most'
        case inspect.VarTupleType():
            return f"a list, each {accepted(kind.item_type)}"
        case inspect.DictType():
            return f"a table, each value {accepted(kind.value_type)}"
        case inspect.UnionType():
            return accepted(next(each for each in kind.types if not isinstance(each, inspect.NoneType)))
        case inspect.StructType():
            return f"a table of {', '.join(field.encode_name for field in kind.fields)}"
        case _:
            return type(kind).__name__


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
