"""Figure 10: Celery messages for one sweep of a farm of 6,000 machines. Goal: one for every 500 machines, at most.

Beat's tick runs here, and what it sends to the broker is counted in the broker.
"""

import argparse
import sys

from _farm import report, setup_django, throwaway_database

MINERS, SITES = 6000, 4


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    setup_django()
    with throwaway_database():
        sent = messages()
    return (
        0
        if report("10 Celery tasks per sweep / 1 per 500 machines", value=sent / (MINERS / 500), goal=1, sent=sent)
        else 1
    )


def messages() -> int:
    """What lies in the telemetry queue after one tick, put into a queue of this benchmark's own."""
    from celery import current_app
    from celery.signals import before_task_publish

    from hosting.models import Miner, Site
    from hosting.tasks import sweep_sites

    for number in range(SITES):
        site = Site.objects.create(name=f"bench {number}")
        Miner.objects.bulk_create(
            Miner(serial_number=f"B{number}-{n}", site=site, cgminer_enabled=True) for n in range(MINERS // SITES)
        )
    queue = "benchmark.tasks"
    current_app.amqp.queues.add(queue)
    current_app.conf.task_routes = {"hosting.tasks.*": {"queue": queue}}
    published = []
    before_task_publish.connect(lambda sender, **_: published.append(sender), weak=False)
    with current_app.connection_for_write() as connection:
        channel = connection.default_channel
        channel.queue_declare(queue)
        channel.queue_purge(queue)
        sweep_sites.run()
        waiting = int(channel.queue_declare(queue).message_count)
        channel.queue_purge(queue)
    if waiting != len(published):
        raise SystemExit(f"{len(published)} messages were sent, {waiting} arrived")
    return waiting


if __name__ == "__main__":
    sys.exit(main())
