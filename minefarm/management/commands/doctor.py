from dataclasses import asdict
from typing import Any

from minefarm.health import Finding, examine
from minefarm.lib.command import FarmCommand, progress


class Command(FarmCommand):
    help = "Look at everything MineFarm needs and say what is wrong and what to do. Exits 1 when something is wrong."
    example = "doctor --json"

    def handle(self, *, json: bool, **_options: Any) -> None:
        findings = []
        with progress(show=not json) as bar:
            task = bar.add_task("looking", total=None)
            for finding in examine():
                findings.append(finding)
                bar.update(task, description=finding.check)
        healthy = all(finding.ok for finding in findings)
        document = {"ok": healthy, "checks": [asdict(finding) for finding in findings]}
        self.emit(document, "\n".join(map(describe, findings)), as_json=json)
        if not healthy:
            raise SystemExit(1)


def describe(finding: Finding) -> str:
    line = f"{'ok   ' if finding.ok else 'WRONG'} {finding.check:22} {finding.saw}"
    return line if finding.ok or not finding.next_step else f"{line}\n{'':28} -> {finding.next_step}"
