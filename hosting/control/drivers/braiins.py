"""Braiins OS: pause and resume on the CGMiner port where it serves them, all else by its REST interface; gRPC by the extra."""

import orjson

from hosting.cgminer.protocol import Document, ProtocolError
from hosting.cgminer.reading import ReadError
from hosting.control import extra
from hosting.control.orders import Answer, Login, NotDone, Order, Task
from hosting.control.wire import Web, accepted, ask, web, yes

MAKE = "Braiins OS"
FACTORY = Login("root", "root")
ON_CGMINER_PORT = {Order.SLEEP: "pause", Order.WAKE: "resume"}
GOES_DOWN = {ReadError.CLOSED, ReadError.TIMEOUT}


async def obey(task: Task) -> str:
    if (taken := await on_cgminer_port(task)) is not None:
        return taken
    try:
        return await by_rest(task)
    except ProtocolError as error:
        if error.reason not in {ReadError.REFUSED, ReadError.BAD_JSON}:
            raise
    except NotDone as refusal:
        if refusal.answer is not Answer.UNSUPPORTED:
            raise
    if not extra.installed():
        await ask(task, "version")  # a machine that is off needs no library
    return await extra.obey(task, MAKE, "its gRPC interface")


async def on_cgminer_port(task: Task) -> str | None:
    """The answer, or None where the port is closed or does not serve the order."""
    name = ON_CGMINER_PORT.get(task.order)
    if name is None:
        return None
    try:
        return yes(await ask(task, name), MAKE)
    except ProtocolError as error:
        if error.reason is not ReadError.REFUSED:
            raise
    except NotDone as refusal:
        if refusal.answer not in {Answer.UNSUPPORTED, Answer.UNAUTHORISED}:
            raise
    return None


async def by_rest(task: Task) -> str:
    async with web(task) as page:
        headers = {"Authorization": await log_in(page, task), "Content-Type": "application/json"}
        path, body = request(task)
        try:
            code, _content = await page.request(
                "PUT", path, body=None if body is None else orjson.dumps(body), headers=headers
            )
        except ProtocolError as error:
            if task.order is Order.REBOOT and error.reason in GOES_DOWN:
                return "it went down without an answer"
            raise
        accepted(code, path)
    return "accepted by its REST interface"


async def log_in(page: Web, task: Task) -> str:
    body = orjson.dumps({"username": task.login.user, "password": task.login.password})
    told: Document = await page.document(
        "POST", "/api/v1/auth/login", body=body, headers={"Content-Type": "application/json"}
    )
    token = told.get("token")
    if not isinstance(token, str) or not token.isprintable() or not token.isascii():
        raise ProtocolError(ReadError.BAD_JSON)
    return token


def request(task: Task) -> tuple[str, object]:
    requests: dict[Order, tuple[str, object]] = {
        Order.SLEEP: ("/api/v1/actions/pause", None),
        Order.WAKE: ("/api/v1/actions/resume", None),
        Order.REBOOT: ("/api/v1/actions/reboot", None),
        Order.LOCATE: ("/api/v1/actions/locate", task.light),
        Order.POWER_LIMIT: ("/api/v1/performance/power-target", {"watt": task.watts}),
    }
    return requests[task.order]


async def identify(task: Task) -> tuple[object, object]:
    async with web(task) as page:
        details = await page.document(
            "GET", "/api/v1/miner/details", headers={"Authorization": await log_in(page, task)}
        )
    return details.get("serial_number"), details.get("mac_address")
