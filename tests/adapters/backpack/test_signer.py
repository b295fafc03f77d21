"""Claims on Ed25519 signing; the vectors were computed with two libraries."""

from __future__ import annotations

import base64

import pytest

from adapters.backpack.signer import Signer, signed_text
from core.ports import VenueRefused
from tests.adapters.backpack.support import PUBLIC_KEY, SECRET_KEY, SEED, SIGNER, recorded


def test_signed_texts_and_signatures_equal_the_vectors() -> None:
    """Every vector's text and signature come out byte for byte."""
    expected, actual = [], []
    for vector in recorded("sign_vectors"):
        text = signed_text(vector["instruction"], vector["params"], vector["timestamp"], vector["window"])
        expected.append((vector["message"], vector["signature"]))
        actual.append((text, Signer(vector["pub_b64"], vector["seed_b64"]).sign(text)))
    assert expected == actual


def test_order_text_sorts_fields_and_writes_booleans_in_lower_case() -> None:
    """Holds without the recorded vectors too."""
    text = signed_text("orderExecute", {"symbol": "A_B", "reduceOnly": True, "clientId": 5}, 10, 20)
    assert text == "instruction=orderExecute&clientId=5&reduceOnly=true&symbol=A_B&timestamp=10&window=20"


def test_a_64_byte_secret_signs_as_its_first_half() -> None:
    """Some exports append the public key to the seed."""
    both = base64.b64encode(SEED + base64.b64decode(PUBLIC_KEY)).decode()
    assert Signer(PUBLIC_KEY, both).sign("x") == SIGNER.sign("x")


def test_keys_may_be_surrounded_by_blanks() -> None:
    """A line break at the end of a secret file is not part of the key."""
    assert Signer(f"{PUBLIC_KEY}\n", f" {SECRET_KEY}\n").public_key == PUBLIC_KEY


@pytest.mark.parametrize(
    ("public", "secret", "expected"),
    [
        (base64.b64encode(bytes(32)).decode(), SECRET_KEY, "backpack: BACKPACK_PUBLIC_KEY does not belong to BACKPACK_SECRET_KEY"),
        (PUBLIC_KEY, "not base64!", "backpack: BACKPACK_SECRET_KEY is not base64"),
        (PUBLIC_KEY, "ключ", "backpack: BACKPACK_SECRET_KEY is not base64"),
        (PUBLIC_KEY, base64.b64encode(bytes(31)).decode(), "backpack: BACKPACK_SECRET_KEY is 31 bytes long; accepted: base64 of 32 or 64 bytes"),
        (base64.b64encode(bytes(33)).decode(), SECRET_KEY, "backpack: BACKPACK_PUBLIC_KEY is 33 bytes long; accepted: base64 of 32 bytes"),
    ],
)  # fmt: skip
def test_an_impossible_pair_is_refused_in_one_line(public: str, secret: str, expected: str) -> None:
    """The line names the variable and the rule, never the value."""
    with pytest.raises(VenueRefused) as caught:
        Signer(public, secret)
    assert expected == str(caught.value)


def test_the_signer_does_not_print_its_key() -> None:
    """repr is what ends up in tracebacks and logs."""
    assert repr(SIGNER) == "Signer(<key hidden>)"


def test_subscription_carries_four_strings() -> None:
    """Key, signature of the subscribe text, time and window (backpack.md §1)."""
    key, signature, timestamp, window = SIGNER.subscription(1_614_550_000_000, 5_000)
    expected = SIGNER.sign("instruction=subscribe&timestamp=1614550000000&window=5000")
    assert (PUBLIC_KEY, expected, "1614550000000", "5000") == (key, signature, timestamp, window)
