"""The states of an OCO pair and the table of its transitions; docs/reliability.md prints the same table.

A state says what the facts ask for now, so nearly every state can follow on nearly every other: what is absent from the table is what must
never happen, and ``transition`` refuses it at run time.
"""

from __future__ import annotations

import enum


class PairState(enum.Enum):
    """What the pair is about. RELEASED: the user took the position over; the pair does not touch it any more."""

    IDLE = "IDLE"
    ARMING = "ARMING"
    ARMED = "ARMED"
    CANCELLING = "CANCELLING"
    CLOSING = "CLOSING"
    REPAIRING = "REPAIRING"
    RELEASED = "RELEASED"


_S = PairState

TRANSITIONS: dict[PairState, dict[PairState, str]] = {
    _S.IDLE: {
        _S.ARMING: "the entry filled: the stop goes first",
        _S.ARMED: "an earlier life's legs both stand",
        _S.CANCELLING: "a leg that was thought ended lives",
        _S.CLOSING: "an earlier life's position cannot be protected, or the run is ending",
        _S.REPAIRING: "a leg that was thought ended has filled",
    },
    _S.ARMING: {
        _S.ARMED: "stop and take-profit stand",
        _S.CANCELLING: "flat with a leg open, or the stop is filling",
        _S.CLOSING: "a leg cannot be placed, policy close, or the run is ending",
        _S.REPAIRING: "more was sold than was held",
        _S.RELEASED: "policy cancel_sibling",
        _S.IDLE: "flat, no leg open",
    },
    _S.ARMED: {
        _S.ARMING: "the position grew, or a leg was removed",
        _S.CANCELLING: "a leg won: the other is cancelled",
        _S.CLOSING: "a leg cannot be placed again, policy close, or the run is ending",
        _S.REPAIRING: "both legs filled",
        _S.RELEASED: "policy cancel_sibling",
        _S.IDLE: "flat, the venue itself ended the sibling",
    },
    _S.CANCELLING: {
        _S.IDLE: "every leg is seen to have ended",
        _S.ARMING: "the entry filled some more",
        _S.CLOSING: "the stop ended without filling all, or the run is ending",
        _S.REPAIRING: "the sibling filled before its cancel",
        _S.RELEASED: "policy cancel_sibling",
    },
    _S.CLOSING: {
        _S.CANCELLING: "closed: the legs go",
        _S.IDLE: "closed, no leg open",
        _S.REPAIRING: "a leg filled while the position was being closed",
    },
    _S.REPAIRING: {
        _S.CANCELLING: "flat again: the legs go",
        _S.IDLE: "flat again, no leg open",
        _S.ARMING: "the entry filled late",
        _S.CLOSING: "the entry filled late while the run is ending",
    },
    _S.RELEASED: {},
}


class IllegalTransition(AssertionError):
    """The pair decided what its table forbids: a bug, and the end of this actor's life."""


def transition(old: PairState, new: PairState) -> str:
    """Why a pair may go from ``old`` to ``new``, in the table's words. Raises IllegalTransition."""
    why = TRANSITIONS[old].get(new)
    if why is None:
        raise IllegalTransition(f"an OCO pair never goes from {old.value} to {new.value}")
    return why
