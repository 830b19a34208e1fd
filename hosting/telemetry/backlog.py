"""Minutes that wait on disk, and their way into the database once it is back."""

import logging
import time
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from events.locks import Lease
from hosting.models import Site, TelemetryGap
from hosting.telemetry.partitions import create_partition
from hosting.telemetry.spool import Spool, Torn
from hosting.telemetry.store import store_encoded, unpack
from hosting.telemetry.targets import Memory

log = logging.getLogger(__name__)


def spool() -> Spool:
    """The folder of waiting minutes."""
    return Spool(_folder() / "waiting", settings.TELEMETRY_SPOOL_MAX_MB * 1024 * 1024)


def memory() -> Memory:
    """What this host remembers of the sites that it sweeps."""
    return Memory(_folder() / "sites")


def _folder() -> Path:
    """In the state folder, one for each database: what was read for one must not end up in another."""
    return Path(settings.STATE_DIR) / "collector" / str(connection.settings_dict["NAME"])


def drain(site_id: int, lease: Lease, *, seconds: float) -> int:
    """Store the site's waiting minutes, oldest first, for so many seconds; return how many.

    Each is a transaction of its own under the lock; a minute that is in the history already gains only what it lacks.
    Raises LockLost.
    """
    until = time.monotonic() + seconds
    waiting, stored = spool(), 0
    for segment in waiting.waiting(site_id):
        if time.monotonic() > until or not lease.refresh_heartbeat():
            break
        try:
            facts, encoded = unpack(waiting.read(segment))
        except FileNotFoundError:
            continue
        except Torn as error:
            waiting.set_aside(segment, str(error))
            continue
        create_partition(segment.minute.date())
        store_encoded(facts, encoded, lock=lease)
        waiting.done(segment)
        stored += 1
    record_gaps()
    return stored


def record_gaps() -> int:
    """Write down which minutes were lost; those of sites that are gone are forgotten."""
    notes = spool().take_gaps()
    gaps = list(notes)
    if not gaps:
        return 0
    present = set(Site.objects.filter(pk__in={gap.site_id for gap in gaps}).values_list("pk", flat=True))
    rows = [
        TelemetryGap(site_id=gap.site_id, minute=gap.minute, reason=gap.reason)
        for gap in gaps
        if gap.site_id in present
    ]
    try:
        with transaction.atomic():
            TelemetryGap.objects.bulk_create(rows, ignore_conflicts=True)
    except IntegrityError:  # a site was deleted this moment; the next sweep writes the rest
        return 0
    notes.written()
    log.error("%d minutes of telemetry are lost for good; see telemetry_gaps", len(rows))
    return len(rows)
