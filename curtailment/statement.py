"""A settlement as one reader may see it: staff the whole, a customer their own machines and no total of others."""

import csv
from typing import Protocol

from accounts.models import User
from curtailment.models import CurtailmentPlan, Settlement, SettlementClient, SettlementMiner
from curtailment.settlement_pdf import MachineLine, Statement, Step, Total
from hosting.cells import harmless
from hosting.models import Miner, Site

OPEN_TO_CLIENTS = ("id", "plan_id", "starts_at", "ends_at", "baseline_method", "created_at")
NOBODY = "the farm"
GONE = "a machine that is no longer yours"
CSV_COLUMNS = (
    *("plan", "machine", "client", "off_from", "off_until", "baseline_w", "kwh_avoided", "saved", "currency"),
    *("unpriced_kwh", "forgone_usd", "coverage"),
)


class Sink(Protocol):
    """A text file, or Django's response."""

    def write(self, text: str, /) -> object: ...


def statement_for(user: User, plan_id: int) -> Statement | None:
    """The plan's settlement in the user's eyes; None where there is none, or none of theirs."""
    if user.is_staff:
        settlement = Settlement.objects.for_user(user).filter(plan=plan_id).first()
    else:
        settlement = Settlement.objects.for_user(user).filter(plan=plan_id).only(*OPEN_TO_CLIENTS).first()
    if settlement is None:
        return None
    plan = CurtailmentPlan.objects.for_user(user).filter(pk=plan_id).values("site_id", "reason").first()
    if plan is None:
        return None
    names = _names(settlement, user)
    site = Site.objects.filter(pk=plan["site_id"]).values_list("name", flat=True).first()
    return Statement(
        plan_id=plan_id,
        site=site or "a site of the farm",
        reason=plan["reason"],
        starts_at=settlement.starts_at,
        ends_at=settlement.ends_at,
        settled_at=settlement.created_at,
        method=settlement.baseline_method,
        totals=_totals(settlement, user, names),
        machines=_machines(settlement, user, names),
        steps=_steps(settlement) if user.is_staff else (),
        whole=_whole(settlement) if user.is_staff else None,
    )


def write_csv(statement: Statement, target: Sink) -> None:
    """One row per machine and time off; what is unknown is empty, text is no formula."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in statement.machines:
        writer.writerow(
            [
                statement.plan_id,
                harmless(one.serial_number),
                harmless(one.client),
                one.off_from.isoformat(),
                one.off_until.isoformat(),
                one.baseline_w,
                "" if one.kwh_avoided is None else one.kwh_avoided,
                "" if one.saved is None else one.saved,
                harmless(one.currency),
                one.unpriced_kwh,
                "" if one.forgone_usd is None else one.forgone_usd,
                one.coverage,
            ]
        )


def _names(settlement: Settlement, user: User) -> dict[object, str]:
    if not user.is_staff:
        return {user.pk: str(user)}
    ids = settlement.clients.values("client")
    return {one.pk: str(one) for one in User.objects.filter(pk__in=ids).only("name", "email")}


def _totals(settlement: Settlement, user: User, names: dict[object, str]) -> list[Total]:
    rows = SettlementClient.objects.for_user(user).filter(settlement=settlement.pk).order_by("-kwh_avoided", "pk")
    return [
        Total(
            client=names.get(row.client_id, NOBODY),
            machines=row.machines,
            minutes=row.minutes,
            kwh_avoided=row.kwh_avoided,
            saved=row.saved,
            currency=row.currency,
            unpriced_kwh=row.unpriced_kwh,
            forgone_usd=row.forgone_usd,
            coverage=row.coverage,
        )
        for row in rows
    ]


def _machines(settlement: Settlement, user: User, names: dict[object, str]) -> list[MachineLine]:
    rows = list(
        SettlementMiner.objects.for_user(user).filter(settlement=settlement.pk).order_by("off_from", "miner_id", "pk")
    )
    serials = dict(
        Miner.objects.filter(pk__in=[row.miner_id for row in rows]).values_list("pk", "serial_number")
        if user.is_staff
        else Miner.objects.for_user(user)
        .filter(pk__in=[row.miner_id for row in rows])
        .values_list("pk", "serial_number")
    )
    return [
        MachineLine(
            serial_number=serials.get(row.miner_id, GONE),
            client=names.get(row.client_id, NOBODY),
            off_from=row.off_from,
            off_until=row.off_until,
            baseline_w=row.baseline_w,
            kwh_avoided=row.kwh_avoided,
            saved=row.saved,
            currency=row.currency,
            unpriced_kwh=row.unpriced_kwh,
            forgone_usd=row.forgone_usd,
            coverage=row.coverage,
        )
        for row in rows
    ]


def _steps(settlement: Settlement) -> list[Step]:
    return [Step(row.starts_at, row.requested_kw, row.delivered_kw, row.coverage) for row in settlement.intervals.all()]


def _whole(settlement: Settlement) -> dict[str, object]:
    return {
        "requested_kw": settlement.requested_w / 1000,
        "delivered_kw": None if settlement.delivered_w is None else settlement.delivered_w / 1000,
        "seconds_to": (settlement.seconds_to_50, settlement.seconds_to_95, settlement.seconds_to_100),
        "machines": settlement.machines,
        "confirmed": settlement.confirmed,
        "drifted": settlement.drifted,
        "failed": settlement.failed,
        "kwh_avoided": settlement.kwh_avoided,
        "unpriced_kwh": settlement.unpriced_kwh,
        "saved": settlement.saved,
        "forgone_usd": settlement.forgone_usd,
        "coverage": settlement.coverage,
        "content_hash": settlement.content_hash,
    }
