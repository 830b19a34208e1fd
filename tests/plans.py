"""What a request costs PostgreSQL, in buffers and partitions of its plans: the same on every machine."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Cost:
    """`buffers` of 8 KiB touched, day partitions opened, and queries, over everything that was asked."""

    buffers: int = 0
    partitions: set[str] = field(default_factory=set)
    queries: int = 0


@contextmanager
def counted() -> Iterator[Cost]:
    """Every SELECT is planned and run a second time under EXPLAIN."""
    from django.db import connection

    cost = Cost()

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if not many and sql.lstrip().upper().startswith(("SELECT", "WITH")):
            cost.queries += 1
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", params)
                (found,) = cursor.fetchone()
            plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
            cost.buffers += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            cost.partitions |= set(opened(plan))
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield cost


def opened(plan: dict[str, Any]) -> Iterator[str]:
    """Day partitions that the plan looked into."""
    name = plan.get("Relation Name", "")
    if name.startswith("miner_telemetry_2") and plan.get("Actual Loops", 1):
        yield name
    for part in plan.get("Plans", ()):
        yield from opened(part)
