"""Telling machines what to do: sleep, wake, reboot, power limit, light. Without Django.

A machine's "yes" means accepted, not done: `look` reads it again and `proof.proves` judges.
"""

from collections.abc import AsyncIterator, Iterable

from hosting.control.orders import Answer, Login, Machine, Order, Result
from hosting.control.proof import Evidence, proves

__all__ = ["Answer", "Evidence", "Login", "Machine", "Order", "Result", "identify", "look", "proves", "send", "send_many"]


async def send(machine: Machine, order: Order, *, watts: int | None = None, deadline_s: float = 10.0) -> Result:
    """Give one order within `deadline_s` in all; never raises."""
    return Result(machine.key, Answer.UNSUPPORTED, "drivers are being built", 0.0)


async def send_many(
    machines: Iterable[Machine],
    order: Order,
    *,
    watts: int | None = None,
    concurrency: int = 500,
    deadline_s: float = 10.0,
) -> AsyncIterator[Result]:
    """Give one order to all, `concurrency` at a time, and yield each result as it comes; never raises."""
    for machine in machines:
        yield await send(machine, order, watts=watts, deadline_s=deadline_s)


async def identify(machine: Machine) -> tuple[str | None, str | None]:
    """Serial number and MAC as the machine tells them, None for what it does not."""
    return None, None


async def look(machine: Machine, *, timeout_s: float = 5.0) -> Evidence:
    """One reading of the machine, as evidence."""
    raise NotImplementedError
