"""Canaan's Avalon: `ascset` on the CGMiner port, switched off and on at a moment of the machine's own clock."""

import time
from typing import Any

from hosting.cgminer.dialects.sections import first, status
from hosting.cgminer.protocol import ProtocolError
from hosting.cgminer.reading import ReadError
from hosting.control.orders import Order, Task, unsupported
from hosting.control.wire import ask, yes

MAKE = "Avalon"
IN_S = 5  # how far ahead the moment lies: an order in the past is ignored by some builds


async def obey(task: Task) -> str:
    if task.order is Order.POWER_LIMIT:
        raise unsupported(MAKE, "its firmware has work levels, no limit in watts")
    if task.order is Order.LOCATE:
        return yes(await ask(task, "ascset", f"0,led,1-{int(task.light)}"), MAKE)
    # Asked first, so that a silent close afterwards can only be the answer to the order.
    version = await ask(task, "version")
    if task.order is Order.REBOOT:
        return await order_that_may_close(task, "0,reboot,0")
    moment = device_now(version) + IN_S
    if task.order is Order.SLEEP:
        return yes(await ask(task, "ascset", f"0,softoff,1:{moment}"), MAKE)
    return await order_that_may_close(task, f"0,softon,1:{moment}")


def device_now(reply: dict[str, Any]) -> int:
    """The machine's own idea of now: its clock decides when it obeys, however wrong it goes."""
    when = status(reply).get("When")
    return when if isinstance(when, int) and not isinstance(when, bool) and when > 0 else int(time.time())


async def order_that_may_close(task: Task, parameter: str) -> str:
    """For orders that this firmware obeys and hangs up on."""
    try:
        return yes(await ask(task, "ascset", parameter), MAKE)
    except ProtocolError as error:
        if error.reason is not ReadError.CLOSED:
            raise
        return "it took the order and closed the connection"


async def identify(task: Task) -> tuple[object, object]:
    version = first({"version": await ask(task, "version")}, "version")
    return version.get("DNA"), version.get("MAC")
