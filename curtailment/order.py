"""The machines of a draft in the order of shutting down, as tables show them."""

from collections.abc import Iterator
from dataclasses import dataclass

from accounts.models import User
from analytics.hashprice import W_PER_KW
from curtailment.drafting import Draft
from curtailment.selection import Candidate
from curtailment.states import TargetRole


@dataclass(frozen=True, slots=True)
class Line:
    """One machine; `cumulative_kw` is what all up to it draw, None for those that are not to stop at first."""

    place: int
    miner_id: int
    serial: str
    client: str | None
    role: TargetRole
    power_kw: float
    hashrate_ths: float
    j_per_th: float | None
    cumulative_kw: float | None


def lines_of(draft: Draft) -> Iterator[Line]:
    """Every machine of the draft: to be stopped, then in reserve, then held for another plan."""
    groups: tuple[tuple[TargetRole, list[Candidate]], ...] = (
        (TargetRole.SELECTED, draft.selection.chosen),
        (TargetRole.RESERVE, draft.selection.reserve),
        (TargetRole.HELD, [one.candidate for one in draft.field.held]),
    )
    machines = [one for _, some in groups for one in some]
    ids = {one.client_id for one in machines if one.client_id}
    names = {str(user.pk): str(user) for user in User.objects.filter(pk__in=ids)}
    place, sum_w = 0, 0.0
    for role, some in groups:
        for one in some:
            place += 1
            sum_w += one.baseline_w
            yield Line(
                place=place,
                miner_id=one.miner_id,
                serial=draft.field.serials[one.miner_id],
                client=names.get(one.client_id or ""),
                role=role,
                power_kw=round(one.baseline_w / W_PER_KW, 3),
                hashrate_ths=round(one.hashrate_ths, 2),
                j_per_th=round(one.j_per_th, 2) if one.hashrate_ths else None,
                cumulative_kw=round(sum_w / W_PER_KW, 3) if role is TargetRole.SELECTED else None,
            )
