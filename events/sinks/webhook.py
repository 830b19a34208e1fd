import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import orjson
from standardwebhooks import Webhook


@dataclass(frozen=True)
class Envelope:
    id: str
    type: str
    timestamp: datetime
    data: Mapping[str, Any]
    version: int
    aggregate: str
    sequence: int


@dataclass(frozen=True)
class Answer:
    ok: bool
    status: int | None
    excerpt: str
    error: str | None
    gone: bool
    retry_after_s: float | None
    duration_ms: int


async def send_async(target: str, *, secrets: Sequence[str], event: Envelope, timeout_s: float = 15.0) -> Answer:
    started = time.monotonic()
    body = orjson.dumps(
        {
            "type": event.type,
            "timestamp": event.timestamp.isoformat(),
            "data": event.data,
            "sequence": event.sequence,
            "aggregate": event.aggregate,
            "version": event.version,
        }
    ).decode()
    now = datetime.now(UTC)
    sig = " ".join(Webhook(s).sign(event.id, now, body) for s in secrets)
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=timeout_s) as c:
            r = await c.post(
                target,
                content=body,
                headers={
                    "webhook-id": event.id,
                    "webhook-timestamp": str(int(now.timestamp())),
                    "webhook-signature": sig,
                },
            )
        ms = int((time.monotonic() - started) * 1000)
        return Answer(200 <= r.status_code < 300, r.status_code, r.text[:500], None, r.status_code == 410, None, ms)
    except Exception as e:
        return Answer(
            False, None, "", f"{type(e).__name__}: {e}", False, None, int((time.monotonic() - started) * 1000)
        )
