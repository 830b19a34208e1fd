"""Sleep, wake and reboot, ordered over the wire and proved by what the machine reads afterwards."""

import asyncio

import pytest

from hosting.cgminer.simulator import Phase
from hosting.control import Answer, Login, Order, identify, look, proves, send
from tests.hosting.cgminer.device import run
from tests.hosting.control.fleet import SPEED, as_machine, machines_of, readings, running

MAKES = ("Antminer", "Whatsminer", "Whatsminer v3", "Avalon", "LuxOS", "Braiins OS", "VNish")
WITH_PASSWORD = ("Antminer", "Whatsminer", "Whatsminer v3", "VNish")


async def order_and_read(machine, order, settle_s, **options):
    """Before, the answer, and three readings after the machine had its seconds."""
    before = await look(machine)
    result = await send(machine, order, **options)
    await asyncio.sleep(settle_s / SPEED)
    return before, result, await readings(machine)


@pytest.mark.parametrize("make", MAKES)
def test_a_machine_sleeps_wakes_and_reboots_and_its_readings_prove_it(make):
    miner = machines_of(make, 11)[0]
    machine = as_machine(miner)

    async def work():
        async with running([miner]):
            for order, settle_s, phase in (
                (Order.SLEEP, 40, Phase.SLEEPING),
                (Order.WAKE, 90, Phase.HASHING),
                (Order.REBOOT, 120, Phase.HASHING),
            ):
                before, result, after = await order_and_read(machine, order, settle_s)
                assert result.answer is Answer.ACCEPTED, result.detail
                assert result.key == miner.number
                assert proves(order, before, after), (order, before, after)
                assert miner.phase is phase

    run(work())


def test_both_generations_of_antminer_firmware_take_orders():
    farm = machines_of("Antminer", 12)
    pair = [next(miner for miner in farm if miner.old_firmware is old) for old in (True, False)]

    async def work():
        async with running(pair):
            answers = [await send(as_machine(miner), Order.SLEEP) for miner in pair]
            await asyncio.sleep(20 / SPEED)
            return [result.answer for result in answers], [miner.phase for miner in pair]

    assert run(work()) == ([Answer.ACCEPTED] * 2, [Phase.SLEEPING] * 2)


def test_the_same_order_twice_does_no_harm():
    miner = machines_of("Antminer", 13)[0]

    async def work():
        async with running([miner]):
            return [(await send(as_machine(miner), Order.SLEEP)).answer for _ in range(2)]

    assert run(work()) == [Answer.ACCEPTED] * 2


@pytest.mark.parametrize("make", MAKES)
def test_a_machine_that_refuses_to_wake_says_yes_and_is_never_proved_awake(make):
    miner = machines_of(make, 14)[0]
    miner.fault = "refuses_wake"
    machine = as_machine(miner)

    async def work():
        async with running([miner]):
            await order_and_read(machine, Order.SLEEP, 40)
            return await order_and_read(machine, Order.WAKE, 300)

    before, result, after = run(work())
    assert result.answer is Answer.ACCEPTED
    assert not proves(Order.WAKE, before, after, running_w=3000)


@pytest.mark.parametrize("make", MAKES)
def test_a_machine_that_says_yes_and_does_nothing_is_never_proved(make):
    miner = machines_of(make, 9)[0]
    miner.fault = "ignores"
    machine = as_machine(miner)

    async def work():
        async with running([miner]):
            for order in (Order.SLEEP, Order.REBOOT):
                before, result, after = await order_and_read(machine, order, 200)
                assert result.answer is Answer.ACCEPTED, result.detail
                assert not proves(order, before, after), (order, before, after)

    run(work())


@pytest.mark.parametrize("make", WITH_PASSWORD)
def test_a_wrong_password_is_unauthorised_and_nowhere_repeated(make, caplog):
    miner = machines_of(make, 15)[0]
    machine = as_machine(miner, login=Login("root", "correct-horse-battery"))

    async def work():
        async with running([miner]):
            return [await send(machine, order) for order in (Order.SLEEP, Order.REBOOT)]

    with caplog.at_level(0):
        results = run(work())
    for result in results:
        assert result.answer is Answer.UNAUTHORISED
        assert "correct-horse" not in result.detail + repr(machine)
    assert "correct-horse" not in caplog.text
    assert miner.phase is Phase.HASHING


@pytest.mark.parametrize("make", WITH_PASSWORD)
def test_without_a_login_nothing_is_tried_and_the_next_step_is_named(make):
    miner = machines_of(make, 16)[0]

    async def work():
        async with running([miner]):
            return await send(as_machine(miner, login=None), Order.SLEEP)

    result = run(work())
    assert (result.answer, "Credentials" in result.detail) == (Answer.UNAUTHORISED, True)


@pytest.mark.parametrize("make", MAKES)
def test_a_machine_tells_who_it_is(make):
    miner = machines_of(make, 17)[0]

    async def work():
        async with running([miner]):
            return await identify(as_machine(miner))

    serial = miner.serial if make != "Avalon" else miner.memory.setdefault("dna", miner.serial.encode().hex()[-16:])
    assert run(work()) == (serial, miner.mac)


@pytest.mark.parametrize("make", MAKES)
def test_the_light_of_every_make_is_switched(make):
    miner = machines_of(make, 10)[0]

    async def work():
        async with running([miner]):
            seen = []
            for light in (True, False):
                result = await send(as_machine(miner), Order.LOCATE, light=light)
                assert result.answer is Answer.ACCEPTED, result.detail
                seen.append(miner.blinking)
            return seen

    assert run(work()) == [True, False]


@pytest.mark.parametrize("make", ["Whatsminer", "Whatsminer v3", "LuxOS", "Braiins OS", "VNish"])
def test_a_power_limit_is_kept_and_measured(make):
    miner = machines_of(make, 9)[0]
    machine = as_machine(miner)
    watts = round(0.7 * float(miner.model.power_w))

    async def work():
        async with running([miner]):
            before = await look(machine)
            result = await send(machine, Order.POWER_LIMIT, watts=watts)
            await asyncio.sleep(100 / SPEED)
            return before, result, await readings(machine)

    before, result, after = run(work())
    assert result.answer is Answer.ACCEPTED, result.detail
    assert proves(Order.POWER_LIMIT, before, after, watts=watts), after
    assert not proves(Order.POWER_LIMIT, before, [before], watts=watts)


def test_an_antminers_light_is_switched_and_read():
    miner = machines_of("Antminer", 18)[0]
    machine = as_machine(miner)

    async def work():
        async with running([miner]):
            before = await look(machine, light=True)
            on = await send(machine, Order.LOCATE)
            lit = await look(machine, light=True)
            off = await send(machine, Order.LOCATE, light=False)
            return before, on, lit, off, await look(machine, light=True)

    before, on, lit, off, dark = run(work())
    assert (on.answer, off.answer) == (Answer.ACCEPTED, Answer.ACCEPTED)
    assert proves(Order.LOCATE, before, [lit])
    assert not proves(Order.LOCATE, before, [dark])
    assert proves(Order.LOCATE, lit, [dark], light=False)


def test_what_a_make_cannot_do_is_said_plainly():
    antminer = machines_of("Antminer", 19)[0]
    generic = machines_of("Generic", 18)[0]

    async def work():
        async with running([antminer, generic]):
            return (
                await send(as_machine(antminer), Order.POWER_LIMIT, watts=2500),
                await send(as_machine(antminer), Order.POWER_LIMIT),
                await send(as_machine(generic, make="Innosilicon", model="T3"), Order.SLEEP),
            )

    limit, no_watts, unknown = run(work())
    assert (limit.answer, limit.detail.startswith("Antminer: ")) == (Answer.UNSUPPORTED, True)
    assert (no_watts.answer, "watts=3000" in no_watts.detail) == (Answer.REFUSED, True)
    assert (unknown.answer, unknown.detail.startswith("Innosilicon: ")) == (Answer.UNSUPPORTED, True)


def test_a_host_name_is_never_looked_up():
    miner = machines_of("Antminer", 10)[0]
    result = run(send(as_machine(miner, host="localhost"), Order.SLEEP))
    assert (result.answer, "no IP address" in result.detail) == (Answer.REFUSED, True)
