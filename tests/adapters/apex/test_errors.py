"""Claims on the six kinds of answer: a refusal inside HTTP 200, a ban page and an answer that is no JSON are each their own."""

from __future__ import annotations

import pytest

from adapters.apex.errors import BAN_PAUSE_S, Answered, Banned, Denied, Garbled, Lost, Verdict, judge
from adapters.transport.rest import NotSent, Ok, Outcome, Unknown
from tests.adapters.apex.support import BAN_PAGE, KEY_TEXT, denied, encoded, ok, refused


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (ok({"a": 1}), Answered),
        (ok("774567641487507822"), Answered),
        (Ok(200, {}, b"{}"), Answered),
        (Ok(200, {}, b'{"data":null,"code":0}'), Answered),
        (denied(3, key="ORDER_NOT_FOUND"), Denied),
        (denied(99999), Denied),
        (Ok(200, {}, b'{"code":"20016","msg":"x"}'), Denied),
        (refused(404, {"code": 404, "msg": "no such path"}), Denied),
        (refused(403, {"code": 10003, "msg": "slow"}), Denied),
        (BAN_PAGE, Banned),
        (refused(429, ""), Banned),
        (Ok(200, {}, b"<html>"), Garbled),
        (Ok(200, {}, b""), Garbled),
        (Ok(200, {}, b"[1]"), Garbled),
        (refused(404, "<html>"), Garbled),
        (refused(302, ""), Garbled),
        (Unknown("status 502", 502, b'{"code":3,"msg":"x"}'), Lost),
        (Unknown("ReadTimeout"), Lost),
        (NotSent("ConnectionRefusedError"), NotSent),
    ],
)
def test_each_answer_is_of_one_kind(outcome: Outcome, expected: type) -> None:
    """Decided by the body first, by the status where there is none."""
    assert expected is type(judge(outcome))


@pytest.mark.parametrize(
    ("fields", "verdict", "code"),
    [
        ({"code": 3, "key": "ORDER_THERE_IS_NOT_ENOUGH_MARGIN_TO_OPEN_POSITION"}, Verdict.PERMANENT,
         "ORDER_THERE_IS_NOT_ENOUGH_MARGIN_TO_OPEN_POSITION"),
        ({"code": 3, "key": "INVALID_L2_SIGNATURE"}, Verdict.PERMANENT, "INVALID_L2_SIGNATURE"),
        ({"code": 3, "key": "ORDER_LIMIT_FEE_NOT_ENOUGH"}, Verdict.TEMPORARY, "ORDER_LIMIT_FEE_NOT_ENOUGH"),
        ({"code": 3, "msg": "ORDER_LIMIT_FEE_NOT_ENOUGH"}, Verdict.TEMPORARY, "ORDER_LIMIT_FEE_NOT_ENOUGH"),
        ({"code": 3, "key": "ORDER_NOT_CANCEL_MATCHED"}, Verdict.TEMPORARY, "ORDER_NOT_CANCEL_MATCHED"),
        ({"code": 3, "key": "SOMETHING_NEW"}, Verdict.TEMPORARY, "SOMETHING_NEW"),
        ({"code": 3, "msg": "ORDER_NOT_FOUND: no order"}, Verdict.PERMANENT, "ORDER_NOT_FOUND"),
        ({"code": 3, "msg": "invalid symbol: CLUSDT"}, Verdict.PERMANENT, "3"),
        ({"code": 3, "key": "ORDER_CLIENT_ORDER_DATA_CONFLICT"}, Verdict.UNKNOWN, "ORDER_CLIENT_ORDER_DATA_CONFLICT"),
        ({"code": 400, "msg": "strconv"}, Verdict.PERMANENT, "400"),
        ({"code": 10001}, Verdict.UNKNOWN, "10001"),
        ({"code": 10002}, Verdict.PERMANENT, "10002"),
        ({"code": 10003}, Verdict.TEMPORARY, "RATE_LIMITED"),
        ({"code": 10004}, Verdict.UNKNOWN, "10004"),
        ({"code": 20002}, Verdict.TEMPORARY, "20002"),
        ({"code": 20006}, Verdict.PERMANENT, "20006"),
        ({"code": 20016}, Verdict.PERMANENT, "20016"),
        ({"code": 31337}, Verdict.UNKNOWN, "31337"),
    ],
)  # fmt: skip
def test_codes_and_keys_have_their_verdicts(fields: dict[str, object], verdict: Verdict, code: str) -> None:
    """Whatever could hide an accepted order is UNKNOWN: failures without a reason, time-outs, a client id that exists already."""
    reply = judge(Ok(200, {}, encoded({"msg": "", **fields})))
    assert isinstance(reply, Denied)
    assert (verdict, code) == (reply.verdict, reply.code)


def test_a_ban_without_a_time_lasts_the_published_window() -> None:
    """And one with a time that time."""
    replies = [judge(BAN_PAGE), judge(refused(403, "<html>", retry_after_s=7.0))]
    assert [BAN_PAUSE_S, 7.0] == [reply.retry_after_s for reply in replies if isinstance(reply, Banned)]


@pytest.mark.parametrize(
    "outcome",
    [
        denied(10002, f"Api credential is invalid [apiKey={KEY_TEXT}]!"),
        denied(3, f"Api credential is invalid [apiKey={KEY_TEXT}]!"),
        denied(3, f"no account for {KEY_TEXT}"),
        denied(31337, f"key {KEY_TEXT}", key=KEY_TEXT),
        Ok(200, {}, f"apiKey={KEY_TEXT}".encode()),
        refused(404, f"<html>{KEY_TEXT}"),
        Unknown("status 500", 500, f"{KEY_TEXT}".encode()),
    ],
)
def test_an_echoed_key_is_not_repeated(outcome: Outcome) -> None:
    """In no field of the reply."""
    assert KEY_TEXT not in repr(judge(outcome))


def test_an_empty_answer_says_so() -> None:
    """A cancel-all may be answered with nothing at all; the nothing of a redirect or a refusal is no answer to it."""
    replies = [judge(Ok(200, {}, b" \n")), judge(Ok(200, {}, b"<html>")), judge(refused(302, "")), judge(refused(404, ""))]
    assert [True, False, False, False] == [reply.is_empty for reply in replies if isinstance(reply, Garbled)]
