"""`plan_curtailment` as an operator calls it: one document, exit codes, and errors that say what to give."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from curtailment.models import CurtailmentPlan


@pytest.fixture
def hours(now):
    starts_at = (now + timedelta(hours=1)).replace(second=0, microsecond=0)
    return ["--from", starts_at.isoformat(), "--to", (starts_at + timedelta(hours=2)).isoformat()]


@pytest.fixture
def plan(capsys, site, hours):
    def run(*arguments: str) -> dict[str, object]:
        call_command("plan_curtailment", "--site", str(site.pk), *hours, *arguments, "--json")
        return json.loads(capsys.readouterr().out)

    return run


def test_it_prints_the_plan_that_it_made(plan, running, client_a):
    first, second = running("A-1", 3250, 95, client=client_a), running("A-2", 3500, 200)
    told = plan("--mw", "0.003")
    made = CurtailmentPlan.objects.get()
    assert told["id"] == made.pk
    assert (told["site"], told["status"], told["version"]) == ("North", "pending", 1)
    assert told["content_hash"] == made.content_hash
    assert (told["target_mw"], told["planned_mw"], told["machines"], told["reserve"]) == (0.003, 0.00325, 1, 1)
    assert (told["strategy"], told["priority"], told["dry_run"]) == ("least_efficient", "normal", False)
    assert told["saved_usd_per_h"] is None
    assert [(one["place"], one["miner_id"], one["role"], one["cumulative_kw"]) for one in told["order"]] == [
        (1, first.pk, "selected", 3.25),
        (2, second.pk, "reserve", None),
    ]
    assert told["order"][0]["client"] == "client-a"
    assert made.created_by is None


def test_a_dry_run_writes_nothing(plan, running):
    running("A-1")
    told = plan("--mw", "0.003", "--dry-run")
    assert (told["id"], told["dry_run"], told["machines"]) == (None, True, 1)
    assert not CurtailmentPlan.objects.exists()


def test_named_machines_need_no_target(plan, running):
    running("A-1")
    chosen = running("A-2")
    told = plan("--miners", "A-2")
    assert [one["miner_id"] for one in told["order"]] == [chosen.pk]
    assert (told["strategy"], told["target_mw"]) == ("listed", None)


def test_the_same_key_again_is_the_same_plan(plan, running):
    running("A-1")
    assert plan("--mw", "0.003", "--key", "k")["id"] == plan("--mw", "0.003", "--key", "k")["id"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--mw", "0"], "MW above 0"),
        (["--mw", "0.0000001"], "at most 6 digits after the point"),
        (["--mw", "0.00300000009"], "at most 6 digits after the point"),
        (["--mw", "1e25"], "below 1,000,000"),
        (["--mw", "1", "--from", "0001-01-01T00:00+14:00"], "near the present"),
        ([], "Give a target in MW, or name the machines"),
        (["--miners", "Z-9"], "Not machines of North: Z-9"),
        (["--mw", "1", "--reason", " "], "Say why"),
    ],
)
def test_what_cannot_be_planned_is_refused(site, hours, running, capsys, arguments, told):
    running("A-1")
    with pytest.raises(CommandError, match=told):
        call_command("plan_curtailment", "--site", "North", *hours, *arguments, "--json")
    assert told in json.loads(capsys.readouterr().out)["error"]
    assert not CurtailmentPlan.objects.exists()


def test_times_are_the_sites_and_the_skipped_hour_is_refused(site, running):
    site.time_zone = "Europe/Berlin"
    site.save()
    with pytest.raises(CommandError, match="2027-03-28 02:30 does not exist in Europe/Berlin"):
        call_command(
            "plan_curtailment", "--site", "North", "--mw", "1", "--from", "2027-03-28T02:30", "--to", "2027-03-28T04:00"
        )


def test_people_read_a_table_with_what_is_short_and_left_out(site, hours, running, worth, capsys):
    for number in range(22):
        running(f"A-{number:02}", 3000, 100)
    running("IDLE", 2800, 0)
    call_command("plan_curtailment", "--site", "North", *hours, "--mw", "0.1", "--dry-run")
    told = capsys.readouterr().out
    assert "dry run, nothing written" in told
    assert "SHORT of the target by 34.0 kW" in told
    assert "saves $6.60/h, forgoes $4.58/h" in told
    assert "and 2 more: --json lists all" in told
    assert "left out: 1 because it does not hash" in told


def test_the_figures_of_the_order_add_up(plan, running):
    for number in range(5):
        running(f"A-{number}", 3000 + number, 100)
    told = plan("--mw", "0.0105")
    chosen = [one for one in told["order"] if one["role"] == "selected"]
    assert chosen[-1]["cumulative_kw"] == pytest.approx(told["power_kw"], abs=0.001)
    assert Decimal(str(told["planned_mw"])) * 1000 == Decimal(str(told["power_kw"]))
