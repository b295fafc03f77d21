"""The zk signature of an order, checked with the venue's own native library where it is installed (apex.md §1.5, §1.6).

The library is loaded by its file, on the first order: importing the package around it costs a second and 100 MB. Must never sign.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from decimal import ROUND_UP, Decimal
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from core.types import Fees

PACKAGE = "apexomni"
LIBRARY = "pc/linux_x86/zklink_sdk.py"
_SHAPE = re.compile(r"(0x)?[0-9a-f]{128}")
_UINT32, _UINT64 = 2**32 - 1, 2**64 - 1
_SCALE = Decimal(10) ** 18
"""Prices and sizes are signed with the 18 decimals of the settlement asset."""


class SignedOrder(NamedTuple):
    """What the signature covers, but for account and fees."""

    client_id: str
    l2_pair_id: int
    size: Decimal
    price: Decimal
    is_buy: bool


class ZkVerifier:
    """Checks signatures of one account. Without the library only their shape is checked, which is said once on standard error."""

    def __init__(self, account_id: str, l2_key: str, fees: Fees) -> None:
        """``l2_key``: the public key, hex; ``account_id``: decimal digits, as /v3/account tells them."""
        self._account_id = int(account_id) % _UINT32
        self._l2_key = l2_key
        self._taker, self._maker = (int((rate * 10_000).quantize(Decimal(1), ROUND_UP)) for rate in (fees.taker, fees.maker))

    def is_genuine(self, order: SignedOrder, signature: str) -> bool:
        """Whether ``signature`` ("0x" and 128 hex digits) is this account's over ``order``."""
        if not _SHAPE.fullmatch(signature):
            return False
        library = load_library()
        if library is None:
            return True
        try:
            signed = library.ZkLinkSignature(pub_key=self._l2_key, signature=signature)
            return bool(library.verify_musig(signed, self._bytes_of(library, order)))
        except library.InternalError:
            return False  # Well-formed hex that is no point of the curve.

    def _bytes_of(self, library: ModuleType, order: SignedOrder) -> object:
        digest = int(hashlib.sha256(order.client_id.encode()).hexdigest(), 16)
        size, price = (str(int(value * _SCALE)) for value in (order.size, order.price))
        slot, nonce = (digest % _UINT64) // _UINT32, digest % _UINT32
        builder = library.ContractBuilder(
            self._account_id, 0, slot, nonce, order.l2_pair_id, size, price, order.is_buy, self._taker, self._maker, False
        )
        return library.Contract(builder).get_bytes()


@cache
def load_library() -> ModuleType | None:
    """The native signer's module; None, and a note on standard error, where it is not installed or does not load."""
    package = importlib.util.find_spec(PACKAGE)
    roots = package.submodule_search_locations if package is not None else None
    path = Path(next(iter(roots))) / LIBRARY if roots else None
    spec = importlib.util.spec_from_file_location("zklink_sdk", path) if path is not None and path.exists() else None
    if spec is None or spec.loader is None:
        _note(f"{PACKAGE} is not installed")
        return None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        _note(str(error))
        return None
    return module


def _note(reason: str) -> None:
    print(f"ApeX zk signatures are checked for their shape only: {reason}", file=sys.stderr)
