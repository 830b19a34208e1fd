"""`command_miners`: an order from a shell, one document of results."""

import json

import pytest

from hosting.models import CommandBatch, Miner, OperationLog
from tests.farm import database_url, run_manage

pytestmark = pytest.mark.django_db(transaction=True)


def command(*arguments, **environment):
    return run_manage(
        "command_miners",
        *arguments,
        "--json",
        DATABASE_URL=database_url(),
        MINEFARM_FACTORY_LOGINS="1",
        **environment,
    )


@pytest.mark.storm
def test_every_machine_has_a_result_in_one_document(fleet, tmp_path):
    fleet(20, 60, "--fault", "refuse=0.1")
    serials = tmp_path / "serials.txt"
    chosen = Miner.objects.filter(miner_model__manufacturer__in=["MicroBT", "Bitmain"])
    serials.write_text("\n".join(chosen.values_list("serial_number", flat=True)))
    done = command("sleep", "--file", str(serials), "--reason", "grid operator called")
    document = json.loads(done.stdout)
    assert (document["order"], document["machines"], document["finished"]) == ("sleep", chosen.count(), True)
    assert document["results"]["confirmed"] + document["results"]["failed"] == chosen.count()
    assert document["wall_s"] < 60
    assert done.returncode == (1 if document["results"]["failed"] else 0)
    assert {row["serial_number"] for row in document["commands"]} == set(chosen.values_list("serial_number", flat=True))
    assert OperationLog.objects.filter(details__contains="grid operator called").exists()


def test_a_dry_run_sends_nothing_and_names_who_would_not_get_it(site, make_miner):
    make_miner("A-1", cgminer_ip="127.20.0.1")
    make_miner("A-2", cgminer_ip="127.20.0.2", status="maintenance")
    document = json.loads(command("wake", "--site", "North", "--dry-run").stdout)
    assert (document["machines"], document["would_get_it"]) == (2, 1)
    assert document["barred"][0]["serial_number"] == "A-2"
    assert not CommandBatch.objects.exists()


def test_without_waiting_the_batch_is_left_to_the_workers(site, make_miner):
    make_miner("A-1", cgminer_ip="127.20.0.1")
    done = command("locate", "--serial", "A-1", "--no-wait", "--key", "k-1")
    document = json.loads(done.stdout)
    assert (done.returncode, document["finished"], document["results"]["queued"]) == (0, False, 1)
    again = json.loads(command("locate", "--serial", "A-1", "--no-wait", "--key", "k-1").stdout)
    assert again["batch"] == document["batch"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sleep"], "Say which machines"),
        (["sleep", "--serial", "X-9"], "No machine X-9"),
        (["sleep", "--site", "Nowhere"], "No site 'Nowhere'"),
        (["sleep", "--site", "North"], "no machine at this site"),
        (["sleep", "--file", "/nowhere"], "cannot be read"),
        (["set_power_limit", "--serial", "A-1"], "Give watts"),
    ],
)
def test_what_cannot_be_ordered_is_told_with_the_next_step(site, arguments, told, catalogue):
    if "A-1" in arguments:
        Miner.objects.create(serial_number="A-1", cgminer_ip="127.20.0.1")
    done = command(*arguments)
    assert done.returncode == 1
    assert told in json.loads(done.stdout)["error"]
