"""Taking orders back: open commands that must not be carried out any more, and claims of workers that are no more."""

from collections.abc import Collection

from django.db.models import Q
from django.db.models.functions import Now

from hosting.models import MinerCommand
from hosting.states import OPEN_COMMANDS, CommandStatus

CALLED_OFF = "called off: "


def call_off(commands: Collection[int], reason: str) -> int:
    """End the open ones of these commands in one UPDATE; what is on the wire at this moment is not called back by it."""
    return MinerCommand.objects.filter(pk__in=commands, status__in=OPEN_COMMANDS).update(
        status=CommandStatus.FAILED,
        detail=CALLED_OFF + reason,
        finished_at=Now(),
        claimed_by=None,
        claimed_until=None,
    )


def free_claims(of: str, *, but: str, which: Q | None = None) -> int:
    """Let go of open commands that workers whose name begins with `of`, and not with `but`, have claimed: they are no more."""
    claimed = MinerCommand.objects.open().filter(which or Q(), claimed_by__startswith=of)
    return claimed.exclude(claimed_by__startswith=but).update(claimed_by=None, claimed_until=None)
