"""What hashing earns: subsidy, hashprice, break-even, profit. Pure, in Decimal; nothing is rounded here.

Units: difficulty as the network states it, BTC per block, USD per BTC, TH/s, W, USD per kWh. A pool fee is a share, 0 to 1.
"""

from dataclasses import dataclass
from decimal import Decimal

HALVING_BLOCKS = 210_000
RETARGET_BLOCKS = 2016
BLOCK_S = 600
SATS_PER_BTC = 100_000_000
FIRST_SUBSIDY_SATS = 50 * SATS_PER_BTC
HASHES_PER_DIFFICULTY = 2**32  # hashes that a block takes on average, at difficulty 1
DAY_S = 86_400
DAY_H = 24
PH = Decimal(10) ** 15
EH = Decimal(10) ** 18
TH_PER_PH = 1000
W_PER_KW = 1000
KWH_PER_MWH = 1000


def subsidy_sats(height: int) -> int:
    """New coins of the block at this height, in satoshi: halved and cut to a whole number every 210,000 blocks."""
    if height < 0:
        raise ValueError(f"There is no block {height}: heights begin with 0.")
    halvings = height // HALVING_BLOCKS
    return FIRST_SUBSIDY_SATS >> halvings if halvings < 64 else 0


def subsidy_btc(height: int) -> Decimal:
    """The same in BTC."""
    return Decimal(subsidy_sats(height)) / SATS_PER_BTC


def next_retarget_height(height: int) -> int:
    """First block of the next difficulty, seen from the block at `height`."""
    return (height // RETARGET_BLOCKS + 1) * RETARGET_BLOCKS


def network_hashrate_ehs(difficulty: Decimal) -> Decimal:
    """EH/s that find a block in ten minutes at this difficulty."""
    return _positive("difficulty", difficulty) * HASHES_PER_DIFFICULTY / BLOCK_S / EH


def blocks_per_ph_day(difficulty: Decimal) -> Decimal:
    """Blocks that 1 PH/s finds in a day, on average."""
    return PH * DAY_S / (_positive("difficulty", difficulty) * HASHES_PER_DIFFICULTY)


def hashprice_usd_per_ph_day(
    *, difficulty: Decimal, subsidy_btc: Decimal, fees_btc: Decimal, btc_price_usd: Decimal
) -> Decimal:
    """USD that 1 PH/s earns in a day, before pool fee and power; `fees_btc` are the transaction fees of an average block."""
    return blocks_per_ph_day(difficulty) * (subsidy_btc + fees_btc) * btc_price_usd


def hashprice_sat_per_th_day(*, difficulty: Decimal, subsidy_btc: Decimal, fees_btc: Decimal) -> Decimal:
    """Satoshi that 1 TH/s earns in a day: the same without a price."""
    return blocks_per_ph_day(difficulty) * (subsidy_btc + fees_btc) * SATS_PER_BTC / TH_PER_PH


def break_even_usd_per_mwh(
    hashprice_usd_per_ph_day: Decimal, efficiency_j_th: Decimal, pool_fee: Decimal = Decimal(0)
) -> Decimal:
    """Price of electricity at which a machine of this efficiency earns exactly what its power costs."""
    kwh_per_ph_day = _positive("efficiency", efficiency_j_th) * DAY_H  # 1 J/TH is 1 kW per PH/s
    return hashprice_usd_per_ph_day * KWH_PER_MWH / kwh_per_ph_day * (1 - _share(pool_fee))


@dataclass(frozen=True, slots=True)
class Profitability:
    """A day of one machine that runs without a pause; `revenue` is what the pool pays out, its fee already taken."""

    hashprice_usd_per_ph_day: Decimal
    revenue_usd_per_day: Decimal
    energy_cost_usd_per_day: Decimal
    profit_usd_per_day: Decimal
    break_even_usd_per_mwh: Decimal


def profitability(
    *,
    hashprice_usd_per_ph_day: Decimal,
    hashrate_ths: Decimal,
    power_w: Decimal,
    power_price_usd_per_kwh: Decimal,
    pool_fee: Decimal = Decimal(0),
) -> Profitability:
    """What a machine earns and costs in a day. Raises ValueError for a machine that does not hash or draws no power."""
    revenue = hashprice_usd_per_ph_day / TH_PER_PH * _positive("hashrate", hashrate_ths) * (1 - _share(pool_fee))
    cost = _positive("power", power_w) / W_PER_KW * DAY_H * power_price_usd_per_kwh
    return Profitability(
        hashprice_usd_per_ph_day=hashprice_usd_per_ph_day,
        revenue_usd_per_day=revenue,
        energy_cost_usd_per_day=cost,
        profit_usd_per_day=revenue - cost,
        break_even_usd_per_mwh=break_even_usd_per_mwh(hashprice_usd_per_ph_day, power_w / hashrate_ths, pool_fee),
    )


def _positive(name: str, value: Decimal) -> Decimal:
    if not value > 0:
        raise ValueError(f"The {name} is {value}: give more than 0.")
    return value


def _share(pool_fee: Decimal) -> Decimal:
    if not 0 <= pool_fee < 1:
        raise ValueError(f"The pool's fee is {pool_fee}: give a share from 0 to below 1.")
    return pool_fee
