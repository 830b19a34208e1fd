"""A webhook from its form to its first message, on a desktop and on a phone."""

import os

import pytest
from django.core.cache import cache
from playwright.sync_api import expect

from events.models import EventDelivery, EventEndpoint
from tests.browser.test_in_browser import fits, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def shot(page, name):
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/{name}-{page.viewport_size['width']}.png", full_page=True)


def test_a_customer_registers_a_webhook_and_tests_it(page, client_a):
    cache.clear()
    sign_in(page, client_a)
    page.get_by_role("link", name="Webhooks").click()
    assert fits(page)
    shot(page, "1empty")
    page.get_by_role("link", name="Add the first webhook").click()
    page.get_by_label("URL").fill("https://tickets.example.com/a-rather-long-path/that-does-not-wrap/minefarm")
    page.get_by_label("miner.offline").check()
    page.get_by_label("Description").fill("Ticket system")
    assert fits(page)
    shot(page, "2form")
    page.get_by_role("button", name="Add the webhook").click()
    assert page.get_by_label("Signing secret").input_value().startswith("whsec_")
    assert fits(page)
    shot(page, "3secret")
    page.get_by_role("button", name="send a test event").click()
    expect(page.locator("#test-result")).to_contain_text("On its way")
    assert fits(page)
    shot(page, "4waiting")
    EventDelivery.objects.update(status="processed", attempts=1, response_status=204, duration_ms=37)
    expect(page.locator("#test-result")).to_contain_text("Your server answered 204 in 37 ms")
    EventDelivery.objects.update(
        status="failed", attempts=10, last_error="the answer was 500: " + "x" * 90, response_status=500
    )
    page.reload()
    shot(page, "5detail")
    assert fits(page)
    page.get_by_role("button", name="Rotate secret").click()
    expect(page.get_by_label("Signing secret")).to_be_visible()
    shot(page, "6rotated")
    page.get_by_role("link", name="To the webhook").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("h1")).to_contain_text("Paused")
    shot(page, "7paused")
    page.goto("/webhooks/")
    assert fits(page)
    shot(page, "8list")
    page.get_by_role("link", name="Ticket system").click()
    page.get_by_role("link", name="Delete").click()
    assert fits(page)
    shot(page, "9delete")
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("status")).to_contain_text("Nothing is sent there any more")
    assert not EventEndpoint.objects.exists()


def test_an_error_is_told_next_to_its_field(page, client_a):
    cache.clear()
    sign_in(page, client_a)
    page.goto("/webhooks/add/")
    page.get_by_label("URL").fill("http://127.0.0.1/")
    page.get_by_role("button", name="Add the webhook").click()
    expect(page.locator("#target-errors")).to_contain_text("https")
    shot(page, "a-error")
    assert fits(page)
