"""Bitmain's stock firmware: orders go to the web interface, behind digest access."""

import re
from typing import Any

import httpx2
import orjson

from hosting.cgminer.protocol import Document, ProtocolError
from hosting.cgminer.reading import ReadError
from hosting.control.orders import Answer, Login, NotDone, Order, Task, unsupported
from hosting.control.wire import Web, web

MAKE = "Antminer"
FACTORY = Login("root", "root")
CONFIGURATION, WRITE = "/cgi-bin/get_miner_conf.cgi", "/cgi-bin/set_miner_conf.cgi"
# The name under which a firmware keeps its work mode. Some builds read it under the one and write it under the other.
MODE_KEYS = ("bitmain-work-mode", "miner-mode")
WRITTEN_AS = "miner-mode"
MODES = {Order.SLEEP: 1, Order.WAKE: 0}
GOES_DOWN = {ReadError.CLOSED, ReadError.TIMEOUT}


async def obey(task: Task) -> str:
    if task.order is Order.POWER_LIMIT:
        raise unsupported(
            MAKE, "stock firmware has work modes, no limit in watts: firmware such as LuxOS or Braiins has one"
        )
    async with web(task, auth=digest(task)) as page:
        if task.order in MODES:
            return await set_mode(page, MODES[task.order])
        if task.order is Order.REBOOT:
            return await reboot(page)
        return await blink(page, on=task.light)


async def identify(task: Task) -> tuple[object, object]:
    async with web(task, auth=digest(task)) as page:
        info = await page.document("GET", "/cgi-bin/get_system_info.cgi")
    return info.get("serinum"), info.get("macaddr")


async def blinking(task: Task) -> bool | None:
    """Whether the light blinks now; None where the firmware does not tell."""
    async with web(task, auth=digest(task)) as page:
        told = (await page.document("GET", "/cgi-bin/get_blink_status.cgi")).get("blink")
    return told if isinstance(told, bool) else None


def digest(task: Task) -> httpx2.DigestAuth:
    return httpx2.DigestAuth(task.login.user, task.login.password)


async def set_mode(page: Web, mode: int) -> str:
    """Write the whole configuration back with another mode: what is left out, pools first of all, would be lost.

    It stands in flash memory, so a configuration that says the mode already is not written again.
    """
    raw, conf, key = await read_mode(page)
    if str(conf[key]) == str(mode):
        return f"its configuration says {key} {mode} already"
    await write(page, with_mode(raw, conf, key, mode))
    if key == WRITTEN_AS:
        return f"{key} is {mode}"
    _raw, after, key = await read_mode(page)
    if str(after[key]) != str(mode):
        await write(
            page, orjson.dumps({name: value for name, value in after.items() if name != key} | {WRITTEN_AS: mode})
        )
        _raw, after, key = await read_mode(page)
    if str(after[key]) != str(mode):
        raise NotDone(Answer.REFUSED, f"it took the configuration and kept {key} as it was")
    return f"{key} is {mode}"


async def read_mode(page: Web) -> tuple[bytes, Document, str]:
    """The configuration as sent and as read, and the name of its mode. Raises NotDone when it has none."""
    code, raw = await page.request("GET", CONFIGURATION)
    if code in {401, 403}:
        raise NotDone(Answer.UNAUTHORISED, "its web interface refuses the login: correct it under Credentials")
    try:
        conf = orjson.loads(raw) if code == 200 else None
    except orjson.JSONDecodeError:
        raise ProtocolError(ReadError.BAD_JSON) from None
    key = next((name for name in MODE_KEYS if isinstance(conf, dict) and name in conf), None)
    if not isinstance(conf, dict) or key is None:
        raise unsupported(MAKE, "its web interface has no work mode: firmware before 2021, or not of this make")
    return raw, conf, key


async def write(page: Web, configuration: bytes) -> None:
    try:
        told = await page.document("POST", WRITE, body=configuration, headers={"Content-Type": "application/json"})
    except ProtocolError as error:
        if error.reason is not ReadError.BAD_JSON:  # some builds answer in plain words; what counts is read back
            raise
        return
    if str(told.get("stats", "success")).lower() != "success":
        raise NotDone(Answer.REFUSED, f"it refuses the configuration (code {str(told.get('code'))[:8]})")


def with_mode(raw: bytes, conf: Document, key: str, mode: int) -> bytes:
    """The configuration with another mode, of the type it had, and every other byte as it came."""
    value: Any = str(mode) if isinstance(conf[key], str) else mode
    spot = re.compile(rb'("' + re.escape(key).encode() + rb'"\s*:\s*)("[^"]*"|-?\d+)')
    changed = spot.sub(lambda found: found[1] + orjson.dumps(value), raw, count=1)
    wanted = conf | {key: value}
    try:
        return changed if orjson.loads(changed) == wanted else orjson.dumps(wanted)
    except orjson.JSONDecodeError:
        return orjson.dumps(wanted)


async def reboot(page: Web) -> str:
    """It may go down before it answers, so the login is proved first."""
    await page.document("GET", "/cgi-bin/get_system_info.cgi")
    try:
        code, _body = await page.request("GET", "/cgi-bin/reboot.cgi")
    except ProtocolError as error:
        if error.reason not in GOES_DOWN:
            raise
        return "it went down without an answer"
    if code not in {200, 204}:
        raise NotDone(Answer.REFUSED, f"its web interface answered {code} to the reboot")
    return "it goes down"


async def blink(page: Web, *, on: bool) -> str:
    body = orjson.dumps({"blink": on})
    told = await page.document("POST", "/cgi-bin/blink.cgi", body=body, headers={"Content-Type": "application/json"})
    code = str(told.get("code", ""))
    if code and code not in {"B000", "B100"}:
        raise NotDone(Answer.REFUSED, f"it refuses to blink (code {code[:8]})")
    return "the light blinks" if on else "the light is off"
