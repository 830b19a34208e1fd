"""Simulated machines of every make over real TCP: read as what they are, asked as cheaply as they allow, obeying their orders."""

import asyncio
import json
import socket
import struct
import time
import urllib.request

import pytest

from hosting.cgminer.client import Target, poll, poll_many
from hosting.cgminer.reading import PowerSource, ReadError
from hosting.cgminer.simulator import MAKERS, MIXED, Phase, SimulatedFarm, build_farm, parse_make
from hosting.cgminer.simulator.whatsminer_v3 import PASSWORD, SALT, token
from tests.hosting.cgminer.device import listening, network, run

SPEED = 400.0
WEB_PORT = 8490
SETS = {
    "Whatsminer": "summary",
    "Whatsminer v3": "summary",
    "Avalon": "summary+stats",
    "LuxOS": "summary+temps+fans+power",
    "Braiins OS": "summary+temps+fans+tunerstatus",
    "VNish": "summary+stats",
    "Generic": "summary+devs",
}


def farm_of(make, number, *, count=1, speed=1.0, **options):
    return build_farm(count, host=network(number), makes={make: 1}, speed=speed, **options)


def with_farm(miners, work):
    async def main():
        farm = SimulatedFarm(miners)
        await farm.start()
        try:
            return await work()
        finally:
            await farm.stop()

    return run(main())


async def ask(miner, command, parameter=None):
    """The machine's answer; None when it hangs up without one."""
    reader, writer = await asyncio.open_connection(miner.host, miner.port)
    writer.write(json.dumps({"command": command} | ({"parameter": parameter} if parameter else {})).encode())
    reply = await reader.read()
    writer.close()
    return json.loads(reply.rstrip(b"\0")) if reply else None


def test_a_mixed_farm_has_every_make_and_an_unknown_one_is_refused_by_name():
    assert {miner.make for miner in build_farm(300, makes=MIXED)} == set(MAKERS)
    assert (parse_make("Avalon"), parse_make("Braiins OS=2.5")) == (("Avalon", 1.0), ("Braiins OS", 2.5))
    for wrong in ("Abacus", "Avalon=0", "Avalon=many"):
        with pytest.raises(ValueError, match=r"Choose from|weight above 0"):
            parse_make(wrong)


@pytest.mark.parametrize("make", list(MAKERS))
def test_each_make_is_read_as_it_is(make):
    miners = farm_of(make, 30, count=4)

    async def work():
        first = await poll_many(Target(miner.host, miner.port, key=miner.number, details=True) for miner in miners)
        sets = {result.key: result.command_set for result in first}
        again = await poll_many(Target(miner.host, miner.port, sets[miner.number], miner.number) for miner in miners)
        return first, again

    first, again = with_farm(miners, work)
    for result in (*first, *again):
        miner, reading = miners[result.key], result.reading
        assert reading is not None, (make, result.error)
        assert reading.hashrate_ths == pytest.approx(miner.hashrate_ths, rel=0.05)
        assert reading.temperature_c == pytest.approx(miner.chip_c, abs=3)
        assert reading.make == {"Generic": None, "Whatsminer v3": "Whatsminer"}.get(make, make)
        assert result.command_set == SETS.get(make, result.command_set)
        if make not in {"Generic", "Antminer"}:
            assert (reading.power_source, reading.power_w) == (
                PowerSource.MINER,
                pytest.approx(miner.power_w, rel=0.03),
            )
        if make != "Generic":
            assert len(reading.fan_rpm) in {2, 4}
            assert min(reading.fan_rpm) > 0
    for result in first:
        boards = result.reading.boards
        assert len(boards) == 3
        assert sum(board.rate_ths for board in boards) == pytest.approx(result.reading.hashrate_ths, rel=0.08)


def test_the_third_api_of_whatsminer_is_read_on_its_own_port():
    miner = farm_of("Whatsminer v3", 31)[0]
    result = with_farm([miner], lambda: poll(miner.host, 4433, details=True, pool=True))
    reading = result.reading
    assert (reading.make, reading.power_source, len(reading.boards)) == ("Whatsminer", PowerSource.MINER, 3)
    assert reading.hashrate_ths == pytest.approx(miner.hashrate_ths, rel=0.05)
    assert (reading.temperature_c > reading.board_temperature_c > reading.inlet_temperature_c) is True
    assert (result.command_set, reading.pool_worker) == ("get.miner.status", f"farm.{miner.serial}")


@pytest.mark.parametrize(("host", "error"), [("127.30.200.1", ReadError.REFUSED), ("127.30.200.2", ReadError.TIMEOUT)])
def test_a_framed_port_that_refuses_or_hangs_is_a_result(host, error):
    async def work():
        server = None
        if error is ReadError.TIMEOUT:
            server = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(5), host, 4433)
        result = await poll(host, 4433, timeout_s=0.3)
        if server is not None:
            server.close()
        return result

    result = run(work())
    assert (result.reading, result.error) == (None, error)


@pytest.mark.parametrize("answer", [struct.pack("<I", 2**31), struct.pack("<I", 4) + b"oops", b"\x01"])
def test_a_framed_port_that_floods_or_stammers_is_a_result(answer):
    async def serve(reader, writer):
        await reader.read(4096)
        writer.write(answer)
        writer.close()

    async def work():
        server = await asyncio.start_server(serve, "127.30.201.1", 4433)
        result = await poll("127.30.201.1", 4433, timeout_s=2)
        server.close()
        return result

    result = run(work())
    assert result.reading is None
    assert result.error in {ReadError.TOO_BIG, ReadError.BAD_JSON, ReadError.CLOSED}


def test_a_whatsminer_whose_miner_process_is_down_reads_zero():
    async def down(_command, _reader, writer):
        message = {"STATUS": "E", "When": 1, "Code": 132, "Msg": "btminer process is down err", "Description": ""}
        writer.write(json.dumps(message).encode() + b"\0")

    async def work():
        async with listening(down) as (port, _asked):
            return await poll("127.0.0.1", port)

    reading = run(work()).reading
    assert (reading.make, reading.hashrate_ths, reading.power_w) == ("Whatsminer", 0.0, None)


def test_a_closer_look_that_fails_leaves_the_reading():
    async def serve(command, _reader, writer):
        if command == "summary":
            data = {"Elapsed": 5, "MHS 5s": 90e6, "Factory GHS": 90_000, "Power": 3000, "Chip Temp Max": 70}
            writer.write(json.dumps({"STATUS": [{"STATUS": "S"}], "SUMMARY": [data]}).encode() + b"\0")
        elif command in {"devs", "edevs", "get_error_code", "pools"}:
            await asyncio.sleep(2)

    async def work():
        async with listening(serve) as (port, asked):
            return await poll("127.0.0.1", port, timeout_s=0.5, command_set="summary", details=True, pool=True), asked

    result, asked = run(work())
    assert (result.reading.hashrate_ths, result.reading.boards, result.error) == (90.0, [], None)
    assert asked == ["summary", "devs"]


# Orders, as each make takes them


async def settle(miner, phase, *, deadline_s=3.0):
    """Wait until the machine is in that phase."""
    ends = time.monotonic() + deadline_s
    while miner.phase is not phase and time.monotonic() < ends:  # noqa: ASYNC110 the machine has no timers to wait for
        await asyncio.sleep(0.01)
    assert miner.phase is phase


def test_an_avalon_sleeps_at_the_moment_that_it_is_told_and_wakes():
    miner = next(miner for miner in farm_of("Avalon", 32, count=8, speed=SPEED) if not miner.old_firmware)

    async def work():
        off = await ask(miner, "ascset", f"0,softoff,1:{int(time.time()) + 5}")
        hashing = miner.phase
        await settle(miner, Phase.SLEEPING)
        asleep = (await poll(miner.host, miner.port)).reading
        on = await ask(miner, "ascset", f"0,softon,1:{int(time.time())}")
        await settle(miner, Phase.HASHING)
        return off, hashing, asleep, on

    off, hashing, asleep, on = with_farm([miner], work)
    assert (off["STATUS"][0]["STATUS"], off["STATUS"][0]["Code"], on["STATUS"][0]["STATUS"]) == ("I", 118, "I")
    assert "success softoff" in off["STATUS"][0]["Msg"]
    assert hashing is Phase.HASHING
    assert (asleep.hashrate_ths, asleep.hashrate_avg_ths > 50, asleep.power_w < 400) == (0.0, True, True)


def test_old_avalons_hang_up_on_softon_and_all_on_reboot():
    miner = next(miner for miner in farm_of("Avalon", 33, count=8, speed=SPEED) if miner.old_firmware)

    async def work():
        await ask(miner, "ascset", f"0,softoff,1:{int(time.time())}")
        await settle(miner, Phase.SLEEPING)
        silent = await ask(miner, "ascset", f"0,softon,1:{int(time.time())}")
        await settle(miner, Phase.HASHING)
        wrong = await ask(miner, "ascset", "0,softoff,now")
        light = await ask(miner, "ascset", "0,led,1-1")
        gone = await ask(miner, "ascset", "0,reboot,0")
        return silent, wrong["STATUS"][0]["STATUS"], light["STATUS"][0]["Code"], gone, miner.phase

    assert with_farm([miner], work) == (None, "E", 119, None, Phase.REBOOTING)
    assert miner.blinking is True


def test_luxos_obeys_within_its_one_session():
    miner = farm_of("LuxOS", 34, speed=SPEED)[0]

    async def work():
        session = (await ask(miner, "logon"))["SESSION"][0]["SessionID"]
        second = await ask(miner, "logon")
        stranger = await ask(miner, "curtail", "nobody,sleep")
        asleep = await ask(miner, "curtail", f"{session},sleep")
        await settle(miner, Phase.SLEEPING)
        await ask(miner, "rebootdevice", session)
        await asyncio.sleep(40 / SPEED)
        still = miner.phase
        woken = await ask(miner, "curtail", f"{session},wakeup")
        await settle(miner, Phase.HASHING)
        limited = await ask(miner, "powertargetset", f"{session},power=2000")
        closed = await ask(miner, "logoff", session)
        letters = [reply["STATUS"][0]["STATUS"] for reply in (second, stranger, asleep, woken, limited, closed)]
        return letters, asleep["STATUS"][0]["Code"], still, miner.power_w

    letters, code, still, power_w = with_farm([miner], work)
    assert letters == ["E", "E", "S", "S", "S", "S"]
    assert (code, still) == (335, Phase.SLEEPING)
    assert power_w == pytest.approx(2000, rel=0.03)


def browse(miner, method, path, document=None, bearer=None):
    body = None if document is None else json.dumps(document).encode()
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    request = urllib.request.Request(
        f"http://{miner.host}:{miner.web_port}/api/v1/{path}", body, headers, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def test_braiins_pauses_on_either_door_and_reboots_through_rest():
    miner = farm_of("Braiins OS", 35, speed=SPEED, web_port=WEB_PORT)[0]

    async def work():
        paused = await ask(miner, "pause")
        await settle(miner, Phase.SLEEPING)
        await ask(miner, "resume")
        await settle(miner, Phase.HASHING)
        door = asyncio.to_thread
        refused = await door(browse, miner, "PUT", "actions/pause")
        _, login = await door(browse, miner, "POST", "auth/login", {"username": "root", "password": "root"})
        limit = await door(browse, miner, "PUT", "performance/power-target", {"watt": 2000}, login["token"])
        reboot = await door(browse, miner, "PUT", "actions/reboot", None, login["token"])
        return paused, refused[0], limit[0], reboot[0], miner.phase, miner.limit_w

    paused, *rest = with_farm([miner], work)
    assert (paused["STATUS"][0]["Code"], paused["PAUSE"]) == (204, [True])
    assert rest == [401, 200, 204, Phase.REBOOTING, 2000]


def test_vnish_stops_and_starts_after_an_unlock():
    miner = farm_of("VNish", 36, speed=SPEED, web_port=WEB_PORT)[0]

    async def work():
        door = asyncio.to_thread
        wrong = await door(browse, miner, "POST", "unlock", {"pw": "guess"})
        _, unlocked = await door(browse, miner, "POST", "unlock", {"pw": "admin"})
        stop = await door(browse, miner, "POST", "mining/stop", None, unlocked["token"])
        await settle(miner, Phase.SLEEPING)
        asleep = (await poll(miner.host, miner.port)).reading
        start = await door(browse, miner, "POST", "mining/start", None, unlocked["token"])
        await settle(miner, Phase.HASHING)
        return wrong[0], stop[0], asleep.hashrate_ths, asleep.power_w < 400, start[0]

    assert with_farm([miner], work) == (401, 200, 0.0, True, 200)


def test_whatsminer_v3_takes_signed_orders_only():
    miner = farm_of("Whatsminer v3", 37, speed=SPEED)[0]

    def order(command, parameter, *, password=PASSWORD):
        moment = int(time.time())
        signed = {"account": "super", "ts": moment, "token": token(command, password, SALT, moment)}
        body = json.dumps({"cmd": command, "param": parameter} | signed).encode()
        with socket.create_connection((miner.host, miner.framed_port), timeout=5) as wire:
            wire.sendall(struct.pack("<I", len(body)) + body)
            (length,) = struct.unpack("<I", wire.recv(4, socket.MSG_WAITALL))
            return json.loads(wire.recv(length, socket.MSG_WAITALL))["code"]

    async def work():
        codes = [await asyncio.to_thread(order, "set.miner.service", "stop", password="guess")]
        codes.append(await asyncio.to_thread(order, "set.miner.service", "stop"))
        await settle(miner, Phase.SLEEPING)
        codes.append(await asyncio.to_thread(order, "set.miner.service", "start"))
        await settle(miner, Phase.HASHING)
        codes += [await asyncio.to_thread(order, "set.miner.power_limit", watts) for watts in (10, 2500)]
        codes.append(await asyncio.to_thread(order, "set.system.reboot", None))
        return codes, miner.phase

    assert with_farm([miner], work) == ([-4, 0, 0, -1, 0, 0], Phase.REBOOTING)


@pytest.mark.parametrize("make", ["Avalon", "LuxOS", "Braiins OS", "Whatsminer v3"])
def test_a_machine_that_ignores_says_yes_and_does_nothing(make):
    miner = farm_of(make, 38, speed=SPEED, faults={"ignores": 1.0})[0]
    for order in (miner.stop, miner.reboot):
        order()
        assert miner.phase is Phase.HASHING
    miner.limit(1000)
    miner.blink(True)
    assert (miner.limit_w, miner.blinking) == (None, False)
    if make == "Avalon":
        told = with_farm([miner], lambda: ask(miner, "ascset", f"0,softoff,1:{int(time.time())}"))
        assert told["STATUS"][0]["STATUS"] == "I"
    if make == "Braiins OS":
        assert with_farm([miner], lambda: ask(miner, "pause"))["PAUSE"] == [True]
    assert miner.phase is Phase.HASHING
