"""blockchain.info: `/stats` gives `difficulty`, `n_blocks_total`, and of the last 24 hours `total_fees_btc`, in satoshi despite
its name, and `n_blocks_mined`. Of the next retarget it tells the block only."""

from datetime import datetime, timedelta

from analytics.hashprice import BLOCK_S, next_retarget_height
from analytics.providers.quotes import Fetch, Network, Provider, fees_of, network_of, number


async def ask(fetch: Fetch, now: datetime) -> Network:
    reply = await fetch("/stats")
    network = network_of({"difficulty": number(reply, "difficulty"), "height": number(reply, "n_blocks_total")})
    blocks_left = next_retarget_height(network.height) - network.height
    return Network(
        network.difficulty,
        network.height,
        fees_btc=fees_of(number(reply, "total_fees_btc"), number(reply, "n_blocks_mined")),
        retarget_at=now + timedelta(seconds=blocks_left * BLOCK_S),
    )


PROVIDER = Provider("blockchain", "MARKET_BLOCKCHAIN_URL", ask)
