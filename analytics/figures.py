"""The columns of a row of market_analytics from what is known: rounded once, the derived ones from the rounded. Pure."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from analytics import hashprice

CENT, MILLI, MICRO, SAT = (Decimal(1).scaleb(-digits) for digits in (2, 3, 6, 8))
MAX_VOLUME = Decimal("9999999999999.99")
MAX_PERCENT = Decimal(99_999)


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one quarter of an hour; names are those of the columns."""

    btc_price: Decimal | None = None
    network_hashrate: Decimal | None = None
    network_difficulty: Decimal | None = None
    block_reward: Decimal | None = None
    volume_24h: Decimal | None = None
    block_height: int | None = None
    fees_btc: Decimal | None = None
    next_retarget_at: datetime | None = None
    retarget_percent: Decimal | None = None
    hashprice_usd_per_ph_day: Decimal | None = None
    hashprice_sat_per_th_day: Decimal | None = None


def figures(
    *,
    btc_price: Decimal | None = None,
    network_difficulty: Decimal | None = None,
    network_hashrate: Decimal | None = None,
    block_height: int | None = None,
    block_reward: Decimal | None = None,
    volume_24h: Decimal | None = None,
    fees_btc: Decimal | None = None,
    next_retarget_at: datetime | None = None,
    retarget_percent: Decimal | None = None,
) -> Figures:
    """Complete what is given: hashrate by difficulty, reward by height, hashprice where price, difficulty and fees are known."""
    price, fees = _rounded(btc_price, CENT), _rounded(fees_btc, SAT)
    difficulty = _rounded(network_difficulty, CENT)
    reward = block_reward if block_height is None else hashprice.subsidy_btc(block_height)
    reward = _rounded(reward, SAT)
    if network_hashrate is None and difficulty:
        network_hashrate = hashprice.network_hashrate_ehs(difficulty)
    usd = sat = None
    if difficulty and reward is not None and fees is not None:
        work = {"difficulty": difficulty, "subsidy_btc": reward, "fees_btc": fees}
        sat = hashprice.hashprice_sat_per_th_day(**work)
        usd = hashprice.hashprice_usd_per_ph_day(**work, btc_price_usd=price) if price is not None else None
    if volume_24h is not None and volume_24h > MAX_VOLUME:
        volume_24h = None
    if retarget_percent is not None and abs(retarget_percent) > MAX_PERCENT:
        retarget_percent = None
    return Figures(
        btc_price=price,
        network_hashrate=_rounded(network_hashrate, CENT),
        network_difficulty=difficulty,
        block_reward=reward,
        volume_24h=_rounded(volume_24h, CENT),
        block_height=block_height,
        fees_btc=fees,
        next_retarget_at=next_retarget_at,
        retarget_percent=_rounded(retarget_percent, MILLI),
        hashprice_usd_per_ph_day=_rounded(usd, MICRO),
        hashprice_sat_per_th_day=_rounded(sat, MICRO),
    )


def _rounded(value: Decimal | None, unit: Decimal) -> Decimal | None:
    return None if value is None else value.quantize(unit)
