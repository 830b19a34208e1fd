"""The client against real sockets: every way a machine can fail, and the fewest questions to one that does not."""

import asyncio
import json
import os
import resource
import socket
import time

import pytest
import uvloop

from hosting.cgminer.client import Target, poll, poll_many, raise_open_files
from hosting.cgminer.reading import PowerSource, ReadError
from tests.hosting.cgminer.device import (
    antminer_stats,
    antminer_summary,
    envelope,
    listening,
    open_files,
    replying,
    run,
    sending,
    whatsminer_summary,
)

ANTMINER = {"stats": antminer_stats(), "summary": antminer_summary()}
WHATSMINER = {"summary": whatsminer_summary(), "devdetails": envelope("DEVDETAILS", {"Model": "M30S++_VG40"})}
GENERIC = {
    "summary": envelope("SUMMARY", {"Elapsed": 60, "MHS 5s": 90_100_000.0, "MHS av": 89_000_000.0}),
    "devs": envelope("DEVS", {"Temperature": 71.5}),
}
WHOLE = json.dumps(WHATSMINER["summary"]).encode() + b"\0"


def poll_device(handler, *, runner=uvloop.run, command_set=None, timeout_s=2.0):
    """The result of one poll, and what the device was asked."""

    async def main():
        async with listening(handler) as (port, asked):
            return await poll("127.0.0.1", port, timeout_s=timeout_s, command_set=command_set), asked

    return runner(main())


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_an_antminer_that_joins_is_read_in_one_exchange(runner):
    result, asked = poll_device(replying(ANTMINER, joins=True), runner=runner)
    assert (result.error, result.command_set, asked) == (None, "summary+stats", ["summary+stats"])
    assert (result.reading.hashrate_ths, result.reading.accepted) == (108.25, 312)
    assert (result.reading.power_w, result.reading.power_source) == (3198.3, PowerSource.ESTIMATE)


def test_a_refusal_to_join_is_remembered():
    first, asked = poll_device(replying(ANTMINER))
    assert (first.command_set, asked) == ("summary,stats", ["summary+stats", "summary", "stats"])
    second, asked = poll_device(replying(ANTMINER), command_set=first.command_set)
    assert (second.command_set, asked) == ("summary,stats", ["summary", "stats"])
    assert second.reading == first.reading


def test_a_machine_that_hangs_up_at_a_joined_command_is_asked_singly():
    result, asked = poll_device(replying(ANTMINER, hangs_up=True))
    assert (result.error, result.command_set) == (None, "summary,stats")
    assert asked == ["summary+stats", "summary", "stats"]


def test_a_machine_that_stammers_at_a_joined_command_is_asked_singly():
    result, _ = poll_device(replying(ANTMINER | {"summary+stats": b'{"summary":[{]}\0'}))
    assert (result.error, result.command_set) == (None, "summary,stats")


@pytest.mark.parametrize("joins", [True, False])
def test_a_whatsminer_costs_one_exchange_once_it_is_known(joins):
    first, _ = poll_device(replying(WHATSMINER, joins=joins))
    assert (first.command_set, first.reading.model) == ("summary", "M30S++_VG40")
    second, asked = poll_device(replying(WHATSMINER, joins=joins), command_set="summary")
    assert (asked, second.reading.power_w) == (["summary"], 3480.0)


def test_an_unknown_make_is_read():
    result, _ = poll_device(replying(GENERIC))
    assert (result.reading.make, result.reading.hashrate_ths, result.reading.temperature_c) == (None, 90.1, 71.5)
    assert result.command_set == "summary,devs"


@pytest.mark.parametrize("remembered", ["summary+stats", "summary,devs", "devs"])
def test_new_firmware_is_got_to_know_again_in_the_same_poll(remembered):
    result, asked = poll_device(replying(ANTMINER), command_set=remembered)
    assert (result.command_set, result.reading.make) == ("summary,stats", "Antminer")
    assert asked[-2:] == ["summary", "stats"]


@pytest.mark.parametrize("remembered", ["quit", "summary+restart", "summary,ascset", "", ",", "+"])
def test_a_remembered_command_that_only_changes_machines_is_never_sent(remembered):
    result, asked = poll_device(replying(ANTMINER, joins=True), command_set=remembered)
    assert (result.command_set, asked) == ("summary+stats", ["summary+stats"])


def test_a_reply_in_many_pieces_is_one_reply():
    pieces = [WHOLE[at : at + 97] for at in range(0, len(WHOLE), 97)]
    result, _ = poll_device(sending(*pieces, pause_s=0.002, then_wait_s=0.5), command_set="summary")
    assert (result.error, result.reading.hashrate_ths, result.reading.repairs) == (None, 113.25, ())


@pytest.mark.parametrize("then_wait_s", [0.0, 0.5])
def test_a_nul_in_the_middle_does_not_end_the_reply(then_wait_s):
    middle = WHOLE.index(b'"MHS av"')
    handler = sending(WHOLE[:middle] + b"\0", WHOLE[middle:], then_wait_s=then_wait_s)
    result, _ = poll_device(handler, command_set="summary")
    assert (result.error, result.reading.hashrate_avg_ths, result.reading.repairs) == (None, 111.5, ("nul",))


def test_a_reply_without_nul_ends_when_the_device_hangs_up():
    result, _ = poll_device(sending(WHOLE[:-1]), command_set="summary")
    assert (result.error, result.reading.hashrate_ths) == (None, 113.25)


def test_a_device_that_keeps_the_line_open_is_not_waited_for():
    result, _ = poll_device(sending(WHOLE, then_wait_s=10), command_set="summary", timeout_s=8.0)
    assert result.reading.hashrate_ths == 113.25
    assert result.wall_s < 4


FAILING = {
    "silence": (sending(then_wait_s=5), ReadError.TIMEOUT),
    "a byte at a time": (sending(*(bytes([byte]) for byte in WHOLE), pause_s=0.05), ReadError.TIMEOUT),
    "hanging up without a word": (sending(), ReadError.CLOSED),
    "plain text": (sending(b"Socket connect failed: Connection refused\n\0"), ReadError.BAD_JSON),
    "a web page": (sending(b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>"), ReadError.BAD_JSON),
    "noise": (sending(os.urandom(40) + b"\xff"), ReadError.BAD_JSON),
    "NULs without end": (sending(*[b'{"a":}\0'] * 20, pause_s=0.01, then_wait_s=5), ReadError.BAD_JSON),
    "more than 256 KiB": (sending(*[b'{"a":"' + b"x" * 65_536] * 6, pause_s=0), ReadError.TOO_BIG),
    "a document of another service": (sending(b'{"hello":"world"}\0'), ReadError.UNSUPPORTED),
    "a refusal of everything": (replying({}), ReadError.UNSUPPORTED),
}


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("fault", FAILING)
def test_a_machine_that_cannot_be_read_says_why_in_time(fault, runner):
    handler, error = FAILING[fault]
    started = time.monotonic()
    result, _ = poll_device(handler, timeout_s=0.5, runner=runner)
    assert (result.reading, result.error) == (None, error)
    assert time.monotonic() - started < 3  # the silent one waits for five


def test_a_device_that_resets_the_line_is_closed():
    async def reset(_command, _reader, writer):
        linger = b"\1\0\0\0\0\0\0\0"
        writer.write(b'{"STATUS":')
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    result, _ = poll_device(reset)
    assert result.error is ReadError.CLOSED


def test_nobody_listening_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = run(poll("127.0.0.1", taken.getsockname()[1], timeout_s=1.0))
    assert (result.error, result.reading) == (ReadError.REFUSED, None)


def test_the_deadline_is_for_all_exchanges_of_a_poll_together():
    async def slow(command, _reader, writer):
        await asyncio.sleep(0.3)
        writer.write(json.dumps(ANTMINER.get(command, {"STATUS": "E"})).encode() + b"\0")

    result, asked = poll_device(slow, timeout_s=0.7)
    assert (result.error, asked) == (ReadError.TIMEOUT, ["summary+stats", "summary", "stats"])
    assert 0.69 <= result.wall_s < 2


def test_a_full_backlog_is_a_timeout():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            result = run(poll("127.0.0.1", port, timeout_s=0.3))
    assert result.error is ReadError.TIMEOUT


def test_every_target_has_a_result_with_its_own_key():
    async def main():
        async with listening(replying(WHATSMINER)) as (good, _), listening(sending(then_wait_s=5)) as (dead, _):
            targets = [Target("127.0.0.1", dead if key % 10 == 0 else good, "summary", key) for key in range(100)]
            return await poll_many(targets, timeout_s=0.5, concurrency=50)

    results = run(main())
    assert sorted(result.key for result in results) == list(range(100))
    assert {result.key for result in results if result.error is ReadError.TIMEOUT} == set(range(0, 100, 10))
    assert all(result.reading.hashrate_ths == 113.25 for result in results if result.error is None)


def test_dead_machines_cost_one_timeout_for_each_that_fits_into_the_concurrency():
    async def main(concurrency):
        async with listening(sending(then_wait_s=5)) as (port, _):
            started = time.monotonic()
            await poll_many([Target("127.0.0.1", port)] * 30, timeout_s=0.2, concurrency=concurrency)
            return time.monotonic() - started

    all_at_once, in_three_rounds = run(main(30)), run(main(10))
    assert in_three_rounds >= 0.59
    assert all_at_once < in_three_rounds


def test_more_dead_machines_than_are_asked_at_first_are_waited_for_all_at_once():
    async def main():
        async with listening(sending(then_wait_s=5)) as (port, _):
            started = time.monotonic()
            results = await poll_many([Target("127.0.0.1", port)] * 500, timeout_s=0.5, concurrency=1000)
            return results, time.monotonic() - started

    results, wall_s = run(main())
    assert [result.error for result in results] == [ReadError.TIMEOUT] * 500
    assert wall_s < 3  # in rounds of 64 they would take 4 s


def test_our_own_lack_of_files_is_not_the_machines_fault():
    async def main():
        async with listening(replying(WHATSMINER)) as (port, _):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            os.close(lowest_free := os.dup(0))
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            try:
                await poll("127.0.0.1", port, timeout_s=0.5)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    with pytest.raises(OSError, match="Too many open files"):
        run(main())


def test_what_was_not_begun_by_the_deadline_is_a_timeout():
    async def main():
        async with listening(sending(then_wait_s=5)) as (port, asked):
            targets = [Target("127.0.0.1", port, None, key) for key in range(40)]
            started = time.monotonic()
            results = await poll_many(targets, timeout_s=0.2, deadline_s=0.3, concurrency=10)
            return results, len(asked), time.monotonic() - started

    results, asked, wall_s = run(main())
    assert [result.error for result in results] == [ReadError.TIMEOUT] * 40
    assert 20 <= asked < 40  # ten at a time, twice; on a busy machine a few more begin in the last moment
    assert wall_s < 2


def test_no_targets_are_no_results():
    assert run(poll_many([])) == []


def test_no_socket_is_left_behind():
    async def main():
        async with listening(replying(WHATSMINER)) as (port, _), listening(sending(then_wait_s=5)) as (dead, _):
            await poll_many([Target("127.0.0.1", port)], timeout_s=0.3)  # whatever a first poll opens for good
            await asyncio.sleep(0.1)
            before = open_files()
            await poll_many([Target("127.0.0.1", end) for end in (port, dead) * 20], timeout_s=0.3)
            await asyncio.sleep(0.2)
            return open_files() - before

    # The silent device's own ends, in this process, stay until it wakes.
    assert run(main()) <= 20


def test_the_limit_of_open_files_is_never_lowered():
    before = raise_open_files(1)
    assert raise_open_files(before) == before
