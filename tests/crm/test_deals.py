"""Deals on their way, and whether the site has room for them."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from crm.deals import DealRefused, MovedMeanwhile, NoRoom, capacity_of, is_stuck, move_deal, pipeline
from crm.models import Deal, DealStageChange
from crm.states import DealStage

pytestmark = pytest.mark.django_db


@pytest.fixture
def deal(site) -> Deal:
    site.refresh_from_db()
    return Deal.objects.create(title="500 machines", value=Decimal("100000.00"), site=site, power_kw=1600)


def test_a_stage_brings_its_probability_and_is_kept(deal, operator):
    move_deal(deal, DealStage.PROPOSAL, by=operator)
    assert (deal.stage, deal.probability, deal.closed_at) == ("proposal", 50, None)
    move_deal(deal, DealStage.NEGOTIATION, probability=60, by=operator)
    assert deal.probability == 60
    move_deal(deal, DealStage.CLOSED_WON, by=operator)
    assert (deal.probability, deal.closed_at is not None) == (100, True)
    changes = DealStageChange.objects.order_by("pk").values_list("from_stage", "to_stage")
    assert list(changes) == [("discovery", "proposal"), ("proposal", "negotiation"), ("negotiation", "closed_won")]


def test_lost_needs_a_reason_on_every_way(deal, operator):
    with pytest.raises(DealRefused, match="Say why"):
        move_deal(deal, DealStage.CLOSED_LOST, by=operator)
    with pytest.raises(Exception, match="crm_deals_lost_for_a_reason"):
        Deal.objects.filter(pk=deal.pk).update(stage="closed_lost")


def test_a_lost_deal_says_why(deal, operator):
    move_deal(deal, DealStage.CLOSED_LOST, reason="went elsewhere", by=operator)
    assert (deal.probability, deal.lost_reason) == (0, "went elsewhere")
    move_deal(deal, DealStage.DISCOVERY, by=operator)
    assert (deal.lost_reason, deal.closed_at) == (None, None)


def test_who_looks_at_an_old_board_moves_nothing(deal, operator, admin):
    move_deal(deal, DealStage.NEGOTIATION, by=admin)
    with pytest.raises(MovedMeanwhile, match="Negotiation"):
        move_deal(deal, DealStage.PROPOSAL, seen="discovery", by=operator)
    assert Deal.objects.get().stage == "negotiation"
    assert DealStageChange.objects.count() == 1


def test_the_same_move_twice_is_one(deal, operator):
    move_deal(deal, DealStage.PROPOSAL, seen="discovery", by=operator)
    move_deal(deal, DealStage.PROPOSAL, seen="discovery", by=operator)
    assert DealStageChange.objects.count() == 1


def test_a_site_without_room_wins_nothing_unless_somebody_insists(deal, operator, make_miner):
    for number in range(300):  # 300 x 3,250 W of 2.5 MW
        make_miner(f"M-{number}")
    room = capacity_of(deal.site, but=deal)
    assert (room.capacity_kw, room.machines_kw, room.free_kw) == (2500, 975, 1525)
    with pytest.raises(NoRoom, match="1,525 kW free and this deal needs 1,600 kW"):
        move_deal(deal, DealStage.CLOSED_WON, by=operator)
    assert move_deal(deal, DealStage.CLOSED_WON, despite_capacity=True, by=operator).stage == "closed_won"


def test_what_was_won_and_has_not_arrived_takes_room(deal, site):
    tomorrow = timezone.now().date() + timedelta(days=1)
    Deal.objects.create(title="won", stage="closed_won", site=site, power_kw=2000, target_date=tomorrow)
    Deal.objects.create(
        title="arrived", stage="closed_won", site=site, power_kw=2000, target_date=tomorrow - timedelta(days=9)
    )
    assert capacity_of(site).free_kw == 500
    Deal.objects.create(title="won, nobody knows for when", stage="closed_won", site=site, power_kw=300)
    assert capacity_of(site).free_kw == 200
    assert capacity_of(site).fits(None) is None


def test_the_pipeline_is_value_by_probability(deal):
    Deal.objects.create(title="b", value=Decimal("1000.10"), stage="proposal", probability=50)
    Deal.objects.create(title="c", stage="proposal", probability=75)
    sums = {one.stage: (one.deals, one.value, one.weighted) for one in pipeline(Deal.objects.all())}
    assert sums["discovery"] == (1, Decimal("100000.00"), Decimal("20000.00"))
    assert sums["proposal"] == (2, Decimal("1000.10"), Decimal("500.05"))
    assert sums["closed_won"] == (0, 0, 0)


def test_a_deal_that_stands_for_two_weeks_is_stuck(deal):
    assert not is_stuck(deal, timezone.now() + timedelta(days=14, minutes=-1))
    assert is_stuck(deal, timezone.now() + timedelta(days=14, minutes=1))


@pytest.mark.django_db(transaction=True)
def test_two_people_who_drag_the_same_card_make_one_move(deal, operator):
    start, moved, late = threading.Barrier(6), [], []

    def drag(to: DealStage) -> None:
        mine = Deal.objects.get(pk=deal.pk)
        start.wait()
        try:
            moved.append(move_deal(mine, to, seen="discovery", by=operator).stage)
        except MovedMeanwhile:
            late.append(to)
        finally:
            connection.close()

    people = [threading.Thread(target=drag, args=(to,)) for to in (DealStage.PROPOSAL, DealStage.NEGOTIATION) * 3]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert len(set(moved)) == 1
    assert len(moved) == len(late) == 3
    assert DealStageChange.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_deals_won_at_once_do_not_share_the_same_room(site, operator):
    deals = [Deal.objects.create(title=f"D{number}", site=site, power_kw=2000) for number in range(4)]
    start, won, refused = threading.Barrier(len(deals)), [], []

    def win(pk: int) -> None:
        mine = Deal.objects.select_related("site").get(pk=pk)
        start.wait()
        try:
            won.append(move_deal(mine, DealStage.CLOSED_WON, by=operator).pk)
        except NoRoom:
            refused.append(pk)
        finally:
            connection.close()

    people = [threading.Thread(target=win, args=(deal.pk,)) for deal in deals]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert (len(won), len(refused)) == (1, 3)
    assert Deal.objects.filter(stage="closed_won").count() == DealStageChange.objects.count() == 1
