"""The demo's plans: one settled, one that begins soon, each once."""

from decimal import Decimal

import pytest

from curtailment.models import CurtailmentPlan, Settlement
from hosting.prices import set_price
from minefarm.demo_plans import MACHINES, PAST_AGO, seed_plans
from minefarm.lib.clock import database_now

pytestmark = pytest.mark.django_db


def test_the_demo_shows_a_settlement_and_a_plan_that_begins_soon(site, make_miner, client_a, owner, operator):
    set_price(site, Decimal("0.055"), database_now() - 2 * PAST_AGO)
    for number in range(MACHINES + 3):
        make_miner(f"D-{number}", client=client_a)
    for _ in range(2):
        seed_plans(site)
    coming, past = CurtailmentPlan.objects.order_by("-scheduled_time")
    assert (coming.status, past.recovery_state) == ("approved", "recovered")
    found = Settlement.objects.get()
    assert found.plan == past
    assert found.confirmed == MACHINES
    assert found.coverage == 1
    assert found.kwh_avoided > 0
    assert found.saved["USD"]
