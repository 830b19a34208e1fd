"""Plans as staff see them live, and notices as a customer does, on a desktop and on a phone; SHOTS=folder keeps pictures."""

import os
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.cache import cache
from playwright.sync_api import expect

from curtailment.models import CurtailmentPlan, PlanMiner, SitePolicy
from curtailment.settlement import settle_plan
from minefarm.lib.clock import database_now
from tests.browser.test_in_browser import fits, sign_in
from tests.curtailment.raw_plans import a_plan, lead_to
from tests.curtailment.settled import begun, hashprice, over_plan, price, read_minutes

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LEFT_OUT = {"left_out": {"offline": 4, "protected": 2}, "left_out_machines": [["N-0900", "offline"]]}


def shot(page, name):
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/{name}-{page.viewport_size['width']}.png", full_page=True, caret="initial")


@pytest.fixture(autouse=True)
def plans(site, make_miner, client_a, client_b, admin, operator):
    """One plan that is settled, one that holds machines off, one that waits for approval."""
    cache.clear()
    miners = [
        make_miner(f"N-{number:04}", client=(client_a, client_b)[number % 2], cgminer_ip=f"127.20.3.{number}")
        for number in range(1, 61)
    ]
    begins = begun()
    price(site, begins - timedelta(hours=1), "0.10")
    hashprice(begins - timedelta(hours=1), "50")
    SitePolicy.objects.create(site=site)
    read_minutes(miners[:20], begins, 60, off=begins, on=begins + timedelta(hours=1))
    settled = over_plan(site, miners[:20], admin, begins=begins)
    settle_plan(settled)
    now = database_now().replace(second=0, microsecond=0)
    live = a_plan(
        site, miners[20:50], starts_in_min=-30, by=operator, target_power_reduction=Decimal("0.09"), preview=LEFT_OUT
    )
    lead_to(live, admin, "executing", "scheduled")
    rows = PlanMiner.objects.filter(plan=live)
    rows.update(state="dispatching", prior_on=True)
    rows.update(state="dispatched", dispatched_at=live.scheduled_time, attempts=1)
    rows.filter(shutdown_order__lte=25).update(state="confirmed", confirmed_at=live.scheduled_time, observed_w=30)
    rows.filter(shutdown_order=26).update(state="unreachable", last_error="timeout: it does not answer")
    CurtailmentPlan.objects.filter(pk=live.pk).update(power_reduced="0.0805", shortfall="0.0095")
    read_minutes(miners[20:45], now - timedelta(minutes=50), 49, off=live.scheduled_time, on=now + timedelta(hours=1))
    waiting = a_plan(site, miners[50:], by=operator, reason="Evening peak <b>17:00</b>", preview=LEFT_OUT)
    return {"settled": settled, "live": live, "waiting": waiting}


def test_staff_watch_a_plan_and_its_buttons_follow_it(page, admin, plans):
    sign_in(page, admin)
    page.goto("/curtailment/")
    expect(page.get_by_role("heading", name="Coming")).to_be_visible()
    assert fits(page)
    shot(page, "plans")
    live = plans["live"]
    page.goto(f"/curtailment/{live.pk}/")
    expect(page.locator("figure canvas")).to_be_visible()
    expect(page.get_by_text("every moment has readings").or_(page.get_by_text("stay empty"))).to_be_visible()
    expect(page.locator("#plan-live")).to_contain_text("80.5")
    assert fits(page)
    shot(page, "plan-live")
    # A refresh brings new figures and leaves an open form alone.
    page.locator("#plan-acts summary", has_text="Restore now").click()
    page.locator("#restore-reason").fill("the grid is calm")
    CurtailmentPlan.objects.filter(pk=live.pk).update(power_reduced="0.0866", shortfall="0.0034")
    expect(page.locator("#plan-live")).to_contain_text("86.6", timeout=15_000)
    expect(page.locator("#restore-reason")).to_have_value("the grid is calm")
    page.get_by_role("button", name="Restore now").click()
    expect(page.get_by_text("The machines come back with the next pass")).to_be_visible()
    live.refresh_from_db()
    assert live.restore_reason == "the grid is calm"


def test_an_approval_shows_what_is_approved(page, admin, plans):
    waiting = plans["waiting"]
    sign_in(page, admin)
    page.goto(f"/curtailment/{waiting.pk}/")
    expect(page.get_by_text("You approve exactly this")).to_be_visible()
    expect(page.get_by_text("Evening peak <b>17:00</b>").first).to_be_visible()
    assert fits(page)
    shot(page, "plan-waiting")
    page.goto(f"/curtailment/{plans['settled'].pk}/settlement/")
    expect(page.locator("figure canvas")).to_be_visible()
    assert fits(page)
    shot(page, "settlement")


def test_a_customer_reads_notice_and_statement(page, client_a, plans):
    settled = plans["settled"]
    sign_in(page, client_a)
    page.goto("/curtailment/")
    expect(page.get_by_role("link", name="Statement").first).to_be_visible()
    assert fits(page)
    shot(page, "notices")
    page.goto(f"/curtailment/{settled.pk}/")
    assert fits(page)
    shot(page, "notice")
    page.get_by_role("link", name="Statement").click()
    expect(page.get_by_text("Your machines together")).to_be_visible()
    expect(page.get_by_text("client-b")).to_have_count(0)
    assert fits(page)
    shot(page, "statement")
