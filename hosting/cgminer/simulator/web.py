"""Web interfaces that take orders: the Antminer's CGI pages behind digest access (root/root), and the REST of others."""

import asyncio
import hashlib
import re
import secrets
from typing import Any, cast

import orjson

from hosting.cgminer.simulator import braiins, vnish
from hosting.cgminer.simulator.machine import SimulatedMiner

REALM = "antMiner Configuration"
USER, PASSWORD = "root", "root"
MAX_REQUEST_BYTES = 64 * 1024
REST = {"Braiins OS": braiins.page, "VNish": vnish.page}
REASONS = {200: "OK", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}
MODE_NORMAL, MODE_SLEEP = "0", "1"
DIGEST_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


def mode_key(miner: SimulatedMiner) -> str:
    """Older firmware calls it otherwise, and keeps it as a number."""
    return "miner-mode" if miner.old_firmware else "bitmain-work-mode"


def configuration(miner: SimulatedMiner) -> dict[str, Any]:
    known = miner.memory.get("configuration")
    if not isinstance(known, dict):
        known = miner.memory["configuration"] = {
            "pools": [
                {"url": f"stratum+tcp://pool-{name}.example:3333", "user": f"farm.{miner.serial}", "pass": "x"}
                for name in "ab"
            ],
            "api-listen": True,
            "api-network": True,
            "api-groups": "A:stats:pools:devs:summary:version",
            "bitmain-fan-ctrl": False,
            "bitmain-fan-pwm": "100",
            "bitmain-freq-level": "100",
            mode_key(miner): int(MODE_NORMAL) if miner.old_firmware else MODE_NORMAL,
        }
    return known


def set_configuration(miner: SimulatedMiner, body: bytes) -> dict[str, Any]:
    """What is posted replaces the configuration: pools that are left out are lost. Its mode stops or wakes the machine."""
    try:
        posted = orjson.loads(body)
    except orjson.JSONDecodeError:
        posted = None
    if not isinstance(posted, dict):
        return {"stats": "error", "code": "M001", "msg": "Illegal request!"}
    key = mode_key(miner)
    mode = str(posted.get(key, configuration(miner)[key]))
    kept = {name: value for name, value in posted.items() if name not in {"miner-mode", "bitmain-work-mode"}}
    miner.memory["configuration"] = {"pools": []} | kept | {key: int(mode) if miner.old_firmware else mode}
    miner.keep_asleep(mode == MODE_SLEEP)
    if mode == MODE_SLEEP:
        miner.stop()
    else:
        miner.wake()
    return {"stats": "success", "code": "M000", "msg": "OK!"}


def system_info(miner: SimulatedMiner) -> dict[str, Any]:
    return {
        "minertype": f"Antminer {miner.model.name}",
        "nettype": "DHCP",
        "netdevice": "eth0",
        "macaddr": miner.mac,
        "hostname": "Antminer",
        "ipaddress": miner.host,
        "netmask": "255.0.0.0",
        "serinum": miner.serial,
        "firmware_type": "Release",
        "system_filesystem_version": "Fri Apr 15 09:41:12 CST 2022",
    }


def blink(miner: SimulatedMiner, body: bytes) -> dict[str, Any]:
    try:
        miner.blink(bool(orjson.loads(body).get("blink")))
    except (orjson.JSONDecodeError, AttributeError):
        return {"code": "B001"}
    return {"code": "B000" if miner.blinking else "B100"}


def page(miner: SimulatedMiner, method: str, path: str, body: bytes) -> dict[str, Any] | None:
    """The page's document, its orders carried out; None when there is no such page."""
    name = path.partition("?")[0].removeprefix("/cgi-bin/")
    if name == "get_system_info.cgi":
        return system_info(miner)
    if name == "get_miner_conf.cgi":
        return configuration(miner)
    if name == "set_miner_conf.cgi" and method == "POST":
        return set_configuration(miner, body)
    if name == "reboot.cgi":
        miner.reboot()
        return {}
    if name == "blink.cgi" and method == "POST":
        return blink(miner, body)
    return {"blink": miner.blinking} if name == "get_blink_status.cgi" else None


def _digest(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()


def may_enter(authorization: str, method: str, nonce: str) -> bool:
    """Whether the digest is that of root's password for this nonce (RFC 2617, qop auth or none)."""
    found = {name: quoted or plain for name, quoted, plain in DIGEST_FIELD.findall(authorization)}
    secret = _digest(USER, REALM, PASSWORD)
    asked = _digest(method, found.get("uri", ""))
    middle = [found.get("nc", ""), found.get("cnonce", ""), "auth"] if found.get("qop") else []
    right = _digest(secret, nonce, *middle, asked)
    return found.get("nonce") == nonce and secrets.compare_digest(found.get("response", "").encode(), right.encode())


class WebConnection(asyncio.Protocol):
    """One request and its answer, then the connection closes."""

    def __init__(self, miner: SimulatedMiner, open_ones: set[asyncio.Transport]) -> None:
        self.miner = miner
        self.open_ones = open_ones
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.open_ones.add(self.transport)
        if not self.miner.answers:
            self.transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.transport is not None:
            self.open_ones.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, blank, body = bytes(self.buffer).partition(b"\r\n\r\n")
        if len(self.buffer) > MAX_REQUEST_BYTES:
            self.answer("413 Content Too Large")
        elif blank and self.miner.fault != "hang":
            lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
            }
            length = headers.get("content-length", "0")
            if not length.isdecimal():
                self.answer("400 Bad Request")
            elif len(body) >= int(length):
                self.serve(lines[0], headers, body[: int(length)])

    def serve(self, request_line: str, headers: dict[str, str], body: bytes) -> None:
        method, _, rest = request_line.partition(" ")
        path = rest.partition(" ")[0]
        if self.miner.make in REST:
            code, answer = REST[self.miner.make](self.miner, method, path, headers, body)
            if not isinstance(answer, bytes):
                answer = b"" if answer is None else orjson.dumps(answer)
            self.answer(f"{code} {REASONS[code]}", answer)
            return
        nonce = str(self.miner.memory.setdefault("nonce", secrets.token_hex(16)))
        if not may_enter(headers.get("authorization", ""), method, nonce):
            challenge = f'Digest realm="{REALM}", nonce="{nonce}", qop="auth"'
            self.answer("401 Unauthorized", extra=f"WWW-Authenticate: {challenge}\r\n")
            return
        document = page(self.miner, method, path, body)
        if document is None:
            self.answer("404 Not Found")
        else:
            self.answer("200 OK", orjson.dumps(document))

    def answer(self, status: str, body: bytes = b"", extra: str = "") -> None:
        if self.transport is None or self.transport.is_closing():
            return
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(f"{head}{extra}Connection: close\r\n\r\n".encode() + body)
        self.transport.close()
