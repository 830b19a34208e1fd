"""Whether what was sent was done: by what the machine measures, not by what it says."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from hosting.commands.barred import barred
from hosting.commands.finishing import Move, Worked, settle
from hosting.commands.machines import Told, machines_of
from hosting.commands.readings import as_json, from_json, in_words, look_at
from hosting.commands.sending import MOST_SENDS
from hosting.control import Evidence, Order, proves
from hosting.models import MinerCommand
from hosting.states import CommandStatus
from minefarm.lib.clock import database_now

LOOK_EVERY_S = (1, 2, 2, 3, 5, 5, 10, 15)  # between two looks; the last repeats
KEPT_READINGS = 12
STEADY = 0.9  # of the hashrate before; a machine that was awake all the time swings less
HARMLESS = frozenset({Order.SLEEP, Order.WAKE, Order.POWER_LIMIT, Order.LOCATE})  # twice is as good as once
# How long a machine that said yes may take until it measures so.
CONFIRM_WITHIN = {
    Order.SLEEP: timedelta(seconds=90),
    Order.WAKE: timedelta(seconds=480),
    Order.REBOOT: timedelta(seconds=480),
    Order.POWER_LIMIT: timedelta(seconds=300),
    Order.LOCATE: timedelta(seconds=60),
}


def judge_wave(me: str, commands: Sequence[MinerCommand], worked: Worked) -> None:
    """Look at the machines of the claimed commands, and write down what that proves."""
    reasons = barred(command.miner_id for command in commands)
    told = machines_of([command.miner_id for command in commands if command.miner_id not in reasons])
    seen = asyncio.run(look_at([known.machine for known in told.values()]))
    now = database_now()
    moves = [
        Move(command, CommandStatus.FAILED, reasons[command.miner_id])
        if command.miner_id in reasons
        else judge(command, seen[command.miner_id], told[command.miner_id], now)
        for command in commands
    ]
    settle(me, moves, worked)


def judge(command: MinerCommand, reading: Evidence, known: Told, now: datetime) -> Move:
    """The next move of one command after one more reading."""
    order, status = Order(command.batch.order), CommandStatus(command.status)
    readings = [*command.after, as_json(reading)][-KEPT_READINGS:]
    before = from_json(command.before) if command.before else Evidence(command.created_at, answered=False)
    after = [from_json(entry) for entry in readings]
    proved = proves(order, before, after, watts=command.batch.watts, running_w=known.nameplate_w)
    if proved and not (order is Order.WAKE and is_falling(before, reading)):
        return Move(command, CommandStatus.CONFIRMED, f"measured: {in_words(reading)}", readings)
    if status is CommandStatus.SENT and not (
        reading.answered or before.answered
    ):  # dead before, at and after the order
        return Move(command, CommandStatus.FAILED, f"it does not answer: {command.detail}", readings)
    if status is CommandStatus.SENT and order in HARMLESS and command.attempts < MOST_SENDS:
        return Move(command, CommandStatus.QUEUED, f"to be sent again: {command.detail}", readings, now)
    if now >= (command.sent_at or now) + CONFIRM_WITHIN[order]:
        said = "it said yes, but did not do it" if status is CommandStatus.ACCEPTED else "no answer came"
        return Move(command, CommandStatus.FAILED, f"{said}: {in_words(reading)}", readings)
    wait_s = LOOK_EVERY_S[min(len(readings) - 1, len(LOOK_EVERY_S) - 1)]
    return Move(command, status, command.detail, readings, now + timedelta(seconds=wait_s))


def is_falling(before: Evidence, now: Evidence) -> bool:
    """Whether the hashrate is what is left of a machine that was put to sleep a moment before: it runs out, it is no proof."""
    if before.hashrate_ths is None or now.hashrate_ths is None:
        return False
    return now.hashrate_ths < STEADY * before.hashrate_ths
