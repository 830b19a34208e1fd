"""OpenADR over its own library's server on loopback. The library is optional: without it most of this is skipped."""

import asyncio
import contextlib
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from curtailment import arming, openadr
from curtailment.models import CurtailmentRule, Signal, SitePolicy
from curtailment.sources import make_source
from curtailment.triggers.signals import Kind
from tests.farm import database_url, run_manage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def event(status="far", levels=(1,), number=0, **about):
    return {
        "event_descriptor": {"event_id": "e-1", "modification_number": number, "event_status": status} | about,
        "event_signals": [
            {
                "signal_name": "SIMPLE",
                "intervals": [
                    {"dtstart": NOON + at * HOUR, "duration": HOUR, "signal_payload": level}
                    for at, level in enumerate(levels)
                ],
            }
        ],
    }


def test_an_event_means_its_highest_level_from_its_first_to_its_last_interval():
    found = openadr.message_of(event(levels=(0, 1, 3, 0)))
    assert (found.kind, found.level, found.event) == (Kind.LEVEL, Decimal(3), "e-1")
    assert (found.starts_at, found.ends_at) == (NOON + HOUR, NOON + 3 * HOUR)
    assert openadr.message_of(event("cancelled")).kind == Kind.STOP
    assert openadr.message_of(event(levels=(0,))).level == 0
    assert openadr.message_of(event(number=2)).external_id != openadr.message_of(event()).external_id


@pytest.mark.parametrize("broken", [{"event_signals": []}, {"event_signals": [{"intervals": [{}]}]}])
def test_what_has_no_meaning_is_refused(broken):
    with pytest.raises(openadr.NoMeaning):
        openadr.message_of(event() | broken)


@pytest.fixture
def followed(site, operator, admin):
    source = make_source(site=site, name="ven-north", by=admin)
    rule = CurtailmentRule(site=site, name="grid", kind="signal", source=source)
    arming.make_rule(rule, by=operator)
    arming.was_tried(rule, content_hash=rule.content_hash, now=NOON)
    arming.arm(rule, content_hash=rule.content_hash, by=admin)
    return source


@pytest.mark.django_db
def test_it_opts_in_only_where_something_comes_of_it(followed, admin, now):
    soon = event()
    for interval in soon["event_signals"][0]["intervals"]:
        interval["dtstart"] = now
    assert openadr.answer(soon, followed.pk) == "optIn"
    soon["event_descriptor"]["event_status"] = "near"
    assert openadr.answer(soon, followed.pk) == "optIn"
    assert Signal.objects.count() == 1
    SitePolicy.objects.create(site=followed.site, frozen_until=now + HOUR, frozen_reason="works")
    assert openadr.answer(soon, followed.pk) == "optOut"
    SitePolicy.objects.all().delete()
    arming.disarm(CurtailmentRule.objects.get(), by=admin)
    assert openadr.answer(soon, followed.pk) == "optOut"
    assert openadr.answer(event(test_event="true", event_id="test"), followed.pk) == "optIn"
    assert Signal.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_library_the_command_says_how_to_get_it(site, tmp_path):
    (tmp_path / "openleadr.py").write_text("raise ImportError('not here')")
    arguments = ["--vtn-url", "http://127.0.0.1:1", "--ven-name", "x", "--site", "North", "--json"]
    done = run_manage("openadr_client", *arguments, PYTHONPATH=str(tmp_path), DATABASE_URL=database_url())
    assert done.returncode == 1
    assert "make install-openadr" in done.stdout


@pytest.fixture
def vtn(unused_port):
    """openleadr's own server on loopback; polled every second."""
    openleadr = pytest.importorskip("openleadr")

    def make():
        server = openleadr.OpenADRServer(
            vtn_id="VTN",
            http_host="127.0.0.1",
            http_port=unused_port,
            requested_poll_freq=timedelta(seconds=1),
        )
        server.add_handler("on_create_party_registration", lambda _info: ("ven-1", "registration-1"))
        return server

    return make


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore")  # the library's own
def test_events_of_a_real_vtn_become_signals_and_it_survives_the_loss_of_the_vtn(
    followed, vtn, unused_port, monkeypatch
):
    monkeypatch.setattr(openadr, "LOST_AFTER", 1)
    opted, done, told = [], {"stop": False}, []

    async def story():
        server = vtn()
        await server.run_async()
        ven = asyncio.ensure_future(
            openadr.run_ven(
                openadr.Vtn(f"http://127.0.0.1:{unused_port}/OpenADR2/Simple/2.0b", "ven-north"),
                followed.pk,
                stopped=lambda: done["stop"],
                told=told.append,
            )
        )
        try:
            await until(lambda: told)
            server.add_event(**asked("first", opted))
            await until(lambda: opted)
            await server.stop()
            await until(lambda: len(told) > 1)  # it has noticed
            server = vtn()
            await server.run_async()
            await until(lambda: sum(text.startswith("registered") for text in told) > 1)
            server.add_event(**asked("second", opted))
            await until(lambda: len(opted) > 1)
        finally:
            done["stop"] = True
            await asyncio.wait_for(ven, 20)
            with contextlib.suppress(Exception):
                await server.stop()
            await sync_to_async(connections.close_all)()

    asyncio.run(story())
    assert [opt for _, opt in opted] == ["optIn", "optIn"]
    assert set(Signal.objects.values_list("event", flat=True)) == {"first", "second"}
    assert Signal.objects.get(event="first").level == 2
    followed.refresh_from_db()
    assert followed.last_heard_at is not None


def asked(name, opted):
    async def answered(ven_id, event_id, opt_type):
        opted.append((event_id, opt_type))

    return {
        "ven_id": "ven-1",
        "event_id": name,
        "signal_name": "SIMPLE",
        "signal_type": "level",
        "intervals": [{"dtstart": datetime.now(UTC) + timedelta(seconds=5), "duration": HOUR, "signal_payload": 2.0}],
        "callback": answered,
    }


async def until(true, *, seconds=40):
    for _ in range(seconds * 20):
        if true():
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"waited {seconds} s in vain ({sys._getframe(1).f_lineno})")
