"""Every page of the admin opens, shows what it should, and keeps its hands off what jobs write."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from events.catalogue import CATALOGUE
from events.models import SchedulerLock
from events.outbox import publish
from hosting import services
from hosting.models import Miner, OperationLog, TelemetrySweep
from minefarm.celery import app
from minefarm.navigation import admin_sidebar
from minefarm.schedule import BEAT_SCHEDULE
from tests.hosting.admin.conftest import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(client, owner):
    client.force_login(owner)
    return client


@pytest.fixture
def schedule(db):
    """The beat table as beat copies it at its start; the scheduler itself would close the test's connection."""
    for name, entry in BEAT_SCHEDULE.items():
        ModelEntry.from_entry(name, app=app, **entry)
    return PeriodicTask.objects.get(name="telemetry sweep")


@pytest.fixture
def worked(read, miner_a, miner_b, operator, schedule):
    """A farm on which something of everything happened."""
    read(miner_a)
    read(miner_b, seen_at=None, hashrate_ths=None, power_w=None, temperature_c=None, error="timeout")
    services.start_maintenance(Miner.objects.filter(pk=miner_b.pk), reason="fan swap", by=operator)
    now = timezone.now().replace(second=0, microsecond=0)
    for minutes in range(3):
        TelemetrySweep.objects.create(
            site=miner_a.site,
            minute=now - timedelta(minutes=minutes),
            miners=2,
            stored=1,
            failed={"timeout": 1},
            rejected_values={"power:absurd": 2},
            wall_s="3.2",
            cpu_s="0.01",
        )
    with transaction.atomic():
        example = CATALOGUE["miner.offline"].example | {"miner_id": miner_b.pk, "error": "timeout"}
        publish("miner.offline", about=f"miner:{miner_b.pk}", **example)
    SchedulerLock.objects.create(
        lock_key="telemetry:1", process_id=7, hostname="pit", expires_at=now, holder="0" * 32, lock_version=3
    )


def every_model():
    # The model is named by its admin's URL.
    return sorted((model._meta.app_label, model._meta.model_name) for model in admin.site._registry)


@pytest.mark.parametrize(("app_label", "model"), every_model())
def test_every_list_and_every_form_opens(office, worked, app_label, model):
    name = f"admin:{app_label}_{model}"
    listed = office.get(reverse(f"{name}_changelist"))
    assert listed.status_code == 200
    assert office.get(reverse(f"{name}_changelist"), {"q": "x"}).status_code in {200, 302}
    assert office.get(reverse(f"{name}_add")).status_code in {200, 403}
    for row in listed.context["cl"].result_list[:1]:
        assert office.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


def test_the_dashboard_tells_how_the_farm_is(office, worked):
    text = text_of(office.get("/admin/"))
    assert "Machines 2 1 in maintenance or curtailed" in text
    assert "Online 1 50.0 % of all" in text
    assert "Offline 0 0.0 % of all" in text
    assert "Hashrate 111 TH/s" in text
    assert "Power 0.003 MW" in text
    assert "1 of 1 sites swept" in text
    assert "North Test valley 2 1 (50 %) 111 0.003 0 %" in text
    assert "B-0001 maintenance: fan swap operator" in text


def test_the_dashboard_of_an_empty_farm_tells_what_to_do_first(office):
    text = text_of(office.get("/admin/"))
    assert "no machines yet" in text
    assert "Add the first" in text


def test_the_dashboard_costs_the_same_whatever_the_size_of_the_farm(office, worked, make_miner, read):
    office.get("/admin/")

    def queries():
        with CaptureQueriesContext(connection) as captured:
            office.get("/admin/")
        return len(captured)

    few = queries()
    for number in range(30):
        read(make_miner(f"Q-{number}"))
    assert queries() == few <= 8


def test_the_site_form_shows_its_last_sweeps(office, worked, site):
    text = text_of(office.get(f"/admin/hosting/site/{site.pk}/change/"))
    assert "Last sweeps" in text
    assert "1 timeout 2 power:absurd 3.20 0.01" in text
    assert reverse("hosting:site", args=[site.pk]) in office.get("/admin/hosting/site/").text


@pytest.mark.parametrize("query", [{"error": "any"}, {"error": "timeout"}])
def test_failing_machines_are_found_by_reason(office, worked, query):
    found = office.get("/admin/hosting/minerlatest/", query).context["cl"].result_list
    assert [latest.miner.serial_number for latest in found] == ["B-0001"]


def test_readings_cost_the_same_queries_for_one_machine_and_for_many(office, read, make_miner):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            office.get("/admin/hosting/minerlatest/")
        return len(captured)

    read(make_miner("Q-0"))
    queries()
    few = queries()
    for number in range(1, 30):
        read(make_miner(f"Q-{number}"))
    assert queries() == few <= 9


@pytest.mark.parametrize(
    "model", ["hosting_minerlatest", "hosting_operationlog", "events_schedulerlock", "events_outboxevent"]
)
def test_not_even_an_owner_adds_changes_or_deletes_what_jobs_write(office, worked, model):
    row = office.get(reverse(f"admin:{model}_changelist")).context["cl"].result_list[0]
    assert office.get(reverse(f"admin:{model}_add")).status_code == 403
    assert office.post(reverse(f"admin:{model}_change", args=[row.pk]), {}).status_code == 403
    assert office.post(reverse(f"admin:{model}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert type(row)._base_manager.filter(pk=row.pk).exists()


def test_a_released_lock_is_shown_as_free(office, worked):
    text = text_of(office.get("/admin/events/schedulerlock/"))
    assert "telemetry:1 free pit 7 3" in text


def test_the_beat_schedule_is_visible_and_an_entry_can_be_switched_off_but_not_rewritten(office, schedule):
    text = text_of(office.get("/admin/django_celery_beat/periodictask/"))
    assert "telemetry sweep hosting.tasks.sweep_sites" in text
    assert "Every minute" in text
    url = f"/admin/django_celery_beat/periodictask/{schedule.pk}/"
    assert office.post(f"{url}change/", {"name": "mine", "task": "os.system"}).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.name, schedule.task, schedule.enabled) == ("telemetry sweep", "hosting.tasks.sweep_sites", False)
    assert office.post(f"{url}delete/", {"post": "yes"}).status_code == 403


def titles(user, rf):
    request = rf.get("/admin/")
    request.user = user
    return [item["title"] for group in admin_sidebar(request) for item in group["items"]]


def test_the_sidebar_offers_what_the_person_may_open(rf, owner, operator):
    assert titles(operator, rf) == [
        "Dashboard",
        "Sites",
        "Miners",
        "Discovered",
        "Tickets",
        "Buildings",
        "Racks",
        "Circuits",
        "Model catalogue",
        *(
            "Live plans",
            "Plans",
            "Rules",
            "Rule records",
            "Sources",
            "Signals",
            "Site policies",
            "Tiers",
            "Settlements",
        ),
        "Latest readings",
        "Commands",
        "Operation log",
        *("What is wrong now", "Alert rules", "Maintenance windows", "Alert history"),
        *("Leads", "Deals", "Activities", "Board", "Clients"),
        *("Snapshots", "Indicators", "Contracts"),
        *("Site pages", "Fleet", "Machines", "Market", "Profit", "Webhooks"),
    ]
    assert set(titles(owner, rf)) - set(titles(operator, rf)) == {
        *(
            "Users",
            "Invitations",
            "Views as client",
            "Sign-ins",
            "Sessions",
            "API tokens",
            "Beat schedule",
            "Scheduler locks",
        ),
        *("Invoices", "Payments", "Billing details"),
        *("Events", "Endpoints", "Deliveries", "Job runs", "Retention holds", "Miner logins", "Site tokens"),
        *("Billing", "Hosting contracts", "Usage"),
    }


def test_an_operator_deletes_no_machine(desk, miner_a):
    assert desk.post(f"/admin/hosting/miner/{miner_a.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Miner.objects.filter(pk=miner_a.pk).exists()


def test_a_machine_with_a_history_is_not_deleted_by_anybody(office, worked, miner_b):
    office.post(f"/admin/hosting/miner/{miner_b.pk}/delete/", {"post": "yes"})
    assert Miner.objects.filter(pk=miner_b.pk).exists()
    assert OperationLog.objects.filter(miner=miner_b).count() == 1
