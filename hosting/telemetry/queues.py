"""Names of the queues that a site may have to itself. No Django: Celery's app is made before Django is set up."""

import re

SHARED = "telemetry"
SITE_QUEUE = re.compile(r"telemetry\.site-[1-9][0-9]{0,9}")


def queue_of(site_id: int) -> str:
    """Such as `telemetry.site-7`; a worker takes it with `-Q telemetry.site-7`."""
    return f"telemetry.site-{site_id}"
