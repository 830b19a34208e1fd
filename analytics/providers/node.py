"""A Bitcoin Core node of one's own, over JSON-RPC: the one source that needs no trust.

Difficulty and height come from `getblockchaininfo`, fees from `getblockstats` of the last 144 blocks in one batch, the retarget
from the time of the first block of this difficulty. A node that is slow with the batch, or has pruned those blocks, leaves the
fees to the others.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from analytics.hashprice import BLOCK_S, RETARGET_BLOCKS, next_retarget_height
from analytics.providers.quotes import BadReply, Fetch, Network, Provider, fees_of, network_of, number

FEE_BLOCKS = 144
FEES_WITHIN_S = 4.0
MIN_BLOCKS_FOR_PACE = 72  # half a day: before that the pace is chance, and blocks are taken to last ten minutes
MAX_CHANGE = 4  # what a retarget may multiply or divide by


async def ask(fetch: Fetch, now: datetime) -> Network:
    info = await _call(fetch, "getblockchaininfo")
    network = network_of({"difficulty": number(info, "difficulty"), "height": number(info, "blocks")})
    if isinstance(info, dict) and info.get("initialblockdownload"):
        raise BadReply("it is still catching up with the chain")
    (retarget_at, retarget_percent), fees_btc = await asyncio.gather(
        _retarget(fetch, network.height, now), _fees_btc(fetch, network.height)
    )
    return Network(network.difficulty, network.height, fees_btc, retarget_at, retarget_percent)


async def _retarget(fetch: Fetch, height: int, now: datetime) -> tuple[datetime, Decimal | None]:
    first = height // RETARGET_BLOCKS * RETARGET_BLOCKS
    block_hash = await _call(fetch, "getblockhash", first)
    began_s = number(await _call(fetch, "getblockheader", block_hash), "time")
    blocks, elapsed_s = height - first, Decimal(int(now.timestamp())) - began_s
    left = next_retarget_height(height) - height
    if blocks < MIN_BLOCKS_FOR_PACE or elapsed_s <= 0:
        return now + timedelta(seconds=left * BLOCK_S), None
    pace_s = min(max(elapsed_s / blocks, Decimal(BLOCK_S) / MAX_CHANGE), Decimal(BLOCK_S) * MAX_CHANGE)
    at = datetime.fromtimestamp(int(now.timestamp()) + int(left * pace_s), UTC)
    return at, (BLOCK_S / pace_s - 1) * 100


async def _fees_btc(fetch: Fetch, height: int) -> Decimal | None:
    heights = range(max(height - FEE_BLOCKS + 1, 0), height + 1)
    batch = [_request("getblockstats", [at, ["totalfee"]], number_of_call=at) for at in heights]
    try:
        async with asyncio.timeout(FEES_WITHIN_S):
            replies = await fetch("", send=batch)
        fees = [number(reply, "result", "totalfee") for reply in replies]
    except (TimeoutError, BadReply, TypeError):
        return None
    return fees_of(sum(fees, Decimal(0)), len(fees)) if len(fees) == len(batch) else None


async def _call(fetch: Fetch, method: str, *parameters: object) -> Any:
    reply = await fetch("", send=_request(method, list(parameters), number_of_call=0))
    if not isinstance(reply, dict) or reply.get("error") or "result" not in reply:
        raise BadReply(f"{method} failed: {str(reply.get('error') if isinstance(reply, dict) else reply)[:80]}")
    return reply["result"]


def _request(method: str, parameters: list[Any], *, number_of_call: int) -> dict[str, Any]:
    return {"jsonrpc": "1.0", "id": number_of_call, "method": method, "params": parameters}


PROVIDER = Provider("node", "BITCOIN_NODE_URL", ask)
