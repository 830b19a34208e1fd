"""Makes that need an interface which we do not speak: the optional library pyasic-rs, in a child process.

The library can abort the interpreter at exit (seen in one run of three), so it never runs inside ours, and its exit code
means nothing: what counts is the line that the child wrote.
"""

import asyncio
import contextlib
import os
import sys
from importlib.util import find_spec

import orjson

from hosting.cgminer.protocol import ProtocolError
from hosting.cgminer.reading import ReadError
from hosting.control.orders import Answer, NotDone, Task, unsupported

LIBRARY = "pyasic_rs"
CHILD = "hosting.control.extra_child"
MAX_LINE_BYTES = 16 * 1024
_places: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}
AT_ONCE = 8  # a child is an interpreter: 28 MB and a third of a second


def installed() -> bool:
    return find_spec(LIBRARY) is not None


async def obey(task: Task, make: str, interface: str) -> str:
    """Give the order through the library. Raises NotDone where it is not installed or the machine does not take it."""
    if not installed():
        raise unsupported(make, f"this order needs {interface}: install the extra with `make install-control`")
    places = _places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))
    async with places:
        line = await _in_a_child(request_of(task), task.deadline)
    return judged(line, make)


def request_of(task: Task) -> bytes:
    """What the child reads from its standard input: a password on a command line could be read by everybody."""
    login = task.machine.login
    return orjson.dumps({
        "host": task.machine.host,
        "order": task.order.value,
        "watts": task.watts,
        "light": task.light,
        "user": login and login.user,
        "password": login and login.password,
    })  # fmt: skip


async def _in_a_child(request: bytes, deadline: float) -> bytes:
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", CHILD),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        limit=MAX_LINE_BYTES,
    )
    try:
        async with asyncio.timeout_at(deadline):
            if child.stdin is None or child.stdout is None:
                raise ProtocolError(ReadError.CLOSED)
            child.stdin.write(request + b"\n")
            child.stdin.close()
            return await child.stdout.readline()
    except TimeoutError:
        raise ProtocolError(ReadError.TIMEOUT) from None
    except ValueError:
        raise ProtocolError(ReadError.TOO_BIG) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def judged(line: bytes, make: str) -> str:
    try:
        told = orjson.loads(line)
        answer, detail = Answer(told["answer"]), str(told["detail"])[:120]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise NotDone(Answer.UNREACHABLE, f"{make}: the control library ended without an answer") from None
    if answer is not Answer.ACCEPTED:
        raise NotDone(answer, f"{make}: {detail}")
    return detail
