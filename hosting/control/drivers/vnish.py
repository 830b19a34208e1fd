"""VNish: its own web interface; the password unlocks a token for the orders."""

import orjson

from hosting.cgminer.protocol import ProtocolError
from hosting.cgminer.reading import ReadError
from hosting.control.orders import Answer, Login, NotDone, Order, Task
from hosting.control.wire import Web, accepted, web

MAKE = "VNish"
FACTORY = Login("admin", "admin")
PATHS = {
    Order.SLEEP: "/api/v1/mining/stop",
    Order.WAKE: "/api/v1/mining/start",
    Order.REBOOT: "/api/v1/system/reboot",
}
FIND = "/api/v1/find-miner"


async def obey(task: Task) -> str:
    async with web(task) as page:
        headers = {"Authorization": f"Bearer {await unlock(page, task)}"}
        if task.order is Order.LOCATE:
            return await find(page, headers, on=task.light)
        if task.order is Order.POWER_LIMIT:
            return await choose_preset(page, headers, task.watts or 0)
        path = PATHS[task.order]
        try:
            code, _body = await page.request("POST", path, headers=headers)
        except ProtocolError as error:
            if task.order is Order.REBOOT and error.reason is ReadError.CLOSED:
                return "it went down without an answer"
            raise
        accepted(code, path)
    return "accepted by its web interface"


async def unlock(page: Web, task: Task) -> str:
    body = orjson.dumps({"pw": task.login.password})
    told = await page.document("POST", "/api/v1/unlock", body=body, headers={"Content-Type": "application/json"})
    token = told.get("token")
    if not isinstance(token, str) or not token.isprintable() or not token.isascii():
        raise NotDone(Answer.UNAUTHORISED, f"{MAKE}: it refuses the password: correct it under Credentials")
    return token


async def find(page: Web, headers: dict[str, str], *, on: bool) -> str:
    """The page toggles the light and tells how it stands, so it may take two."""
    for _turn in range(2):
        told = await page.document("POST", FIND, headers=headers)
        if bool(told.get("on")) is on:
            return "the light blinks" if on else "the light is off"
    raise NotDone(Answer.REFUSED, f"{MAKE}: its light does not switch")


async def choose_preset(page: Web, headers: dict[str, str], watts: int) -> str:
    """Its tuner knows steps, named by their watts; the highest within the limit is taken."""
    told = (await page.document("GET", "/api/v1/autotune/presets", headers=headers)).get("value")
    names = [str(entry.get("name")) for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []
    steps = sorted(int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 6)
    fitting = [step for step in steps if step <= watts]
    if not fitting:
        lowest = f"the lowest is {steps[0]} W" if steps else "its firmware tells none"
        raise NotDone(Answer.REFUSED, f"{MAKE}: no preset is within {watts} W: {lowest}")
    body = orjson.dumps({"miner": {"overclock": {"preset": str(fitting[-1])}}})
    saved = await page.document(
        "POST", "/api/v1/settings", body=body, headers=headers | {"Content-Type": "application/json"}
    )
    if saved.get("restart_required"):  # firmware without that page takes the preset at once
        await page.request("POST", "/api/v1/mining/restart", headers=headers)
    return f"preset {fitting[-1]} W"


async def identify(task: Task) -> tuple[object, object]:
    async with web(task) as page:
        info = await page.document("GET", "/api/v1/info")
    system = info.get("system")
    network = system.get("network_status") if isinstance(system, dict) else None
    return info.get("serial"), network.get("mac") if isinstance(network, dict) else None
