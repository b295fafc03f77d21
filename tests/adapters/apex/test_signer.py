"""Claims on both signatures: the vectors were recorded from the venue's own library with a public test seed."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.apex import requests, zk
from adapters.apex.requests import Account, Call
from adapters.apex.signer import ApiKey, signed_text
from adapters.apex.zk import NotSignable, ZkOrder, ZkSigner, fee_steps, nonce_and_slot, scaled
from core.ports import VenueRefused
from core.types import Fees
from tests.adapters.apex.support import KEY, KEY_TEXT, PASSPHRASE, SECRET, SEED, need_native_signer, recorded


def order_vectors() -> list[dict[str, Any]]:
    return [row for row in recorded("sdk_order_posts") if "form" in row]


def zk_order(row: dict[str, Any], prefix: str = "") -> ZkOrder:
    """The main order of a vector, or its attached leg ``sl`` or ``tp``."""
    form = row["form"]
    leg = {name: form[f"{prefix}{name[0].upper()}{name[1:]}" if prefix else name] for name in ("size", "price", "side")}
    client_id = form[f"{prefix}ClientOrderId" if prefix else "clientId"]
    rates = Decimal(row["takerFeeRate"]), Decimal(row["makerFeeRate"])
    sides = Decimal(leg["size"]), Decimal(leg["price"]), leg["side"] == "BUY"
    return ZkOrder(int(row["accountId"]), int(row["l2PairId"]), client_id, *sides, *rates, 18)


def test_zk_signatures_equal_the_vectors() -> None:
    """Every recorded order, attached legs included, byte for byte."""
    need_native_signer()
    expected, actual = [], []
    for row in order_vectors():
        for prefix in ("", "sl", "tp"):
            name = f"{prefix}Signature" if prefix else "signature"
            if name in row["form"]:
                expected.append((row["case"], name, row["form"][name]))
                actual.append((row["case"], name, ZkSigner(row["seed_hex"]).sign(zk_order(row, prefix))))
    assert expected == actual


def test_limit_fees_equal_the_vectors() -> None:
    """Six decimals, rounded up."""
    rows = order_vectors()
    actual = [
        requests.limit_fee(Decimal(row["form"]["price"]), Decimal(row["form"]["size"]), Decimal(row["takerFeeRate"]))
        for row in rows
    ]
    assert [row["form"]["limitFee"] for row in rows] == actual


def test_hmac_messages_equal_the_vectors() -> None:
    """Method, path with the query of a GET, and a POST's form sorted by key."""
    expected, actual = [], []
    for row in recorded("sdk_order_posts"):
        if "hmac_message_tail" in row:
            form = dict(parse_qsl(row["body"], keep_blank_values=True)) if row["method"] == "POST" else {}
            expected.append(f"1{row['hmac_message_tail']}")
            actual.append(signed_text(1, row["method"], row["path"], form))
    assert expected == actual


def test_the_login_equals_the_vector() -> None:
    """Same members, same signature."""
    [row] = recorded("private_login_vector")
    wanted = json.loads(row["frame"]["args"][0])
    frame = json.loads(ApiKey(wanted["apiKey"], row["secret"], wanted["passphrase"]).login(wanted["timestamp"]))
    assert ("login", wanted) == (frame["op"], json.loads(frame["args"][0]))


def test_a_private_call_is_signed_over_what_is_sent() -> None:
    """The query stands in the path, the form is sorted; both are the sent bytes."""
    get = requests.render(requests.open_orders(), KEY, 5)
    post = requests.render(Call("POST", "/v3/x", {"b": "2", "a": "1"}), KEY, 5)
    expected = (KEY.sign(f"5GET/api/v3/open-orders?{get.query}"), KEY.sign("5POST/api/v3/xa=1&b=2"))
    assert expected == (get.headers["APEX-SIGNATURE"], post.headers["APEX-SIGNATURE"])


def test_a_public_call_carries_no_credential() -> None:
    """Market data needs none."""
    assert {} == requests.render(requests.server_time(), KEY, 5).headers


@pytest.mark.parametrize("client_id", ["pf-1", "pf-4294967295", "bot-0001"])
def test_nonce_and_slot_fit_their_fields(client_id: str) -> None:
    """32 bits each."""
    assert all(0 <= part < 2**32 for part in nonce_and_slot(client_id))


@given(st.sets(st.integers(min_value=0, max_value=2**32 - 1), min_size=2, max_size=50))
def test_different_client_ids_have_different_nonces(counters: set[int]) -> None:
    """One nonce and slot an order."""
    found = {nonce_and_slot(f"pf-{counter}") for counter in counters}
    assert len(counters) == len(found)


@pytest.mark.parametrize(("text", "expected"), [("1", 10**18), ("0.001", 10**15), ("60000.5", 60_000_500_000_000_000_000_000)])
def test_numbers_are_scaled_exactly(text: str, expected: int) -> None:
    """To whole units of the settle asset."""
    assert expected == scaled(Decimal(text), 18)


@pytest.mark.parametrize("text", ["0", "-1", "NaN", "Infinity", "0.0000000000000000001"])
def test_a_number_that_cannot_be_scaled_is_not_signed(text: str) -> None:
    """Nothing is rounded."""
    with pytest.raises(NotSignable):
        scaled(Decimal(text), 18)


@pytest.mark.parametrize(("rate", "expected"), [("0.0005", 5), ("0.00051", 6), ("0", 0), ("-0.0001", 0)])
def test_fee_ceilings_are_rounded_up(rate: str, expected: int) -> None:
    """A ceiling below the fee would be refused; a rebate is signed as zero."""
    assert expected == fee_steps(Decimal(rate))


@pytest.mark.parametrize("seed", ["canary-not-hex", "ca" * 31, "0xca"])
def test_a_bad_seed_is_refused_without_showing_it(seed: str) -> None:
    """The line names the variable."""
    with pytest.raises(VenueRefused, match="APEX_OMNI_KEY_SEED") as caught:
        ZkSigner(seed)
    assert (False, None) == (seed in str(caught.value), caught.value.__cause__)


def test_signers_do_not_print_their_secrets() -> None:
    """repr is what ends up in tracebacks and logs."""
    shown = repr(KEY) + repr(ZkSigner(SEED))
    assert [] == [secret for secret in (KEY_TEXT, SECRET, PASSPHRASE, SEED) if secret in shown]


def test_another_platform_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The native part exists for Linux x86-64 only."""
    monkeypatch.setattr(zk.platform, "machine", lambda: "aarch64")
    with pytest.raises(VenueRefused, match=r"Linux x86-64 only, not on .* aarch64"):
        zk.library_file()


def test_a_missing_signer_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the extra."""
    monkeypatch.setattr(zk.sys, "platform", "linux")
    monkeypatch.setattr(zk.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(zk, "PACKAGE", "no_such_package_here")
    with pytest.raises(VenueRefused, match=r"pip install 'perpfarm\[apex\]'"):
        zk.library_file()


def test_importing_and_signing_never_import_the_package() -> None:
    """Not the adapter, and not the first signature: in a fresh interpreter no module of apexomni or web3 is loaded."""
    need_native_signer()
    script = (
        "import sys; from decimal import Decimal as D; import adapters.apex; from adapters.apex.zk import ZkOrder, ZkSigner;"
        "loaded = [m for m in sys.modules if 'zklink' in m];"
        "ZkSigner('22' * 65).sign(ZkOrder(1, 1, 'pf-1', D(1), D(1), True, D('0.0005'), D('0.0002'), 18));"
        "print([loaded, [m for m in sys.modules if m.split('.')[0] in ('apexomni', 'web3', 'sympy')]])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "[[], []]" == done.stdout.strip()


def test_other_adapters_do_not_import_this_one() -> None:
    """A run on GRVT and Backpack never loads ApeX."""
    script = "import sys, adapters.grvt, adapters.backpack; print([m for m in sys.modules if m.startswith('adapters.apex')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "[]" == done.stdout.strip()


def test_the_account_names_the_signature() -> None:
    """Id and both fee ceilings are part of what is signed."""
    need_native_signer()
    base = ZkOrder(1, 1, "pf-1", Decimal(1), Decimal(1), True, Decimal("0.0005"), Decimal("0.0002"), 18)
    account = Account(2, Fees(maker=Decimal("0.0003"), taker=Decimal("0.0006")))
    variants = [
        base,
        base._replace(account_id=account.account_id),
        base._replace(taker_fee_rate=account.fees.taker),
        base._replace(maker_fee_rate=account.fees.maker),
    ]
    assert 4 == len({ZkSigner(SEED).sign(variant) for variant in variants})
