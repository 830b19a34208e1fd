"""Hours of the ledger as the rollups would write them, made by PostgreSQL: machines, and the sums of customers and site."""

from django.db import connection

MACHINES = """
INSERT INTO miner_telemetry_hour (starts_at, period_s, miner_id, site_id, client_id, samples, hashrate_samples, hashrate_ths_sum,
    power_samples, power_w_sum, estimated_samples, temperature_max_c, kwh, source, hashing_s, gap_s)
SELECT hour, 3600, m.id, m.site_id, m.client_id, 60, 60, 60 * (100 + (m.id * 7 + extract(epoch FROM hour)::bigint / 3600) %% 13),
    60, 60 * 3200, 0, 60,
    round(3.2 + ((m.id * 31 + extract(epoch FROM hour)::bigint / 3600 * 17) %% 997) / 9973.0, 6), 'miner', 3600, 0
FROM hosting_miners m CROSS JOIN generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour',
    interval '1 hour') AS hour
WHERE m.id = ANY(%(miners)s)
"""
GROUP = """
INSERT INTO {table} ({key}site_id, bucket, minutes, samples, hashrate_ths_sum, power_w_sum, estimated_samples, miners, period_s,
    kwh, estimated_miners, hashing_s, gap_s{more})
SELECT {key}site_id, starts_at, 60, sum(samples), sum(hashrate_ths_sum), sum(power_w_sum), 0, count(*), 3600, sum(kwh), 0,
    sum(hashing_s), sum(gap_s){more_values}
FROM miner_telemetry_hour WHERE site_id = %(site)s AND starts_at >= %(start)s AND starts_at < %(end)s {only}
GROUP BY {key}site_id, starts_at
"""


def fill_month(site, miners, start, end) -> None:
    """Whole hours of these machines, every kWh another, in [start, end)."""
    values = {"site": site.pk, "miners": [miner.pk for miner in miners], "start": start, "end": end}
    with connection.cursor() as cursor:
        cursor.execute(MACHINES, values)
    add_up_groups(site, start, end)


def add_up_groups(site, start, end) -> None:
    """The sums of customers and site anew, from what the machines' rows say now."""
    values = {"site": site.pk, "start": start, "end": end}
    with connection.cursor() as cursor:
        for table in ("client_telemetry_hour", "site_telemetry_hour"):
            cursor.execute(
                f"DELETE FROM {table} WHERE site_id = %(site)s AND bucket >= %(start)s AND bucket < %(end)s", values
            )
        cursor.execute(
            GROUP.format(
                table="client_telemetry_hour",
                key="client_id, ",
                more="",
                more_values="",
                only="AND client_id IS NOT NULL",
            ),
            values,
        )
        cursor.execute(
            GROUP.format(
                table="site_telemetry_hour", key="", more=", sweeps, swept", more_values=", 60, 60 * count(*)", only=""
            ),
            values,
        )
