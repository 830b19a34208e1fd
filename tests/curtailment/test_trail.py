"""The trail of plans: written in one line, kept by the database."""

import pytest
from django.db import DatabaseError, transaction

from curtailment.models import PlanEvent
from curtailment.trail import note

pytestmark = pytest.mark.django_db


def test_an_act_names_its_site_and_who_did_it(site, admin):
    act = note("frozen", site=site, detail="Work at the transformer", data={"minutes": 60}, by=admin)
    act.refresh_from_db()
    assert (act.site, act.plan, act.actor, act.data) == (site, None, admin, {"minutes": 60})
    assert act.at is not None


def test_an_act_without_plan_and_site_is_a_mistake():
    with pytest.raises(ValueError, match="name one"):
        note("frozen")


@pytest.mark.parametrize("change", [lambda rows: rows.update(detail="Nothing happened"), lambda rows: rows.delete()])
def test_what_was_done_stays(site, admin, change):
    note("frozen", site=site, by=admin)
    with pytest.raises(DatabaseError, match="kept as written"), transaction.atomic():
        change(PlanEvent.objects.all())
    assert PlanEvent.objects.get().verb == "frozen"
