"""Machines that hang, drip, babble, refuse or forget: every order has an answer within its deadline."""

import asyncio
import json
import time

import pytest

from hosting.cgminer.simulator import MIXED, Phase, build_farm
from hosting.cgminer.simulator.web import configuration
from hosting.control import Answer, Order, send, send_many
from hosting.control.drivers import antminer
from tests.hosting.cgminer.device import network, run
from tests.hosting.control.fleet import as_machine, machines_of, running


@pytest.mark.parametrize("fault", ["hang", "drip", "garbage", "refuse"])
@pytest.mark.parametrize("make", ["Antminer", "Whatsminer"])
def test_an_ill_machine_has_an_answer_within_the_deadline(make, fault):
    miners = machines_of(make, 1, speed=1)[:4]
    for miner in miners:
        miner.fault = fault

    async def work():
        async with running(miners):
            return [
                result
                async for result in send_many([as_machine(miner) for miner in miners], Order.SLEEP, deadline_s=0.6)
            ]

    results = run(work())
    assert len(results) == 4
    for result in results:
        # The simulator's garbage and drip are of the CGMiner port; its web interface takes the order all the same.
        by_web = make == "Antminer" and fault in {"garbage", "drip"}
        assert result.answer is (Answer.ACCEPTED if by_web else Answer.UNREACHABLE), result
        assert result.detail
        assert result.wall_s < 0.9


async def nonsense(reply, port_of):
    """A web interface that answers everything with these bytes, again and again."""

    async def serve(reader, writer):
        try:
            while True:
                await reader.read(4096)
                for _ in range(200):
                    writer.write(reply)
                    await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port_of.append(server.sockets[0].getsockname()[1])
    return server


PACKED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"
ENDLESS = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=a, nonce=b\r\n\r\n" + b"x" * 65_536
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
HTML = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"\x00\xff\x00garbage\r\n\r\n", Answer.UNREACHABLE),
        (PACKED, Answer.UNREACHABLE),
        (ENDLESS, Answer.UNREACHABLE),
        (HTML, Answer.UNREACHABLE),
        (REDIRECT, Answer.UNSUPPORTED),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Answer.UNSUPPORTED),
    ],
)
def test_a_web_interface_of_something_else(reply, answer):
    miner = machines_of("Antminer", 2)[0]

    async def work():
        ports = []
        server = await nonsense(reply, ports)
        try:
            return await send(as_machine(miner, host="127.0.0.1", port=1, web_port=ports[0]), Order.SLEEP, deadline_s=2)
        finally:
            server.close()

    result = run(work())
    assert (result.answer, result.wall_s < 2.3) == (answer, True), result


@pytest.mark.parametrize(("machines", "deadline_s"), [(120, 3), pytest.param(500, 10, marks=pytest.mark.storm)])
def test_all_at_once_and_the_dead_cost_only_their_own_deadline(machines, deadline_s):
    farm = build_farm(machines, host=network(3), web_port=8480, speed=5, makes={**MIXED, "Generic": 1e-9})
    dead = farm[::20]
    for number, miner in enumerate(dead):
        miner.fault = ("hang", "refuse")[number % 2]

    async def work():
        async with running(farm):
            started = time.monotonic()
            told = [as_machine(miner, key=number) for number, miner in enumerate(farm)]
            found = {result.key: result async for result in send_many(told, Order.SLEEP, deadline_s=deadline_s)}
            wall_s = time.monotonic() - started
            await asyncio.sleep(5.2 / farm[0].speed)  # an Avalon obeys five seconds later
            return found, wall_s, [miner.phase for miner in farm]

    found, wall_s, phases = run(work())
    print(f"{len(farm)} machines in {wall_s:.1f} s")
    assert set(found) == set(range(len(farm)))
    unreachable = {key for key, result in found.items() if result.answer is Answer.UNREACHABLE}
    assert unreachable == set(range(0, len(farm), 20))
    assert all(found[key].answer is Answer.ACCEPTED for key in found if key % 20)
    assert all(phase in {Phase.STOPPING, Phase.SLEEPING} for key, phase in enumerate(phases) if key % 20)
    assert wall_s < 2 * deadline_s


def test_whoever_stops_listening_stops_the_orders():
    farm = machines_of("Whatsminer", 5, speed=1)

    async def work():
        async with running(farm):
            orders = send_many([as_machine(miner) for miner in farm], Order.SLEEP, concurrency=1)
            async for _result in orders:
                break
            await orders.aclose()
            return sum(miner.phase is not Phase.HASHING for miner in farm)

    assert run(work()) in {1, 2}


def test_an_antminers_configuration_comes_back_byte_for_byte_but_for_its_mode():
    raw = (
        b'{\n"pools" : [{"url":"stratum+tcp://a.example:3333","user":"farm.1","pass":"p\\u00e4ss/\\/x"}, {"url":""}],'
        b'\n"api-listen" : true, "bitmain-freq" : 5.250e2, "note":"\\"bitmain-work-mode\\":\\"0\\" is not it",'
        b'\n"bitmain-work-mode" : "0", "multi":{"bitmain-work-mode":7}\n}\n'
    )
    changed = antminer.with_mode(raw, json.loads(raw), "bitmain-work-mode", 1)
    assert changed == raw.replace(b'"bitmain-work-mode" : "0"', b'"bitmain-work-mode" : "1"')


def test_a_number_stays_a_number():
    raw = b'{"miner-mode":0,"pools":[]}'
    assert antminer.with_mode(raw, json.loads(raw), "miner-mode", 1) == b'{"miner-mode":1,"pools":[]}'


def test_where_the_spot_cannot_be_found_every_key_is_kept_all_the_same():
    raw = b'{"deep":{"miner-mode":0},"miner\\u002dmode":0,"pools":[{"url":"a"}]}'
    written = antminer.with_mode(raw, json.loads(raw), "miner-mode", 1)
    assert json.loads(written) == {"deep": {"miner-mode": 0}, "miner-mode": 1, "pools": [{"url": "a"}]}


def test_pools_and_every_other_setting_outlast_sleep_and_wake():
    farm = machines_of("Antminer", 6)
    pair = [next(miner for miner in farm if miner.old_firmware is old) for old in (True, False)]
    before = [json.dumps(configuration(miner), sort_keys=True) for miner in pair]

    async def work():
        async with running(pair):
            for order in (Order.SLEEP, Order.WAKE):
                for miner in pair:
                    assert (await send(as_machine(miner), order)).answer is Answer.ACCEPTED

    run(work())
    assert [json.dumps(configuration(miner), sort_keys=True) for miner in pair] == before


def test_a_whatsminer_that_forgot_its_tokens_is_given_the_order_again():
    miner = machines_of("Whatsminer", 7)[0]

    async def work():
        async with running([miner]):
            first = await send(as_machine(miner), Order.SLEEP)
            session = miner.memory["session"]
            known = len(session.tokens)
            second = await send(as_machine(miner), Order.WAKE)
            reused = len(session.tokens)
            session.tokens.clear()
            third = await send(as_machine(miner), Order.SLEEP)
            return first, second, third, known, reused

    first, second, third, known, reused = run(work())
    assert [result.answer for result in (first, second, third)] == [Answer.ACCEPTED] * 3
    assert known == reused == 1


def test_a_whatsminer_out_of_tokens_says_when_to_come_back():
    miner = machines_of("Whatsminer", 8, speed=1)[0]

    async def work():
        async with running([miner]):
            for _ in range(32):
                reader, writer = await asyncio.open_connection(miner.host, miner.port)
                writer.write(b'{"cmd":"get_token"}')
                await reader.read()
                writer.close()
            return await send(as_machine(miner), Order.SLEEP)

    result = run(work())
    assert (result.answer, "half an hour" in result.detail) == (Answer.REFUSED, True)


def test_no_connection_is_left_open():
    miner = machines_of("Antminer", 9)[0]

    async def work():
        async with running([miner]) as farm:
            await send(as_machine(miner), Order.SLEEP)
            await asyncio.sleep(0.05)
            return len(farm._open)

    assert run(work()) == 0
