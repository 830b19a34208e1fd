"""mempool.space, or a mempool of one's own: difficulty, height, fees of the last 144 blocks, the next retarget.

- `/api/v1/mining/hashrate/3d`: `currentDifficulty`
- `/api/v1/mining/reward-stats/144`: `startBlock`, `endBlock`, `totalFee` in satoshi, as texts
- `/api/v1/difficulty-adjustment`: `estimatedRetargetDate` since 1970, in milliseconds (its documentation shows seconds), and
  `difficultyChange` in percent
"""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

from analytics.providers.quotes import Fetch, Network, Provider, fees_of, network_of, number

MILLISECONDS_FROM = 10**11
MAX_EPOCH_S = 4_102_444_800  # the year 2100


async def ask(fetch: Fetch, _now: datetime) -> Network:
    work, rewards, adjustment = await asyncio.gather(
        fetch("/api/v1/mining/hashrate/3d"),
        fetch("/api/v1/mining/reward-stats/144"),
        fetch("/api/v1/difficulty-adjustment"),
    )
    first, last = number(rewards, "startBlock"), number(rewards, "endBlock")
    return network_of(
        {"difficulty": number(work, "currentDifficulty"), "height": last},
        fees_btc=fees_of(number(rewards, "totalFee"), last - first + 1),
        retarget_at=moment(number(adjustment, "estimatedRetargetDate")),
        retarget_percent=number(adjustment, "difficultyChange"),
    )


def moment(since_1970: Decimal) -> datetime | None:
    """A moment in seconds or milliseconds since 1970; None for one that cannot be."""
    seconds = since_1970 / 1000 if since_1970 > MILLISECONDS_FROM else since_1970
    return datetime.fromtimestamp(int(seconds), UTC) if 0 < seconds < MAX_EPOCH_S else None


PROVIDER = Provider("mempool", "MARKET_MEMPOOL_URL", ask)
