"""The nemesis: which rule strikes, how often, and what it refuses to believe."""

from __future__ import annotations

import pytest

from simulator.faults import FrameFault, Nemesis, RequestFault


def kinds(nemesis: Nemesis, times: int, route: str = "create_order", venue: str = "grvt") -> list[str | None]:
    faults = [nemesis.on_request(venue, route) for _ in range(times)]
    return [fault.kind if fault else None for fault in faults]


def test_without_rules_nothing_goes_wrong() -> None:
    """A healthy venue asks the nemesis and hears nothing."""
    nemesis = Nemesis()
    assert (None, None) == (nemesis.on_request("grvt", "create_order"), nemesis.on_frame("grvt", "market"))


def test_a_counted_rule_strikes_that_often() -> None:
    """``count`` is used up by strikes."""
    nemesis = Nemesis()
    nemesis.add({"venue": "grvt", "on": "create_order", "kind": "lose_answer", "count": 2})
    assert ["lose_answer", "lose_answer", None] == kinds(nemesis, 3)


def test_a_rule_without_count_strikes_until_cleared() -> None:
    """clear() takes every rule away."""
    nemesis = Nemesis()
    nemesis.add({"kind": "hang"})
    before = kinds(nemesis, 5)
    nemesis.clear()
    assert (["hang"] * 5, [None]) == (before, kinds(nemesis, 1))


@pytest.mark.parametrize(("venue", "route"), [("backpack", "create_order"), ("grvt", "cancel_order")])
def test_a_rule_keeps_to_its_venue_and_route(venue: str, route: str) -> None:
    """Another venue or another route is left alone, and uses nothing up."""
    nemesis = Nemesis()
    nemesis.add({"venue": "grvt", "on": "create_order", "kind": "hang", "count": 1})
    assert ([None], ["hang"]) == (kinds(nemesis, 1, route, venue), kinds(nemesis, 1))


def test_the_rule_added_first_decides() -> None:
    """A later rule has its turn when the first is used up."""
    nemesis = Nemesis()
    nemesis.add({"kind": "lose_request", "count": 1})
    nemesis.add({"kind": "late", "delay_s": 2.5})
    assert ["lose_request", "late"] == kinds(nemesis, 2)


def test_a_request_fault_carries_its_details() -> None:
    """What the rule says of status, body and times reaches the face."""
    nemesis = Nemesis()
    nemesis.add({"kind": "status", "status": 502, "body": "bad gateway", "delay_s": 1.5, "retry_after_s": 3})
    assert RequestFault("status", 1.5, 502, "bad gateway", 3.0) == nemesis.on_request("grvt", "x")


def test_a_request_fault_says_how_the_connection_is_lost_and_which_headers_come() -> None:
    """A reset and no headers where the rule is silent."""
    nemesis = Nemesis()
    nemesis.add({"kind": "lose_answer", "how": "truncate", "headers": {"Location": "/"}, "count": 1})
    nemesis.add({"kind": "lose_answer"})
    found = [nemesis.on_request("grvt", "x") for _ in range(2)]
    assert [RequestFault("lose_answer", how="truncate", headers=(("Location", "/"),)), RequestFault("lose_answer")] == found


def test_frames_and_requests_have_rules_of_their_own() -> None:
    """A rule for everything strikes what its kind applies to and nothing else; "delay" applies to both."""
    nemesis = Nemesis()
    nemesis.add({"kind": "drop"})
    nemesis.add({"kind": "delay", "delay_s": 1})
    faults = (nemesis.on_request("grvt", "create_order"), nemesis.on_frame("grvt", "account"))
    assert (RequestFault("delay", 1.0), FrameFault("drop")) == faults


def test_a_channel_is_silenced_alone() -> None:
    """The market stream speaks on while the account stream is silent."""
    nemesis = Nemesis()
    nemesis.add({"venue": "grvt", "on": "account", "kind": "silence"})
    assert (FrameFault("silence"), None) == (nemesis.on_frame("grvt", "account"), nemesis.on_frame("grvt", "market"))


def test_the_dice_are_seeded() -> None:
    """The same seed gives the same strikes, some but not all of them."""

    def run(seed: int) -> list[str | None]:
        nemesis = Nemesis(seed)
        nemesis.add({"kind": "hang", "probability": 0.5})
        return kinds(nemesis, 50)

    assert (run(1), {"hang", None}, True) == (run(1), set(run(1)), run(1) != run(2))


def test_a_missed_throw_uses_nothing_up() -> None:
    """``count`` counts strikes, not chances."""
    nemesis = Nemesis()
    nemesis.add({"kind": "hang", "probability": 0.2, "count": 3})
    assert 3 == kinds(nemesis, 200).count("hang")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"kind": "explode"}, "explode"),
        ({"kind": "hang", "probablity": 0.5}, "probablity"),
        ({"kind": "hang", "probability": 2}, "probability"),
        ({"kind": "hang", "count": 0}, "count"),
        ({"kind": "late", "delay_s": -1}, "delay_s"),
        ({"kind": "drop", "on": "create_order"}, "does not apply"),
        ({"kind": "hang", "on": "market"}, "does not apply"),
        ({}, "kind"),
    ],
)
def test_a_senseless_rule_is_refused(rule: dict[str, object], message: str) -> None:
    """A typing error must not pass for a fault that never strikes."""
    with pytest.raises(ValueError, match=message):
        Nemesis().add(rule)
