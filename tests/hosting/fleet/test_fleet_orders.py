"""Orders to machines from the fleet page: asked for, proved, written down, and told by their batch."""

import pytest

from hosting.models import CommandBatch, Miner, MinerCommand, OperationLog

pytestmark = pytest.mark.django_db
ACT = "/fleet/act/"


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


def chosen(*miners, **more):
    return {"miner": [miner.pk for miner in miners], "query": "", "count": str(len(miners)), **more}


def test_an_order_asks_first_then_leads_to_its_batch(desk, make_miner):
    miners = [make_miner(f"M-{number}", cgminer_ip=f"10.0.0.{number}") for number in (1, 2)]
    page = desk.post(ACT, chosen(*miners, verb="sleep"))
    assert "2 machines" in page.text
    assert not CommandBatch.objects.exists()
    key = page.context["form"]["key"].value()
    asked = chosen(*miners, verb="sleep", confirmed="1", reason="grid asked", key=key)
    done = desk.post(ACT, asked)
    batch = CommandBatch.objects.get()
    assert done["Location"] == f"/admin/hosting/commandbatch/{batch.pk}/change/"
    assert (batch.order, batch.reason, batch.miners) == ("sleep", "grid asked", 2)
    assert MinerCommand.objects.filter(batch=batch).count() == 2
    desk.post(ACT, asked)  # the button pressed twice
    assert CommandBatch.objects.count() == 1
    shown = desk.get(f"/miners/{miners[0].pk}/").text
    assert "grid asked" in shown
    assert f"/admin/hosting/commandbatch/{batch.pk}/change/" in shown


def test_an_order_without_a_reason_or_with_a_foolish_limit_is_not_given(desk, make_miner):
    miner = make_miner("M-1", cgminer_ip="10.0.0.1")
    page = desk.post(ACT, chosen(miner, verb="sleep", confirmed="1", reason="", key="k"))
    assert "This field is required" in page.text
    page = desk.post(ACT, chosen(miner, verb="set_power_limit", confirmed="1", reason="x", key="k", watts="5"))
    assert "greater than or equal to 100" in page.text
    assert not CommandBatch.objects.exists()
    assert not OperationLog.objects.exists()


@pytest.mark.stale_sign_in
def test_an_order_needs_a_fresh_proof(desk, make_miner):
    miner = make_miner("M-1")
    assert desk.post(ACT, chosen(miner, verb="reboot"))["Location"].startswith("/accounts/reauthenticate/")
    assert desk.post(ACT, chosen(miner, verb="maintenance")).status_code == 200
    assert Miner.objects.get().status == "active"
