"""Hours of the energy ledger and of the market, written as the rollups and collections would."""

from datetime import datetime, timedelta
from decimal import Decimal

from analytics.models import BUCKET, MarketSnapshot, Origin
from hosting.models import MinerHour

HOUR = timedelta(hours=1)


def fill_ledger(miners, start: datetime, end: datetime, *, kwh: str = "", ths: str = "", whole: bool = False) -> None:
    """One row a machine and hour; unless `whole`, some hours are gaps and some read in part."""
    rows = []
    for number in range((end - start) // HOUR):
        for miner in miners:
            odd = (number * 31 + miner.pk * 7) % 97
            gap = 0 if whole else 3600 if odd == 5 else 1234 if odd == 11 else 0
            mean = Decimal(ths or f"{90 + odd % 20}.{odd:02}")
            samples = 60 if gap == 0 else 39
            rows.append(
                MinerHour(
                    starts_at=start + number * HOUR,
                    period_s=3600,
                    miner_id=miner.pk,
                    site_id=miner.site_id,
                    client_id=miner.client_id,
                    samples=samples if gap < 3600 else 0,
                    hashrate_samples=samples if gap < 3600 else 0,
                    hashrate_ths_sum=mean * samples if gap < 3600 else None,
                    power_samples=samples if gap < 3600 else 0,
                    power_w_sum=Decimal(3000) * samples if gap < 3600 else None,
                    estimated_samples=0,
                    kwh=Decimal(kwh or f"3.{odd:02}4567") if gap < 3600 else None,
                    source="miner" if gap < 3600 else "gap",
                    hashing_s=3600 - gap,
                    gap_s=gap,
                )
            )
    MinerHour.objects.bulk_create(rows, batch_size=5000)


def fill_market(start: datetime, end: datetime, *, hashprice: str = "") -> None:
    """A snapshot every quarter of an hour, now and then without a hashprice."""
    MarketSnapshot.objects.bulk_create(
        MarketSnapshot(
            bucket=start + at * BUCKET,
            created_at=start + at * BUCKET,
            origin=Origin.LIVE,
            btc_price=100_000,
            hashprice_usd_per_ph_day=None
            if not hashprice and at % 50 == 7
            else Decimal(hashprice or f"{45 + at % 9}.{at % 1000:06}"),
        )
        for at in range((end - start) // BUCKET)
    )
