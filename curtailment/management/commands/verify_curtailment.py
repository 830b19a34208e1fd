from typing import Any

from curtailment.verify import RULES, breaches
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = (
        "Check what must always hold for curtailment plans, their machines and their commands. Exits 1 on any breach."
    )
    example = "verify_curtailment --json"

    def handle(self, *, json: bool, **_options: Any) -> None:
        found = breaches()
        lines = [
            f"{breach.rule} plan {breach.plan_id or '-'} machine {breach.miner_id or '-'}: {breach.detail}"
            for breach in found
        ]
        text = "\n".join(lines) or f"{len(RULES)} rules hold"
        self.emit({"rules": len(RULES), "breaches": [breach.as_dict() for breach in found]}, text, as_json=json)
        if found:
            raise SystemExit(1)
