from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from curtailment.rules import Evaluated, evaluate_rules
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = (
        "Evaluate armed curtailment rules once, as beat does every minute: what they want becomes plans, or ends them."
        " With --dry-run every rule is evaluated, armed or not, and nothing is written."
    )
    example = "evaluate_curtailment_rules --dry-run --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="say what rules would do, and do nothing")

    def handle(self, *, dry_run: bool, json: bool, **_options: Any) -> None:
        done = evaluate_rules(dry_run=dry_run)
        document = {"dry_run": dry_run, "rules": [asdict(one) for one in done]}
        self.emit(document, "\n".join(map(line, done)) or "no rules", as_json=json)
        if any(one.why.startswith("failed: ") for one in done):
            raise SystemExit(1)


def line(one: Evaluated) -> str:
    plans = f" (plan {', '.join(map(str, one.plans))})" if one.plans else ""
    return f"{one.name}: {one.act}: {one.why}{plans}"
