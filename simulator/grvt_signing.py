"""Who signed a GRVT order: the EIP-712 digest, written out by hand, and recovery of the signer.

Only verifies; never signs and never sees a key. Source: grvt.md §4, checked against the signing vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

TIME_IN_FORCE = {
    "GOOD_TILL_TIME": 1,
    "ALL_OR_NONE": 2,
    "IMMEDIATE_OR_CANCEL": 3,
    "FILL_OR_KILL": 4,
    "RETAIL_PRICE_IMPROVEMENT": 5,
}
"""The numbers signatures name a time in force by (grvt.md §4)."""

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
PRICE_MULTIPLIER = Decimal(10**9)

_LEG_TYPE = b"OrderLeg(uint256 assetID,uint64 contractSize,uint64 limitPrice,bool isBuyingContract)"
_ORDER_TYPE = (
    b"Order(uint64 subAccountID,bool isMarket,uint8 timeInForce,bool postOnly,bool reduceOnly,"
    b"OrderLeg[] legs,uint32 nonce,int64 expiration)" + _LEG_TYPE
)
_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId)"


class SignedOrder(NamedTuple):
    """The signed part of an order, in the integers the signature covers."""

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
    expiration: int


def scaled(size: Decimal, price: Decimal, base_decimals: int) -> tuple[int, int]:
    """(contractSize, limitPrice) of a size in base and a price in quote, decimals in excess cut off (grvt.md §4)."""
    return int(size * Decimal(10) ** base_decimals), int(price * PRICE_MULTIPLIER)


def digest(order: SignedOrder, chain_id: int) -> bytes:
    """The 32 bytes a GRVT key signs for ``order``; OverflowError if a number does not fit its type."""
    leg = _hash(_LEG_TYPE, order.asset_id, order.contract_size, order.limit_price, order.is_buying)
    struct = _hash(
        _ORDER_TYPE,
        order.sub_account_id,
        order.is_market,
        order.time_in_force,
        order.post_only,
        order.reduce_only,
        keccak(leg),
        order.nonce,
        order.expiration,
    )
    domain = _hash(_DOMAIN_TYPE, keccak(b"GRVT Exchange"), keccak(b"0"), chain_id)
    return keccak(b"\x19\x01" + domain + struct)


def recover(message_hash: bytes, *, r: int, s: int, v: int) -> str | None:
    """Lower-case address of whoever signed ``message_hash``, or None where the numbers are no signature. v is 27 or 28."""
    try:
        signature = Signature(vrs=(v - 27, r, s))
        return str(signature.recover_public_key_from_msg_hash(message_hash).to_address()).lower()
    except (BadSignature, ValidationError):
        return None


def signature_fault(signature: Mapping[str, object]) -> int | None:
    """The error code of a signature whose form alone is wrong: 2006 (r/s), 2005 (v), 2007 (high s); None = well formed."""
    r, s, v = signature.get("r"), signature.get("s"), signature.get("v")
    if not (_is_word(r) and _is_word(s)):
        return 2006
    if v not in (27, 28):
        return 2005
    return 2007 if int(str(s), 16) > CURVE_ORDER // 2 else None


def _is_word(value: object) -> bool:
    if not isinstance(value, str) or len(digits := value.removeprefix("0x")) != 64:
        return False
    return all(c in "0123456789abcdefABCDEF" for c in digits)


def _hash(type_text: bytes, *fields: int | bytes) -> bytes:
    words = [keccak(type_text)]
    words.extend(f if isinstance(f, bytes) else int(f).to_bytes(32, "big") for f in fields)
    return keccak(b"".join(words))
