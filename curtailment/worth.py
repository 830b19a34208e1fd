"""What a site's hashing earns and its power costs at a moment."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings

from analytics.hashprice import TH_PER_PH, W_PER_KW
from analytics.models import MarketSnapshot
from hosting.energy import price_at
from hosting.models import Site

USD = "USD"


@dataclass(frozen=True, slots=True)
class Worth:
    """What a TH/s earns and a kWh costs now, in USD; None where that is not known."""

    hashprice: Decimal | None
    hashprice_at: datetime | None
    price_per_kwh: Decimal | None

    @classmethod
    def at(cls, site: Site, now: datetime) -> "Worth":
        newest = MarketSnapshot.objects.filter(hashprice_usd_per_ph_day__isnull=False).order_by("-bucket").first()
        fee = Decimal(str(settings.POOL_FEE_PERCENT)) / 100
        price = price_at(site, now)
        return cls(
            newest.hashprice_usd_per_ph_day * (1 - fee) if newest and newest.hashprice_usd_per_ph_day else None,
            newest.created_at if newest else None,
            price.price_per_kwh if price and price.currency == USD else None,
        )

    def margin_usd_per_h(self, power_w: Decimal, hashrate_ths: Decimal) -> float | None:
        if self.hashprice is None or self.price_per_kwh is None:
            return None
        earned = self.hashprice * hashrate_ths / TH_PER_PH / 24
        return float(earned - power_w / W_PER_KW * self.price_per_kwh)
