"""The zk signature of an order, by apexomni's native library (apex.md §0.9, §1.5).

The library is found without importing the package that ships it, and loaded when the first order is signed: importing apexomni would cost
100 MB and a second. What cannot be signed exactly is refused (NotSignable), never rounded.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import sys
import threading
from decimal import Context, Decimal, Inexact, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

from core.ports import VenueRefused

PACKAGE = "apexomni"
MIN_SEED_BYTES = 32
FEE_SCALE = 10_000
_MAX_UINT32 = 2**32 - 1
_MAX_UINT64 = 2**64 - 1
_EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
_MODULE_FILE = Path("pc", "linux_x86", "zklink_sdk.py")

_lock = threading.Lock()
_library: Any = None


class NotSignable(Exception):
    """The signature's fields cannot hold these numbers."""


class ZkOrder(NamedTuple):
    """What is signed; ``size`` base, ``price`` quote, both scaled by ``decimals``; fee rates are fractions. Type, time in force, trigger
    and expiry are not part of it."""

    account_id: int
    pair_id: int
    client_id: str
    size: Decimal
    price: Decimal
    is_buy: bool
    taker_fee_rate: Decimal
    maker_fee_rate: Decimal
    decimals: int


def library_file() -> Path:
    """Where the native signer's bindings are. Raises VenueRefused where there is none for this platform, or it is not installed."""
    if sys.platform != "linux" or platform.machine().lower() not in ("x86_64", "amd64"):
        raise VenueRefused(f"apex: orders can be signed on Linux x86-64 only, not on {sys.platform} {platform.machine()}")
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / _MODULE_FILE
        if path.is_file():
            return path
    raise VenueRefused("apex: the order signer is not installed; accepted: pip install 'perpfarm[apex]'")


def _load() -> Any:
    """The bindings, loaded once a process. Raises VenueRefused."""
    global _library
    with _lock:
        if _library is None:
            spec = importlib.util.spec_from_file_location("adapters_apex_zklink", library_file())
            if spec is None or spec.loader is None:
                raise VenueRefused("apex: the order signer cannot be loaded")
            module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except (OSError, ImportError, AttributeError) as error:
                raise VenueRefused(f"apex: the order signer cannot be loaded: {type(error).__name__}") from None
            _library = module
        return _library


class ZkSigner:
    """Signs with one seed. Signatures are deterministic; one takes 3.5 ms and releases the interpreter lock (apex.md §1.6)."""

    def __init__(self, seed: str) -> None:
        """``seed``: hex, with or without 0x. Raises VenueRefused, which never shows it."""
        try:
            self._seed = bytes.fromhex(seed.strip().removeprefix("0x"))
        except ValueError:
            raise VenueRefused("apex: APEX_OMNI_KEY_SEED is not hex") from None
        if len(self._seed) < MIN_SEED_BYTES:
            raise VenueRefused(f"apex: APEX_OMNI_KEY_SEED is too short; accepted: hex of at least {MIN_SEED_BYTES} bytes")
        self._native: Any = None

    def __repr__(self) -> str:
        return "ZkSigner(<seed hidden>)"

    def sign(self, order: ZkOrder) -> str:
        """``0x`` and 128 hex digits. Raises NotSignable, and VenueRefused where the native signer is absent or refuses the seed."""
        nonce, slot = nonce_and_slot(order.client_id)
        fields = (
            order.account_id % _MAX_UINT32,
            0,
            slot,
            nonce,
            order.pair_id,
            str(scaled(order.size, order.decimals)),
            str(scaled(order.price, order.decimals)),
            order.is_buy,
            fee_steps(order.taker_fee_rate),
            fee_steps(order.maker_fee_rate),
            False,
        )
        library = _load()
        if self._native is None:
            self._native = self._native_signer(library)
        try:
            data = library.Contract(library.ContractBuilder(*fields)).get_bytes()
            return str(self._native.sign_musig(data).signature)
        except (ValueError, OverflowError, library.InternalError, library.ZkSignerError) as error:
            raise NotSignable(f"the native signer refuses the order: {type(error).__name__}") from None

    def _native_signer(self, library: Any) -> Any:
        try:
            return library.ZkLinkSigner.new_from_seed(self._seed)
        except (library.ZkSignerError, library.InternalError):
            raise VenueRefused("apex: APEX_OMNI_KEY_SEED is refused by the native signer") from None


def nonce_and_slot(client_id: str) -> tuple[int, int]:
    """Both come from the hash of the client id, so that a client id used twice is a nonce used twice (apex.md §1.5)."""
    digest = int.from_bytes(hashlib.sha256(client_id.encode("utf-8")).digest(), "big")
    nonce, slot = digest % _MAX_UINT32, (digest % _MAX_UINT64) // _MAX_UINT32
    if slot > _MAX_UINT32:
        raise NotSignable("the slot of this client id does not fit 32 bits")
    return nonce, slot


def scaled(value: Decimal, decimals: int) -> int:
    """``value`` times 10**decimals, exactly."""
    try:
        found = _EXACT.scaleb(value, decimals)
        whole = int(found)
    except (Inexact, InvalidOperation, ValueError, OverflowError):
        raise NotSignable(f"{value} is not a usable number") from None
    if whole != found or whole <= 0:
        raise NotSignable(f"{value} has more than {decimals} decimals, or is not above zero")
    return whole


def fee_steps(rate: Decimal) -> int:
    """The signed ceiling of a fee rate, in hundredths of a percent, rounded up."""
    steps = rate * FEE_SCALE
    whole = int(steps)
    return max(whole + (whole < steps), 0)
