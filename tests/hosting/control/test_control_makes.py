"""What is peculiar to single makes: sessions, clocks, other names for one thing, ports that are closed."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import pytest

from hosting.cgminer.simulator import Phase
from hosting.control import Answer, Login, Machine, Order, extra, identify, send
from hosting.control.makes import by_version, by_words
from tests.hosting.cgminer.device import REFUSAL, envelope, listening, replying, run
from tests.hosting.control.fleet import SPEED, as_machine, machines_of, running

HERE = "127.0.0.1"


@asynccontextmanager
async def web_device(answer):
    """A web interface without a login; `answer(method, path, body)` gives status and document. Yields its port."""

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0
        )
        method, path, _ = head.split(" ", 2)
        code, document = answer(method, path, await reader.readexactly(length))
        body = json.dumps(document).encode()
        writer.write(f"HTTP/1.1 {code} OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, HERE, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class TwoNames:
    """Firmware that tells its mode as bitmain-work-mode, takes it as miner-mode and ignores the other, as an S19 XP's does."""

    def __init__(self, *, obeys=True):
        self.conf = {
            "pools": [{"url": "stratum+tcp://a.example:3333"}],
            "bitmain-work-mode": "0",
            "bitmain-fan-pwm": "90",
        }
        self.written = []
        self.obeys = obeys

    def __call__(self, _method, path, body):
        if "set_miner_conf" not in path:
            return 200, self.conf
        posted = json.loads(body)
        self.written.append(dict(posted))
        mode = str(posted.pop("miner-mode", self.conf["bitmain-work-mode"])) if self.obeys else "0"
        self.conf = {**posted, "bitmain-work-mode": mode}
        return 200, {"stats": "success", "code": "M000"}


@pytest.mark.parametrize(("obeys", "answer"), [(True, Answer.ACCEPTED), (False, Answer.REFUSED)])
def test_a_mode_that_is_read_by_one_name_and_written_by_another(obeys, answer):
    device = TwoNames(obeys=obeys)

    async def work():
        async with web_device(device) as port:
            machine = Machine(HERE, 1, make="Antminer", login=Login("root", "root"), web_port=port)
            return await send(machine, Order.SLEEP)

    assert run(work()).answer is answer
    assert [sorted(posted) for posted in device.written] == [
        ["bitmain-fan-pwm", "bitmain-work-mode", "pools"],
        ["bitmain-fan-pwm", "miner-mode", "pools"],
    ]
    assert device.conf["pools"] == [{"url": "stratum+tcp://a.example:3333"}]


def test_a_web_interface_without_a_work_mode_is_said_to_have_none():
    async def work():
        async with web_device(lambda *_request: (200, {"pools": [], "bitmain-freq": "550"})) as port:
            machine = Machine(HERE, 1, make="Bitmain", model="S9", login=Login("root", "root"), web_port=port)
            return await send(machine, Order.SLEEP)

    result = run(work())
    assert (result.answer, "no work mode" in result.detail) == (Answer.UNSUPPORTED, True)


async def ask(miner, command, parameter=None):
    reader, writer = await asyncio.open_connection(miner.host, miner.port)
    writer.write(json.dumps({"command": command} | ({"parameter": parameter} if parameter else {})).encode())
    reply = await reader.read()
    writer.close()
    return json.loads(reply.rstrip(b"\0"))


def test_luxos_is_left_without_an_open_session():
    miner = machines_of("LuxOS", 0)[0]

    async def work():
        async with running([miner]):
            results = [await send(as_machine(miner), order) for order in (Order.SLEEP, Order.WAKE, Order.LOCATE)]
            return results, await ask(miner, "session")

    results, session = run(work())
    assert [result.answer for result in results] == [Answer.ACCEPTED] * 3
    assert session["SESSION"][0]["SessionID"] == ""


def test_luxos_waits_for_somebody_elses_session_to_end():
    miner = machines_of("LuxOS", 1)[0]

    async def work():
        async with running([miner]):
            theirs = (await ask(miner, "logon"))["SESSION"][0]["SessionID"]
            order = asyncio.create_task(send(as_machine(miner), Order.SLEEP, deadline_s=4))
            await asyncio.sleep(0.3)
            await ask(miner, "logoff", theirs)
            return await order

    assert run(work()).answer is Answer.ACCEPTED


def test_luxos_goes_on_within_a_session_that_stays_and_leaves_it_open():
    miner = machines_of("LuxOS", 2)[0]

    async def work():
        async with running([miner]):
            theirs = (await ask(miner, "logon"))["SESSION"][0]["SessionID"]
            result = await send(as_machine(miner), Order.SLEEP, deadline_s=1.6)
            await asyncio.sleep(20 / SPEED)
            return result, theirs, (await ask(miner, "session"))["SESSION"][0]["SessionID"]

    result, theirs, still = run(work())
    assert (result.answer, still) == (Answer.ACCEPTED, theirs)
    assert miner.phase is Phase.SLEEPING


def test_an_avalon_whose_clock_is_years_off_obeys_now():
    miner = machines_of("Avalon", 3)[0]
    miner.fault = "wrong_clock"

    async def work():
        async with running([miner]):
            result = await send(as_machine(miner), Order.SLEEP)
            await asyncio.sleep(40 / SPEED)
            return result

    assert run(work()).answer is Answer.ACCEPTED
    assert miner.phase is Phase.SLEEPING


def test_an_avalon_that_hangs_up_on_softon_took_it():
    miner = next(miner for miner in machines_of("Avalon", 4) if miner.old_firmware)

    async def work():
        async with running([miner]):
            await send(as_machine(miner), Order.SLEEP)
            await asyncio.sleep(40 / SPEED)
            return await send(as_machine(miner), Order.WAKE)

    result = run(work())
    assert (result.answer, "closed the connection" in result.detail) == (Answer.ACCEPTED, True)


def test_a_machine_that_lets_this_host_only_read_says_so():
    denied = {"STATUS": [{"STATUS": "E", "Code": 45, "Msg": "Access denied to 'ascset' command"}], "id": 1}
    replies = {"version": envelope("VERSION", {"PROD": "AvalonMiner 1246"}), "ascset": denied}

    async def work():
        async with listening(replying(replies)) as (port, _asked):
            return await send(Machine(HERE, port, make="Canaan"), Order.SLEEP)

    result = run(work())
    assert (result.answer, "W:" in result.detail) == (Answer.UNAUTHORISED, True)


def test_a_device_that_repeats_what_it_was_sent_does_not_get_the_password_into_the_answer():
    echo = {"STATUS": [{"STATUS": "E", "Code": 9, "Msg": "cannot do hunter2 for hunter2"}], "id": 1}
    replies = {"version": envelope("VERSION", {"PROD": "AvalonMiner 1246"}), "ascset": echo}

    async def work():
        async with listening(replying(replies)) as (port, _asked):
            return await send(Machine(HERE, port, make="Avalon", login=Login("x", "hunter2")), Order.SLEEP)

    result = run(work())
    assert (result.answer, result.detail) == (Answer.REFUSED, "Avalon: cannot do … for …")


def test_braiins_that_knows_no_pause_on_its_cgminer_port_is_paused_by_rest():
    asked = []

    def rest(method, path, body):
        asked.append((method, path, json.loads(body or b"null")))
        return 200, {"token": "t0ken", "timeout_s": 3600} if path.endswith("login") else True

    async def work():
        replies = {"version": envelope("VERSION", {"BOSminer": "0.2"}), "pause": REFUSAL}
        async with listening(replying(replies)) as (port, _), web_device(rest) as web_port:
            machine = Machine(HERE, port, make="Bitmain", login=Login("root", "pw"), web_port=web_port)
            return await send(machine, Order.SLEEP), await send(machine, Order.POWER_LIMIT, watts=2400)

    slept, limited = run(work())
    assert (slept.answer, limited.answer) == (Answer.ACCEPTED, Answer.ACCEPTED)
    login = ("POST", "/api/v1/auth/login", {"username": "root", "password": "pw"})
    assert asked == [
        login,
        ("PUT", "/api/v1/actions/pause", None),
        login,
        ("PUT", "/api/v1/performance/power-target", {"watt": 2400}),
    ]


@pytest.mark.skipif(extra.installed(), reason="the library is installed here")
def test_where_the_extra_is_missing_the_answer_says_how_to_get_it():
    async def work():
        replies = {"version": envelope("VERSION", {"BOSer": "0.1"}), "pause": REFUSAL}
        async with listening(replying(replies)) as (port, _):
            machine = Machine(HERE, port, make="Braiins OS", login=Login("root", "pw"), web_port=1)
            return await send(machine, Order.SLEEP)

    result = run(work())
    assert (result.answer, "make install-control" in result.detail) == (Answer.UNSUPPORTED, True)


LIBRARY = """
import os, asyncio

class Miner:
    supports_pause = supports_set_fault_light = True
    supports_set_power_limit = False
    def set_auth(self, user, password): self.auth = (user, password)
    async def pause(self):
        assert self.auth == ("root", "pw")
        return False  # as the real one does though it worked
    async def set_fault_light(self, on): raise RuntimeError("no light for pw")
    async def restart(self): await asyncio.sleep(60)

class MinerFactory:
    async def get_miner(self, host):
        return None if host.endswith(".9") else Miner()
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Something to import under the library's name, for the child process; the real one is not installed here."""
    (tmp_path / "pyasic_rs.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("order", "host", "answer", "words"),
    [
        (Order.SLEEP, HERE, Answer.ACCEPTED, "control library"),
        (Order.POWER_LIMIT, HERE, Answer.UNSUPPORTED, "does not take"),
        (Order.LOCATE, HERE, Answer.REFUSED, "RuntimeError"),
        (Order.REBOOT, HERE, Answer.UNREACHABLE, "in time"),
        (Order.SLEEP, "127.0.0.9", Answer.UNREACHABLE, "nothing"),
    ],
)
def test_the_extra_runs_in_a_child_that_may_fail_or_hang(library, order, host, answer, words):
    async def work():
        machine = Machine(host, 1, make="Braiins OS", login=Login("root", "pw"), web_port=1)
        return await send(machine, order, watts=2000, deadline_s=1.5)

    result = run(work())
    assert (result.answer, words in result.detail) == (answer, True), result
    assert "pw" not in result.detail
    assert result.wall_s < 2
    assert "pyasic_rs" not in sys.modules


@pytest.mark.parametrize(
    ("known", "make"),
    [
        ({"make": "Bitmain", "model": "S19"}, "Antminer"),
        ({"make": "Antminer", "firmware": "LUXminer 2025.4.8"}, "LuxOS"),
        ({"make": "Bitmain", "model": "Antminer S19 (Vnish 1.2.6)"}, "VNish"),
        ({"make": "Bitmain", "firmware": "BOSer boser-buildroot 0.1.0"}, "Braiins OS"),
        ({"make": "MicroBT"}, "Whatsminer"),
        ({"make": "Canaan"}, "Avalon"),
    ],
)
def test_the_firmware_decides_who_is_spoken_to(known, make):
    assert make == by_words(Machine(HERE, **known)).MAKE


def test_of_an_unknown_make_nothing_is_assumed():
    assert (
        by_words(Machine(HERE))
        is by_words(Machine(HERE, make="Innosilicon"))
        is by_version(envelope("VERSION"))
        is None
    )


@pytest.mark.parametrize("make", ["Antminer", "Whatsminer", "Whatsminer v3", "Avalon", "LuxOS", "Braiins OS", "VNish"])
def test_a_machine_of_which_nothing_is_known_is_asked(make):
    miner = machines_of(make, 5)[0]

    async def work():
        async with running([miner]):
            return await send(as_machine(miner, make=None, model=None), Order.SLEEP)

    assert run(work()).answer is Answer.ACCEPTED


def test_nobody_is_identified_where_nobody_answers():
    assert run(identify(Machine(HERE, 1, make="Antminer", login=Login("a", "b"), web_port=1))) == (None, None)
