"""The board of deals by pointer and by keyboard, and the pages around it; SHOTS=folder keeps pictures."""

import os
from decimal import Decimal

import pytest
from django.core.cache import cache
from playwright.sync_api import expect

from crm.demo import seed_pipeline
from crm.models import Deal, Lead
from tests.browser.test_in_browser import fits, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def shot(page, name):
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/{name}-{page.viewport_size['width']}.png", full_page=True, caret="initial")


@pytest.fixture(autouse=True)
def busy_pipeline(site, operator, client_a):
    cache.clear()
    seed_pipeline(owner=operator, clients=[client_a], site=site)


def test_a_card_goes_by_drag_and_by_keyboard(page, operator):
    sign_in(page, operator)
    page.get_by_role("link", name="Customers").click()
    card = page.locator("[data-card]", has_text="Glacier Mining")
    lane = page.locator("[data-stage=proposal]")
    before = int(lane.locator("[data-count]").inner_text())
    if page.viewport_size["width"] > 1000:
        card.drag_to(lane)
    else:  # a finger cannot drag: the card's own form does it
        card.get_by_label("Move Glacier Mining").select_option("proposal")
        card.get_by_role("button", name="Move").click()
    expect(lane.locator("[data-card]", has_text="Glacier Mining")).to_be_visible()
    expect(card.locator("[data-probability]")).to_have_text("50")
    expect(lane.locator("[data-count]")).to_have_text(str(before + 1))
    expect(page.locator("[data-sum=all]")).to_contain_text("714,100 USD")  # 30 % more of 212,000
    card.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-stage=negotiation] [data-card]", has_text="Glacier Mining")).to_be_focused()
    expect(page.locator("[data-board-said]")).to_contain_text("moved to Negotiation")
    assert Deal.objects.get(title__contains="Glacier").stage == "negotiation"
    shot(page, "deal-board")


def test_the_pages_fit(page, operator, client_a):
    sign_in(page, operator)
    lead, deal = Lead.objects.order_by("pk").first(), Deal.objects.get(title__contains="Iron Ledger")
    Deal.objects.filter(pk=deal.pk).update(power_kw=Decimal(90_000))
    for name, path in {
        "deals": "/crm/deals/",
        "deal": f"/crm/deals/{deal.pk}/",
        "leads": "/crm/leads/",
        "lead": f"/crm/leads/{lead.pk}/",
        "clients": "/crm/clients/",
        "client-360": f"/crm/clients/{client_a.pk}/",
    }.items():
        page.goto(path)
        assert page.locator("h1").count() == 1
        shot(page, f"crm-{name}")
        assert fits(page), name
