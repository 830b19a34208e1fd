"""Days of readings and of sweeps, made by PostgreSQL."""

from datetime import UTC, datetime, timedelta

from django.db import connection

from hosting.telemetry.partitions import create_partition

READINGS = """
INSERT INTO miner_telemetry (recorded_at, miner_id, power_estimated, hashrate, temperature, power_consumption, fan_speed)
SELECT minute, miner_id, %(estimated)s, 100 + miner_id %% 7, 60 + miner_id %% 10, %(power)s + (miner_id * 13 +
    extract(epoch FROM minute)::bigint / 60) %% 97 + 0.33, 5000
FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - interval '1 second', %(every)s::interval) AS minute
CROSS JOIN unnest(%(miners)s::int[]) AS miner_id
ON CONFLICT DO NOTHING
"""
SWEEPS = """
INSERT INTO telemetry_sweeps (site_id, minute, miners, stored, failed, rejected_values, wall_s, cpu_s)
SELECT %(site)s, recorded_at, count(*), count(*), '{}', '{}', 1, 1 FROM miner_telemetry t
JOIN hosting_miners m ON m.id = t.miner_id AND m.site_id = %(site)s
WHERE recorded_at >= %(since)s AND recorded_at < %(until)s GROUP BY recorded_at
ON CONFLICT (site_id, minute) DO UPDATE SET stored = EXCLUDED.stored
"""


def fill(miners, since: datetime, until: datetime, *, every="1 minute", power=3000, estimated=False) -> None:
    """Readings of the machines, and the sweeps of their sites;."""
    day = since.astimezone(UTC).date()
    while day <= (until - timedelta(seconds=1)).astimezone(UTC).date():
        create_partition(day)
        day += timedelta(days=1)
    values = {"since": since, "until": until, "every": every, "power": power, "estimated": estimated}
    with connection.cursor() as cursor:
        cursor.execute(READINGS, values | {"miners": [miner.pk for miner in miners]})
        for site_id in {miner.site_id for miner in miners}:
            cursor.execute(SWEEPS, values | {"site": site_id})
