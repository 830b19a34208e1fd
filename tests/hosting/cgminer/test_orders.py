"""Stop and resume as each make takes them, over the wire."""

import asyncio
import json
import subprocess
import urllib.error
import urllib.request
from http import HTTPStatus

import pytest

from hosting.cgminer.simulator import Phase, SimulatedFarm, build_farm
from hosting.cgminer.whatsminer_seal import SealError, md5crypt, seal, session_key, token_sign, unseal
from tests.hosting.cgminer.device import network, run

SPEED = 500.0
WEB_PORT = 8480


def farm_of(make, number, **options):
    """Machines of one make, whose seconds pass quickly."""
    miners = build_farm(40, host=network(number), speed=SPEED, **options)
    return [miner for miner in miners if miner.make == make]


async def ask(miner, request):
    reader, writer = await asyncio.open_connection(miner.host, miner.port)
    writer.write(json.dumps(request).encode())
    reply = await reader.read()
    writer.close()
    return json.loads(reply.rstrip(b"\0"))


def with_farm(miners, work):
    async def main():
        farm = SimulatedFarm(miners)
        await farm.start()
        try:
            return await work()
        finally:
            await farm.stop()

    return run(main())


@pytest.mark.parametrize(
    ("password", "salt"), [("admin", "BQ5hoXV9"), ("a", "x"), ("a much longer pass word 123", "jbzkfQls")]
)
def test_md5crypt_is_that_of_openssl(password, salt):
    command = ["openssl", "passwd", "-1", "-salt", salt, password]
    assert subprocess.check_output(command, text=True).strip() == f"$1${salt}${md5crypt(password, salt)}"


def test_a_sealed_command_opens_with_its_key_only():
    assert unseal(seal({"cmd": "power_off"}, "key"), "key") == {"cmd": "power_off"}
    for text, key in ((seal({"cmd": "power_off"}, "key"), "other"), ("!", "key"), ("AAAA", "key"), ("", "key")):
        with pytest.raises(SealError):
            unseal(text, key)


async def order(miner, command, *, password="admin"):
    """Send a write command as the maker's tool does; return the opened reply."""
    told = (await ask(miner, {"cmd": "get_token"}))["Msg"]
    key = session_key(password, told["salt"])
    sign = token_sign(key, told["time"], told["newsalt"])
    reply = await ask(miner, {"enc": 1, "data": seal({"cmd": command, "respbefore": "true", "token": sign}, key)})
    return unseal(reply["enc"], key) if "enc" in reply else reply


def test_a_whatsminer_stops_and_resumes_by_sealed_commands():
    miner = farm_of("Whatsminer", 1)[0]

    async def work():
        off = await order(miner, "power_off")
        await asyncio.sleep(20 / SPEED)
        asleep = (miner.phase, (await ask(miner, {"cmd": "status"}))["Msg"]["btmineroff"])
        stopped = (await ask(miner, {"command": "summary"}))["SUMMARY"][0]
        on = await order(miner, "power_on")
        await asyncio.sleep(60 / SPEED)
        return off, asleep, stopped, on, miner.phase

    off, asleep, stopped, on, phase = with_farm([miner], work)
    assert (off["STATUS"], off["Code"], on["Code"]) == ("S", 131, 131)
    assert asleep == (Phase.SLEEPING, "true")
    assert (stopped["MHS 5s"], stopped["Power"] < 65) == (0.0, True)
    assert phase is Phase.HASHING


def test_a_whatsminer_obeys_neither_a_wrong_password_nor_a_clear_nor_a_stale_command():
    miner = farm_of("Whatsminer", 2)[0]

    async def work():
        key = session_key("admin", "pZq8nVd2")
        stale = await ask(miner, {"enc": 1, "data": seal({"cmd": "power_off", "token": "none"}, key)})
        clear = await ask(miner, {"cmd": "power_off"})
        return (await order(miner, "power_off", password="guess")), clear, stale

    replies = with_farm([miner], work)
    assert [(reply["STATUS"], reply["Code"]) for reply in replies] == [("E", 135), ("E", 45), ("E", 135)]
    assert miner.phase is Phase.HASHING


def test_a_generic_machine_denies_every_order():
    miner = farm_of("Generic", 3)[0]
    reply = with_farm([miner], lambda: ask(miner, {"command": "ascset", "parameter": "0,softoff"}))
    assert (reply["STATUS"][0]["STATUS"], reply["STATUS"][0]["Code"]) == ("E", 45)
    assert miner.phase is Phase.HASHING


def browse(miner, page, document=None, password="root"):
    """One request to the web interface through a real client with digest access."""
    address = f"http://{miner.host}:{miner.web_port}/cgi-bin/{page}.cgi"
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, address, "root", password)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPDigestAuthHandler(passwords)
    )
    body = None if document is None else json.dumps(document).encode()
    with opener.open(urllib.request.Request(address, body), timeout=3) as reply:
        return json.loads(reply.read())


def antminers(number):
    farm = farm_of("Antminer", number, web_port=WEB_PORT)
    return [
        next(miner for miner in farm if miner.old_firmware),
        next(miner for miner in farm if not miner.old_firmware),
    ]


@pytest.mark.parametrize(
    ("firmware", "key", "sleep", "normal"), [(0, "miner-mode", 1, 0), (1, "bitmain-work-mode", "1", "0")]
)
def test_an_antminer_sleeps_and_wakes_by_its_web_interface(firmware, key, sleep, normal):
    miner = antminers(4)[firmware]

    async def work():
        before = await asyncio.to_thread(browse, miner, "get_miner_conf")
        told = await asyncio.to_thread(browse, miner, "set_miner_conf", before | {key: sleep})
        await asyncio.sleep(20 / SPEED)
        asleep = (miner.phase, (await ask(miner, {"command": "stats"}))["STATS"][1]["GHS 5s"])
        after = await asyncio.to_thread(browse, miner, "get_miner_conf")
        await asyncio.to_thread(browse, miner, "set_miner_conf", after | {key: normal})
        await asyncio.sleep(60 / SPEED)
        return before, told, asleep, after, miner.phase

    before, told, asleep, after, phase = with_farm([miner], work)
    assert told["stats"] == "success"
    assert asleep == (Phase.SLEEPING, 0.0)
    assert (before[key], after[key], type(after[key])) == (normal, sleep, type(sleep))
    assert after["pools"] == before["pools"] != []
    assert phase is Phase.HASHING


def test_sleep_outlasts_an_antminers_reboot():
    miner = antminers(5)[1]

    async def work():
        conf = await asyncio.to_thread(browse, miner, "get_miner_conf")
        await asyncio.to_thread(browse, miner, "set_miner_conf", conf | {"bitmain-work-mode": "1"})
        await asyncio.to_thread(browse, miner, "reboot")
        await asyncio.sleep(120 / SPEED)
        return miner.phase

    assert with_farm([miner], work) is Phase.SLEEPING


def test_a_key_of_the_other_firmware_changes_nothing_and_pools_left_out_are_lost():
    miner = antminers(6)[1]

    async def work():
        await asyncio.to_thread(browse, miner, "set_miner_conf", {"miner-mode": 1})
        return await asyncio.to_thread(browse, miner, "get_miner_conf"), miner.phase

    conf, phase = with_farm([miner], work)
    assert (conf, phase) == ({"pools": [], "bitmain-work-mode": "0"}, Phase.HASHING)


def test_the_web_interface_lets_nobody_in_without_the_password():
    miner = antminers(7)[0]

    async def work():
        with pytest.raises(urllib.error.HTTPError) as caught:
            await asyncio.to_thread(browse, miner, "set_miner_conf", {"miner-mode": 1}, "guess")
        return caught.value.code, await asyncio.to_thread(browse, miner, "get_system_info")

    code, info = with_farm([miner], work)
    assert (code, info["minertype"], info["serinum"]) == (
        HTTPStatus.UNAUTHORIZED,
        f"Antminer {miner.model.name}",
        miner.serial,
    )
    assert miner.phase is Phase.HASHING


def test_the_locating_light_blinks():
    miner = antminers(8)[0]

    async def work():
        told = await asyncio.to_thread(browse, miner, "blink", {"blink": True})
        return told, await asyncio.to_thread(browse, miner, "get_blink_status")

    assert with_farm([miner], work) == ({"code": "B000"}, {"blink": True})
