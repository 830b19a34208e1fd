"""Giving orders: one machine, or thousands at a time, each under its own deadline, and nothing raised."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import cast

from hosting.cgminer.client import OUT_OF_FILES, RESERVED_FILES, raise_open_files
from hosting.cgminer.protocol import ProtocolError
from hosting.cgminer.reading import ReadError
from hosting.control.makes import driver_for
from hosting.control.orders import Answer, Machine, NotDone, Order, Result, Task
from hosting.control.wire import OUTCOMES, unreachable

log = logging.getLogger(__name__)
MAX_DETAIL = 300
Identity = tuple[str | None, str | None]


async def send(
    machine: Machine, order: Order, *, watts: int | None = None, light: bool = True, deadline_s: float = 10.0
) -> Result:
    """Give one order within `deadline_s` in all; never raises. `watts` is for a power limit, `light` for LOCATE.

    UNREACHABLE does not say that the order was not taken: the answer may have been lost.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    task = Task(machine, order, started + deadline_s, watts, light)
    answer, detail = await _outcome(task)
    return Result(machine.key, answer, without_secret(detail, machine)[:MAX_DETAIL], loop.time() - started)


async def _outcome(task: Task) -> tuple[Answer, str]:
    try:
        check(task)
        async with asyncio.timeout_at(task.deadline):
            driver = await driver_for(task)
            detail: str = await driver.obey(task)
    except NotDone as refusal:
        return refusal.answer, refusal.detail
    except ProtocolError as error:
        silence = unreachable(error)
        return silence.answer, silence.detail
    except TimeoutError:
        return Answer.UNREACHABLE, OUTCOMES[ReadError.TIMEOUT]
    except Exception as error:  # noqa: BLE001  one machine's oddity must not end the order to a thousand
        return _our_fault(task, error)
    return Answer.ACCEPTED, detail


def _our_fault(task: Task, error: Exception) -> tuple[Answer, str]:
    if isinstance(error, OSError) and error.errno in OUT_OF_FILES:
        return Answer.UNREACHABLE, "this process has too many files open: raise ulimit -n or lower the concurrency"
    # Its text may hold what the machine or a library said: only the kind is told.
    log.error("order %s to a machine of make %s: %s", task.order, task.machine.make, type(error).__name__)
    return Answer.REFUSED, f"a fault of our own ({type(error).__name__}): report it"


def check(task: Task) -> None:
    """Raises NotDone for what is wrong with the order before anything is sent."""
    if task.order is Order.POWER_LIMIT and not (task.watts and task.watts > 0):
        raise NotDone(Answer.REFUSED, "a power limit needs its watts, e.g. watts=3000")
    try:
        ipaddress.ip_address(task.machine.host)
    except ValueError:
        raise NotDone(Answer.REFUSED, "its address is no IP address: enter one, names are not looked up") from None


def without_secret(text: str, machine: Machine) -> str:
    """A device can repeat in its answer what was sent to it."""
    login = machine.login
    return text if login is None or not login.password else text.replace(login.password, "…")


async def send_many(
    machines: Iterable[Machine],
    order: Order,
    *,
    watts: int | None = None,
    light: bool = True,
    concurrency: int = 500,
    deadline_s: float = 10.0,
    stopped: Callable[[], bool] = lambda: False,
) -> AsyncIterator[Result]:
    """Give one order to all, at most `concurrency` at a time, and yield each result as it comes.

    Each machine's deadline begins with its turn. Whoever stops listening stops the orders that were not given yet; so does
    `stopped`, which is asked at each machine's turn: the right to command may have ended while this process was frozen.
    """
    # Two sockets each: some makes are asked who they are while the last connection closes.
    allowed = (raise_open_files(2 * concurrency + RESERVED_FILES) - RESERVED_FILES) // 2

    async def give(machine: Machine) -> Result:
        if stopped():
            return Result(machine.key, Answer.UNREACHABLE, "not sent: this worker was told to stop", 0.0)
        return await send(machine, order, watts=watts, light=light, deadline_s=deadline_s)

    crew = _Crew(
        iter(list(machines)),
        give,
        at_most=max(1, min(concurrency, allowed)),
    )
    try:
        while (result := await crew.next()) is not None:
            yield result
    finally:
        await crew.dismiss()


class _Crew:
    """Keeps few orders in flight while machines answer at once, and as many as it may when they do not.

    A thousand conversations at once would share one processor, and each would see its deadline pass. A dead machine holds
    its place for the whole deadline, so whoever takes much longer than those before it gets two substitutes.
    """

    FEW = 64
    TICK_S = 0.25
    SLOW_S, MUCH_LONGER = 2.0, 4

    def __init__(self, queue: Iterator[Machine], give: Callable[[Machine], Awaitable[Result]], *, at_most: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue, self.give, self.at_most = queue, give, at_most
        self.results: asyncio.Queue[Result | None] = asyncio.Queue()
        self.begun: dict[asyncio.Task[None], float] = {}
        self.usual_s = 0.0  # what a machine that answers takes at present
        self.fill_up(min(self.FEW, at_most))
        self.alarm = self.loop.call_later(self.TICK_S, self.look)

    def fill_up(self, wanted: int) -> None:
        for _ in range(wanted - len(self.begun)):
            self.begun[self.loop.create_task(self.work())] = self.loop.time()

    def look(self) -> None:
        late = self.loop.time() - max(self.SLOW_S, self.MUCH_LONGER * self.usual_s)
        slow = sum(begun < late for begun in self.begun.values())
        self.fill_up(min(self.FEW + 2 * slow, self.at_most) if self.begun else 0)
        self.alarm = self.loop.call_later(self.TICK_S, self.look)

    async def work(self) -> None:
        me = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            for machine in self.queue:
                self.begun[me] = self.loop.time()
                result = await self.give(machine)
                if result.answer is not Answer.UNREACHABLE:
                    self.usual_s += (result.wall_s - self.usual_s) / 16
                self.results.put_nowait(result)
        finally:
            del self.begun[me]
            if not self.begun:
                self.results.put_nowait(None)

    async def next(self) -> Result | None:
        """None when all have answered."""
        return await self.results.get()

    async def dismiss(self) -> None:
        self.alarm.cancel()
        workers = list(self.begun)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def identify(machine: Machine, *, deadline_s: float = 5.0) -> Identity:
    """Serial number and MAC as the machine tells them now, each None when it does not; never raises.

    For whoever commands it: another machine may have its address by now.
    """
    task = Task(machine, Order.LOCATE, asyncio.get_running_loop().time() + deadline_s)
    try:
        check(task)
        async with asyncio.timeout_at(task.deadline):
            driver = await driver_for(task)
            serial, mac = await driver.identify(task)
    except (NotDone, ProtocolError, TimeoutError, OSError):
        return None, None
    return as_serial(serial), as_mac(mac)


def as_serial(raw: object) -> str | None:
    words = raw.strip()[:100] if isinstance(raw, str) and raw.isprintable() else ""
    return words or None


def as_mac(raw: object) -> str | None:
    """`AA:BB:CC:DD:EE:FF` of any way to write it; None for what is no MAC."""
    digits = "".join(character for character in str(raw) if character not in ":-. ").upper()
    if len(digits) != 12 or set(digits) - set("0123456789ABCDEF") or digits == "0" * 12:
        return None
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))
