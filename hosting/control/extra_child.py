"""The child process of hosting.control.extra: reads one order from standard input, writes one line with the answer."""

import asyncio
import importlib
import os
import sys
from typing import Any

import orjson

CALLS = {
    "sleep": ("pause", "supports_pause"),
    "wake": ("resume", "supports_resume"),
    "reboot": ("restart", "supports_restart"),
    "set_power_limit": ("set_power_limit", "supports_set_power_limit"),
    "locate": ("set_fault_light", "supports_set_fault_light"),
}


async def carry_out(order: dict[str, Any]) -> tuple[str, str]:
    factory = importlib.import_module("pyasic_rs").MinerFactory()
    miner = await factory.get_miner(order["host"])
    if miner is None:
        return "unreachable", "nothing that the control library knows answers there"
    name, flag = CALLS[order["order"]]
    if not getattr(miner, flag, True):
        return "unsupported", "its firmware does not take this order"
    if order["password"] is not None and hasattr(miner, "set_auth"):
        miner.set_auth(order["user"], order["password"])
    words = {"set_power_limit": (order["watts"],), "locate": (order["light"],)}.get(order["order"], ())
    # Its yes and no were both seen to be wrong: what counts is how the machine reads afterwards.
    await getattr(miner, name)(*words)
    return "accepted", "sent through the control library"


def main() -> None:
    order = orjson.loads(sys.stdin.buffer.readline())
    try:
        answer, detail = asyncio.run(carry_out(order))
    except Exception as error:  # noqa: BLE001  whatever the library throws is one line; its text may hold the password
        answer, detail = "refused", f"the control library failed ({type(error).__name__})"
    sys.stdout.buffer.write(orjson.dumps({"answer": answer, "detail": detail}) + b"\n")
    sys.stdout.buffer.flush()
    os._exit(0)  # the library can abort at a regular exit


if __name__ == "__main__":
    main()
