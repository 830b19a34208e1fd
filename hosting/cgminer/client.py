"""Reading machines over TCP: one connection and one deadline per exchange, thousands at the same time on one event loop."""

import asyncio
import contextlib
import errno
import gc
import resource
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import cast

from hosting.cgminer import framed
from hosting.cgminer.dialects import generic, identify, whatsminer
from hosting.cgminer.dialects.sections import Fields, Replies, device_time, refused, status
from hosting.cgminer.protocol import (
    MAX_REPLY_BYTES,
    Document,
    ProtocolError,
    decode_reply,
    encode_request,
    may_be_whole,
)
from hosting.cgminer.reading import ReadError, Reading, estimate_where_missing

# A poller never sends anything else; commands that change a machine live elsewhere.
READ_ONLY = frozenset({
    "summary", "stats", "estats", "litestats", "devs", "edevs", "version", "devdetails", "pools", "config", "temps", "fans",
    "power", "tunerstatus", "temperature", "fan", "psu", "get_error_code", "get.miner.status",
})  # fmt: skip
JOINED = "summary+stats"
DOWN = "btminer process is down"  # a Whatsminer that was told to rest and answers nothing else
# Nothing is gained by asking such a machine in another way.
SILENT = frozenset({ReadError.TIMEOUT, ReadError.REFUSED})
OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}
UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EHOSTDOWN}
MAX_TRIES = 4
RESERVED_FILES = 64  # descriptors that the process needs beside its sockets


@dataclass(frozen=True, slots=True)
class Target:
    """A machine to read. `command_set` is what it answered last time; `key` is the caller's name for it.

    With `details` its boards and error codes are read, too, with `pool` also the pool: some makes take an exchange for each.
    """

    host: str
    port: int
    command_set: str | None = None
    key: int = 0
    details: bool = False
    pool: bool = False


@dataclass(slots=True)
class PollResult:
    """A reading or the reason why there is none. `command_set` is the cheapest way to ask next time."""

    host: str
    port: int
    reading: Reading | None = None
    error: ReadError | None = None
    command_set: str | None = None
    wall_s: float = 0.0
    key: int = 0


class _Exchange(asyncio.Protocol):
    """Sends the request when connected and collects the reply until it is whole, the peer closes, or it grows too big."""

    __slots__ = ("buffer", "done", "late", "request", "transport", "tries")

    def __init__(self, request: bytes, done: "asyncio.Future[tuple[Document, tuple[str, ...]]]") -> None:
        self.request = request
        self.done = done
        self.buffer = b""
        self.tries = 0
        self.late = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        # Nearly every reply comes in one piece. Many pieces are joined again and again: 256 KiB are not worth more.
        self.buffer = self.buffer + data if self.buffer else data
        if len(self.buffer) > MAX_REPLY_BYTES:
            self.fail(ReadError.TOO_BIG)
        elif data[-1] == 0 and may_be_whole(self.buffer):
            self.try_to_finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.done.done():
            return
        if not self.buffer or (exc is not None and not self.buffer.rstrip().endswith(b"}")):
            self.fail(ReadError.CLOSED)
        else:
            self.finish()

    def try_to_finish(self) -> None:
        """A NUL ends the reply, unless the firmware put one into its middle: then it is cut short, and more follows."""
        self.tries += 1
        if self.tries > MAX_TRIES:  # a device that sends NULs without end must not keep the whole sweep decoding
            self.fail(ReadError.BAD_JSON)
            return
        try:
            reply = decode_reply(self.buffer)
        except ProtocolError:
            return
        if "truncated" not in reply[1] and not self.done.done():
            self.done.set_result(reply)

    def finish(self) -> None:
        try:
            self.done.set_result(decode_reply(self.buffer))
        except ProtocolError as error:
            self.fail(error.reason)

    def ring(self, task: "asyncio.Task[object] | None") -> None:
        """The deadline has come: stop waiting for the reply, or for the connection."""
        if self.transport is not None:
            self.fail(ReadError.TIMEOUT)
        elif task is not None:
            self.late = True
            task.cancel()

    def fail(self, reason: ReadError) -> None:
        if not self.done.done():
            self.done.set_exception(ProtocolError(reason))


async def exchange(host: str, port: int, request: bytes, deadline: float) -> tuple[Document, tuple[str, ...]]:
    """Send one request and return its document and repairs; `deadline` is by the loop's clock, for the whole exchange.

    Raises ProtocolError, and OSError when this process has too many files open.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Document, tuple[str, ...]]] = loop.create_future()
    protocol = _Exchange(request, done)
    # asyncio.timeout() does the same at three times the price: here it is a tenth of the sweep.
    alarm = loop.call_at(deadline, protocol.ring, asyncio.current_task(loop))
    try:
        await loop.create_connection(lambda: protocol, host, port)
        return await done
    except asyncio.CancelledError:
        task = asyncio.current_task(loop)
        if protocol.late and task is not None and task.uncancel() == 0:
            raise ProtocolError(ReadError.TIMEOUT) from None
        raise
    except ConnectionRefusedError:
        raise ProtocolError(ReadError.REFUSED) from None
    except OSError as error:
        if error.errno in OUT_OF_FILES:  # our own fault: it must not look like thousands of dead machines
            raise
        raise ProtocolError(ReadError.TIMEOUT if error.errno in UNREACHABLE else ReadError.CLOSED) from None
    finally:
        alarm.cancel()
        if not done.cancel() and not done.cancelled():
            done.exception()  # looked at, so that asyncio does not log it as forgotten
        if protocol.transport is not None:
            protocol.transport.abort()


async def poll(
    host: str,
    port: int,
    *,
    timeout_s: float = 5.0,
    command_set: str | None = None,
    details: bool = False,
    pool: bool = False,
) -> PollResult:
    """Read one machine within `timeout_s` in all; `details` and `pool` are Target's. Faults are in the result, never raised."""
    return await _poll(Target(host, port, command_set, details=details, pool=pool), timeout_s)


async def _poll(target: Target, timeout_s: float) -> PollResult:
    loop = asyncio.get_running_loop()
    started = loop.time()
    result = PollResult(target.host, target.port, key=target.key)
    try:
        if target.port == framed.PORT:
            result.reading = await framed.read(
                target.host, target.port, started + timeout_s, details=target.details or target.pool
            )
            result.command_set = framed.COMMAND
        else:
            conversation = _Conversation(target.host, target.port, started + timeout_s)
            result.reading, result.command_set = await conversation.read(target.command_set)
            if target.details or target.pool:
                await conversation.add_details(result.reading, pool=target.pool)
    except ProtocolError as error:
        result.error = error.reason
    result.wall_s = loop.time() - started
    return result


@lru_cache(maxsize=256)
def requests_of(command_set: str | None) -> tuple[str, ...] | None:
    """A remembered command set as its requests, e.g. "summary,stats"; None when it is not one that we would send."""
    if not command_set:
        return None
    requests = tuple(command_set.split(","))
    return requests if all(set(commands_of(request)) <= READ_ONLY for request in requests) else None


@lru_cache(maxsize=256)
def commands_of(request: str) -> tuple[str, ...]:
    return tuple(request.split("+"))


@lru_cache(maxsize=256)
def bytes_of(request: str) -> bytes:
    return encode_request(request)


class _Conversation:
    """The exchanges of one poll, under one deadline."""

    __slots__ = ("deadline", "host", "port", "refusals", "repairs", "replies", "tried")

    def __init__(self, host: str, port: int, deadline: float) -> None:
        self.host, self.port, self.deadline = host, port, deadline
        self.replies: dict[str, Fields] = {}
        self.repairs: tuple[str, ...] = ()
        self.refusals: list[str] = []
        self.tried: set[str] = set()

    async def read(self, command_set: str | None) -> tuple[Reading, str | None]:
        remembered = requests_of(command_set)
        if remembered is not None:
            try:
                reading = await self.ask_as_before(remembered)
            except ProtocolError as error:
                if error.reason in SILENT:
                    raise
                reading = None
            if reading is not None:
                return reading, command_set
            self.tried.clear()
            self.replies.clear()  # new firmware: get to know it again
        return await self.get_acquainted()

    async def ask_as_before(self, requests: Sequence[str]) -> Reading | None:
        """The reading, or None when the machine no longer answers as it did."""
        for request in requests:
            await self.ask(request)
            for command in commands_of(request):
                if command not in self.replies:
                    return None
        reading = self.parse()
        return reading if usable(reading) else None

    async def add_details(self, reading: Reading, *, pool: bool) -> None:
        """Boards and errors, with what must be asked for them; the reading stands whatever becomes of it."""
        dialect = identify(self.replies)
        try:
            for need in (*dialect.DETAILS, *(("pools",) if pool else ())):
                await self.ask_first_of(need)
        except ProtocolError:
            pass
        dialect.detail(reading, self.replies)

    async def ask_first_of(self, need: str) -> None:
        """Ask for `a|b` until one of them is answered."""
        commands = need.split("|")
        if any(command in self.replies for command in commands):
            return
        for command in commands:
            if command not in self.tried and await self.ask_kindly(command):
                return

    async def get_acquainted(self) -> tuple[Reading, str]:
        """Find out what it is and which requests give everything; raises ProtocolError(UNSUPPORTED) when nothing does."""
        joins = await self.ask_kindly(JOINED)
        if not joins and not await self.ask("summary"):
            await self.ask("version")
        dialect = identify(self.replies)
        for command in ("stats", "estats", "version", "devdetails"):
            if dialect is not generic or (command == "estats" and "stats" in self.replies):
                continue
            if command not in self.replies and command not in self.tried and await self.ask_kindly(command):
                dialect = identify(self.replies)
        await self.ask_for_all(dialect, joined=joins)
        reading = self.parse()
        if not usable(reading):
            if not any(DOWN in message for message in self.refusals):
                raise ProtocolError(ReadError.UNSUPPORTED)
            return Reading(make=whatsminer.MAKE, hashrate_ths=0.0), whatsminer.NEEDS[0]
        return reading, ("+" if joins else ",").join(self.worth_asking(dialect))

    async def ask_for_all(self, dialect: ModuleType, *, joined: bool) -> None:
        """What the dialect reads and is not known yet: in one request where the machine takes them so, then one by one."""
        missing = [need for need in dialect.NEEDS if not any(command in self.replies for command in need.split("|"))]
        if joined and len(missing) > 1:
            await self.ask_kindly("+".join(need.partition("|")[0] for need in missing))
        for need in (*missing, *dialect.ASKS_ONCE):
            await self.ask_first_of(need)

    def worth_asking(self, dialect: ModuleType) -> list[str]:
        """The answered commands that a reading takes, and more where the make could not be told from them alone."""
        answered = [
            next(command for command in need.split("|") if command in self.replies)
            for need in dialect.NEEDS
            if any(command in self.replies for command in need.split("|"))
        ]
        for command in (*dialect.ASKS_ONCE, "stats"):
            if identify({name: self.replies[name] for name in answered}) is dialect:
                break
            if command in self.replies and command not in answered:
                answered.append(command)
        return answered

    async def ask_kindly(self, request: str) -> bool:
        """Ask for what would be good to have: a device that drops the line or stammers at it is still read."""
        try:
            return await self.ask(request)
        except ProtocolError as error:
            if error.reason in SILENT:
                raise
            return False

    async def ask(self, request: str) -> bool:
        """Send one request, joined or single, and keep what answers; False when the device refuses it."""
        self.tried.add(request)
        document, repairs = await exchange(self.host, self.port, bytes_of(request), self.deadline)
        self.repairs += repairs
        commands = commands_of(request)
        kept = False
        for command in commands:
            reply = document if len(commands) == 1 else member(document, command)
            if reply is None:
                continue
            if refused(reply):
                self.refusals.append(str(status(reply).get("Msg") or reply.get("Msg")))
            else:
                self.replies[command] = reply
                kept = True
        return kept

    def parse(self) -> Reading:
        replies: Replies = self.replies
        reading = cast("Reading", identify(replies).parse(replies))
        reading.device_time = device_time(replies)
        reading.repairs = self.repairs
        return estimate_where_missing(reading)


def member(document: Document, command: str) -> Fields | None:
    """One command's reply inside a joined one; None when the firmware did not join."""
    found = document.get(command)
    if isinstance(found, list) and found:
        found = found[0]
    return found if isinstance(found, dict) else None


def usable(reading: Reading) -> bool:
    """A document without any of these is not a miner's."""
    return not (reading.hashrate_ths is None and reading.temperature_c is None and reading.uptime_s is None)


class _Sweep:
    """Keeps few machines in flight while they answer at once, and as many as it may when they do not.

    A few dozen sockets stay in the processor's caches, which saves a fifth of the CPU; a dead machine holds its place for the
    whole timeout, so whoever takes longer than a tick gets two substitutes.
    """

    FEW = 64
    TICK_S = 0.02

    def __init__(self, targets: Sequence[Target], *, at_most: int, timeout_s: float, deadline_s: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue: Iterator[Target] = iter(targets)
        self.results: list[PollResult] = []
        self.at_most, self.timeout_s = at_most, timeout_s
        self.end = self.loop.time() + deadline_s
        self.wanted = min(self.FEW, at_most)
        self.workers = 0
        self.tick = 0
        self.begun = Counter[int]()  # polls in flight, by the tick in which they began

    async def run(self) -> list[PollResult]:
        try:
            async with asyncio.TaskGroup() as group:
                self.fill_up(group)
                alarm = self.loop.call_later(self.TICK_S, self.look, group)
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            alarm.cancel()
            self.workers = 0
        return self.results

    def fill_up(self, group: asyncio.TaskGroup) -> None:
        while self.workers < self.wanted:
            self.workers += 1
            group.create_task(self.work())

    def look(self, group: asyncio.TaskGroup) -> None:
        """Every tick: who is still waiting since an earlier one?"""
        if self.workers == 0:
            return
        slow = self.begun.total() - self.begun[self.tick]
        self.tick += 1
        self.wanted = min(self.FEW + 2 * slow, self.at_most)
        self.fill_up(group)
        self.loop.call_later(self.TICK_S, self.look, group)

    async def work(self) -> None:
        for target in self.queue:
            left_s = min(self.timeout_s, self.end - self.loop.time())
            if left_s <= 0:
                self.results.append(PollResult(target.host, target.port, error=ReadError.TIMEOUT, key=target.key))
                continue
            tick = self.tick
            self.begun[tick] += 1
            self.results.append(await _poll(target, left_s))
            self.begun[tick] -= 1
            if self.workers > self.wanted:
                break
        self.workers -= 1


async def poll_many(
    targets: Iterable[Target], *, concurrency: int = 2000, timeout_s: float = 3.0, deadline_s: float = 50.0
) -> list[PollResult]:
    """Read them all, at most `concurrency` at a time; one result each, in any order.

    Machines whose turn has not come after `deadline_s` are reported as timeout, so the sweep always ends.
    """
    waiting = list(targets)
    at_most = max(1, min(concurrency, raise_open_files(concurrency + RESERVED_FILES) - RESERVED_FILES))
    with collecting_no_garbage():
        return await _Sweep(waiting, at_most=at_most, timeout_s=timeout_s, deadline_s=deadline_s).run()


@contextlib.contextmanager
def collecting_no_garbage() -> Iterator[None]:
    """Switch cyclic garbage collection off: a sweep makes no cycles, and the collector would cost a fifth of its CPU."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def raise_open_files(wanted: int) -> int:
    """Raise this process's limit of open files towards `wanted`, as far as its hard limit allows; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
