"""Why a step with a plan is refused; each message says what to do next."""

from curtailment.planning import NotAllowed, StaleVersion


class IllegalMove(Exception):
    """The plan is not in a state from which this is done."""


class PlanConflict(Exception):
    """Another plan stops some of the machines in that time; the message names them."""


class OwnPlan(NotAllowed):
    """Somebody else than who made or edited the plan approves it."""


class WrongInput(ValueError):
    """What was given cannot be used; the message says what to give."""


REFUSED = (IllegalMove, PlanConflict, StaleVersion, NotAllowed, WrongInput)

__all__ = ["REFUSED", "IllegalMove", "NotAllowed", "OwnPlan", "PlanConflict", "StaleVersion", "WrongInput"]
