"""EIP-712 signatures of GRVT orders (grvt.md §4), the digest built by hand: 0.02 ms instead of 3 ms, checked against the vectors.

It must never round or cut a number: what cannot be signed exactly is refused. The private key leaves this module in no form, not even
in an error or a repr.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple, Protocol

from eth_keys.backends.native.main import NativeECCBackend
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

try:
    import coincurve

    HAS_COINCURVE = True
except ImportError:
    HAS_COINCURVE = False

PRICE_DECIMALS = 9
GOOD_TILL_TIME, IMMEDIATE_OR_CANCEL = 1, 3
_SHIFT_MAX = 60

_ORDER_TYPE = keccak(
    text="Order(uint64 subAccountID,bool isMarket,uint8 timeInForce,bool postOnly,bool reduceOnly,OrderLeg[] legs,"
    "uint32 nonce,int64 expiration)"
    "OrderLeg(uint256 assetID,uint64 contractSize,uint64 limitPrice,bool isBuyingContract)"
)
_LEG_TYPE = keccak(text="OrderLeg(uint256 assetID,uint64 contractSize,uint64 limitPrice,bool isBuyingContract)")
_DOMAIN_TYPE = keccak(text="EIP712Domain(string name,string version,uint256 chainId)")


class NotSignable(Exception):
    """The order cannot be expressed in the signed message exactly."""


class SignableOrder(NamedTuple):
    """The signed fields. ``contract_size`` and ``limit_price`` are already scaled integers; ``expiration_ns`` unix nanoseconds."""

    sub_account_id: int
    is_market: bool
    time_in_force: int
    post_only: bool
    reduce_only: bool
    asset_id: int
    contract_size: int
    limit_price: int
    is_buying: bool
    nonce: int
    expiration_ns: int


class Signature(NamedTuple):
    """``r`` and ``s`` as 0x and 64 hex digits, leading zeros kept; ``s`` in the lower half (2006, 2007); ``v`` 27 or 28."""

    r: str
    s: str
    v: int


class _Key(Protocol):
    address: str

    def sign(self, digest: bytes) -> tuple[int, int, int]: ...


class CoincurveKey:
    """libsecp256k1: 0.05 ms a signature."""

    def __init__(self, secret: bytes) -> None:
        self._key = coincurve.PrivateKey(secret)
        self.address = _address(self._key.public_key.format(compressed=False)[1:])

    def sign(self, digest: bytes) -> tuple[int, int, int]:
        raw = self._key.sign_recoverable(digest, hasher=None)
        return int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64]


class EthKeysKey:
    """Pure Python where coincurve is not installed: 1.7 ms a signature, the same bytes."""

    def __init__(self, secret: bytes) -> None:
        self._key = PrivateKey(secret, backend=NativeECCBackend())
        self.address = _address(self._key.public_key.to_bytes())

    def sign(self, digest: bytes) -> tuple[int, int, int]:
        signed = self._key.sign_msg_hash(digest)
        return signed.r, signed.s, signed.v


class OrderSigner:
    """Signs for one key on one chain (325 production, 326 test net)."""

    def __init__(self, private_key: str, chain_id: int, make_key: type[CoincurveKey] | type[EthKeysKey] | None = None) -> None:
        secret = _secret_of(private_key)
        make = make_key or (CoincurveKey if HAS_COINCURVE else EthKeysKey)
        try:
            self._key: _Key = make(secret)
        except ValueError:
            raise ValueError("the private key is outside the curve") from None
        self.chain_id = chain_id
        self.address = self._key.address
        self._domain = keccak(
            _DOMAIN_TYPE + keccak(text="GRVT Exchange") + keccak(text="0") + _word(chain_id),
        )

    def __repr__(self) -> str:
        return f"OrderSigner({self.address}, chain {self.chain_id})"

    def sign(self, order: SignableOrder) -> Signature:
        r, s, recovery = self._key.sign(self.digest(order))
        return Signature(r=f"0x{r:064x}", s=f"0x{s:064x}", v=27 + recovery)

    def digest(self, order: SignableOrder) -> bytes:
        """The 32 bytes that are signed."""
        return keccak(b"\x19\x01" + self._domain + struct_hash(order))


def struct_hash(order: SignableOrder) -> bytes:
    """EIP-712 hashStruct of the order; each number is checked against its type's range (NotSignable)."""
    leg = keccak(
        _LEG_TYPE + _word(order.asset_id) + _word(order.contract_size, 64) + _word(order.limit_price, 64) + _word(order.is_buying)
    )
    return keccak(
        _ORDER_TYPE
        + _word(order.sub_account_id, 64)
        + _word(order.is_market)
        + _word(order.time_in_force, 8)
        + _word(order.post_only)
        + _word(order.reduce_only)
        + keccak(leg)
        + _word(order.nonce, 32)
        + _word(order.expiration_ns, 63)
    )


def scaled(value: Decimal, decimals: int, name: str) -> int:
    """``value * 10**decimals`` as an exact integer; an excess decimal, a sign or an infinity is NotSignable, never cut."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or (sign and value != 0):
        raise NotSignable(f"{name} {value} is not a positive number")
    coefficient = int("".join(map(str, digits)))
    shift = exponent + decimals
    if abs(shift) > _SHIFT_MAX:
        raise NotSignable(f"{name} {value} is out of range")
    if shift >= 0:
        return coefficient * int(10**shift)
    whole, rest = divmod(coefficient, int(10**-shift))
    if rest:
        raise NotSignable(f"{name} {value} has more than {decimals} decimals")
    return whole


def _word(value: int, bits: int = 256) -> bytes:
    if not 0 <= value < 1 << bits:
        raise NotSignable(f"{value} does not fit {bits} bits")
    return int(value).to_bytes(32, "big")


def _secret_of(private_key: str) -> bytes:
    text = private_key.strip().removeprefix("0x")
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise ValueError("the private key is not 64 hex digits")
    return secret


def _address(public_key: bytes) -> str:
    return f"0x{keccak(public_key)[12:].hex()}"
