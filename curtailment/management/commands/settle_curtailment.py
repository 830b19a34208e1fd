from typing import Any

from django.core.management.base import CommandError, CommandParser

from curtailment.evidence import verify
from curtailment.models import CurtailmentPlan, Settlement
from curtailment.settlement import NotSettleable, due, settle_plan
from minefarm.lib.command import FarmCommand, progress


class Command(FarmCommand):
    help = (
        "Settle plans whose machines are back and whose readings are in, or the plan that is named. A plan that is settled"
        " already gives its settlement again, checked against its hash; exit 1 where a row is not as it was written."
    )
    example = "settle_curtailment 17 --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("plan", nargs="?", type=int, metavar="PLAN", help="only this one, at once")

    def handle(self, *, plan: int | None, json: bool, **_options: Any) -> None:
        plans = list(due()) if plan is None else list(CurtailmentPlan.objects.filter(pk=plan))
        if plan is not None and not plans:
            raise CommandError(f"There is no plan {plan}: look at /curtailment/ for those that there are.")
        settled = []
        with progress(show=not json) as bar:
            for one in bar.track(plans, description="settling"):
                try:
                    settled.append(settle_plan(one))
                except NotSettleable as refusal:
                    raise CommandError(str(refusal)) from refusal
        lines = [document(one) for one in settled]
        text = "\n".join(map(line, lines)) or "nothing to settle"
        self.emit({"settlements": lines}, text, as_json=json)
        if not all(one["intact"] for one in lines):
            raise SystemExit(1)


def document(settlement: Settlement) -> dict[str, Any]:
    """As JSON; money as text, so that no digit is lost."""
    return {
        "plan": settlement.plan_id,
        "starts_at": settlement.starts_at,
        "ends_at": settlement.ends_at,
        "requested_kw": settlement.requested_w / 1000,
        "delivered_kw": None if settlement.delivered_w is None else settlement.delivered_w / 1000,
        "seconds_to": {
            "50": settlement.seconds_to_50,
            "95": settlement.seconds_to_95,
            "100": settlement.seconds_to_100,
        },
        "machines": settlement.machines,
        "confirmed": settlement.confirmed,
        "drifted": settlement.drifted,
        "failed": settlement.failed,
        "kwh_avoided": None if settlement.kwh_avoided is None else str(settlement.kwh_avoided),
        "unpriced_kwh": str(settlement.unpriced_kwh),
        "saved": settlement.saved,
        "forgone_usd": None if settlement.forgone_usd is None else str(settlement.forgone_usd),
        "coverage": settlement.coverage,
        "content_hash": settlement.content_hash,
        "intact": verify(settlement),
    }


def line(found: dict[str, Any]) -> str:
    money = ", ".join(f"{amount} {currency}" for currency, amount in found["saved"].items()) or "no known price"
    kwh = "nothing was measured" if found["kwh_avoided"] is None else f"{found['kwh_avoided']} kWh avoided"
    return f"plan {found['plan']}: {kwh}, {money}{'' if found['intact'] else '; NOT AS IT WAS WRITTEN'}"
