"""Leads from the first call to a deal."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from crm.leads import IllegalLeadMove, assign_lead, duplicates_of, explain, move_lead, next_owner, save_lead
from crm.models import Activity, Lead
from crm.states import LEAD_MOVES, LeadStatus

pytestmark = pytest.mark.django_db


def lead(**values) -> Lead:
    return save_lead(Lead(**{"name": "Buyer"} | values))


def test_a_new_lead_is_scored_and_followed_up_within_a_day():
    new = lead(
        email="buyer@miners.example", phone="+1 512 555 0100", company="Miners Inc", source="referral", wanted_kw=1500
    )
    assert new.score == 30 + 25 + 5 + 5 + 5 + 5
    assert timedelta(hours=23) < new.follow_up_at - timezone.now() <= timedelta(hours=24)
    assert [one.points for one in explain(new)] == [30, 25, 5, 5, 5, 5]
    assert sum(one.points for one in explain(new)) == new.score


def test_the_score_stays_within_a_hundred_and_nothing_known_is_nothing():
    best = lead(
        email="b@miners.example", phone="5125550100", company="M", source="referral", wanted_kw=9000, status="qualified"
    )
    assert best.score == 100
    assert lead().score == 0
    assert lead(wanted_kw=Decimal(0)).score == 0


def test_duplicates_are_found_by_address_number_or_company():
    first = lead(email="Buyer@Miners.example", company="Miners Inc.")
    by_mail = lead(email="buyer@miners.example ")
    by_company = lead(company="MINERS, Limited")
    lead(name="Other", email="other@else.example", company="Else")
    assert set(duplicates_of(first)) == {by_mail, by_company}
    assert list(duplicates_of(lead(name="Nobody"))) == []


@pytest.mark.parametrize("start", LeadStatus.values)
@pytest.mark.parametrize("to", LeadStatus.values)
def test_only_named_moves_are_made(operator, start, to):
    one = lead(status=start)
    legal = to != LeadStatus.CONVERTED and start in LEAD_MOVES.get(LeadStatus(to), ())
    if legal:
        assert move_lead(one, LeadStatus(to), reason="said so", by=operator).status == to
        assert Activity.objects.get().lead == one
    else:
        with pytest.raises(IllegalLeadMove):
            move_lead(one, LeadStatus(to), reason="said so", by=operator)
        assert Lead.objects.get().status == start
        assert not Activity.objects.exists()


def test_a_lead_is_not_lost_without_a_reason(operator):
    one = lead()
    with pytest.raises(IllegalLeadMove, match="Say why"):
        move_lead(one, LeadStatus.LOST, reason="  ", by=operator)
    assert move_lead(one, LeadStatus.LOST, reason="too dear", by=operator).lost_reason == "too dear"
    assert move_lead(one, LeadStatus.CONTACTED, by=operator).lost_reason is None


def test_leads_go_round_to_whoever_has_fewest(operator, make_user, admin):
    second = make_user("user", "operator-2")
    given = [assign_lead(lead(), by=admin).owner for _ in range(4)]
    assert sorted(given, key=str) == sorted([operator, second] * 2, key=str)
    second.status = "DISABLED"
    second.save()
    assert next_owner() == operator
    with pytest.raises(IllegalLeadMove, match="not active"):
        assign_lead(lead(), to=second, by=admin)


@pytest.mark.parametrize(("column", "value"), [("status", "dead"), ("score", 101)])
def test_unknown_status_or_score_is_refused_by_the_database(column, value):
    one = lead()
    with pytest.raises(IntegrityError, match=f"crm_leads_{column}"), transaction.atomic():
        Lead.objects.filter(pk=one.pk).update(**{column: value})
