"""Alerts and the fleet page as staff use them, on a desktop and on a phone; SHOTS=folder keeps pictures."""

import os
from datetime import timedelta

import pytest
from django.core.cache import cache
from playwright.sync_api import expect

from hosting.alerts.watch import watch_fleet
from hosting.models import Alert, AlertRule, Miner, SavedView, Site
from hosting.telemetry.store import Row, SweepFacts, store_sweep
from minefarm.lib.clock import database_minute
from tests.browser.test_in_browser import fits, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def shot(page, name):
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/{name}-{page.viewport_size['width']}.png", full_page=True, caret="initial")


@pytest.fixture(autouse=True)
def troubled_farm(site, make_miner, client_a, alert_rules):
    """120 machines at North, one with a dead fan; 24 at South, all dark."""
    cache.clear()
    south = Site.objects.create(name="South")
    here = [
        make_miner(f"N-{number:04}", client=client_a, cgminer_ip=f"127.20.3.{number}", cgminer_enabled=True)
        for number in range(1, 121)
    ]
    there = [
        make_miner(f"S-{number:04}", site=south, cgminer_ip=f"127.20.4.{number}", cgminer_enabled=True)
        for number in range(1, 25)
    ]
    AlertRule.objects.update(minutes=0)
    for ago in (2, 1):
        minute = database_minute() - timedelta(minutes=ago)
        rows = [
            Row(
                miner.pk,
                miner.client_id,
                None,
                hashrate_centi_ths=11_000 + 10 * number,
                power_centi_w=320_000,
                temperature_centi_c=7_000 + number,
                fan_rpm=(6000, 0 if number == 7 else 6000),
            )
            for number, miner in enumerate(here)
        ]
        store_sweep(SweepFacts(site.pk, minute, {}, 1.0, 0.2), rows)
        dark = [Row(miner.pk, None, "timeout") for miner in there]
        store_sweep(SweepFacts(south.pk, minute, {"timeout": 24}, 1.0, 0.2), dark)
        watch_fleet()


def test_staff_see_what_is_wrong_and_take_it_on(page, operator):
    sign_in(page, operator)
    badge = page.locator(".farm-badge")
    expect(badge).to_have_text("2")
    page.get_by_role("link", name="Alerts").click()
    page.wait_for_url("**/alerts/")
    assert fits(page)
    shot(page, "alerts")
    rows = page.locator("#alert-table tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="24 machines")).to_contain_text("24 of 24 machines")
    first = rows.filter(has_text="N-0008")
    expect(first).to_contain_text("fan 2 of 2 at 0 RPM")
    first.get_by_label("Note").fill("new fan is on its way")
    first.get_by_role("button", name="Take on").click()
    expect(rows.filter(has_text="N-0008")).to_contain_text("new fan is on its way")
    assert fits(page)
    shot(page, "alerts-taken")
    assert Alert.objects.get(miner__serial_number="N-0008").acknowledged_by == operator

    page.get_by_role("link", name="24 machines").click()
    expect(page.locator("[data-fleet] tbody tr")).to_have_count(24)
    page.get_by_role("link", name="S-0001").click()
    page.wait_for_url("**/miners/*/")
    shot(page, "miner-dark")
    assert fits(page)


def test_the_fleet_is_searched_sorted_kept_and_acted_on(page, operator):
    sign_in(page, operator)
    page.goto("/fleet/")
    assert fits(page)
    shot(page, "fleet")
    rows = page.locator("[data-fleet] tbody tr")
    expect(rows).to_have_count(100)
    page.get_by_role("searchbox").fill("N-00")
    expect(rows).to_have_count(99)
    assert "q=N-00" in page.url
    page.locator("#fleet-site").select_option(label="South")
    expect(page.get_by_text("No machine fits this search.")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    expect(rows).to_have_count(24)
    page.get_by_label("Keep this search as").or_(page.get_by_label("Name of the view")).fill("South wing")
    page.get_by_role("button", name="Keep").click()
    page.wait_for_load_state()
    expect(page.get_by_role("link", name="South wing")).to_be_visible()
    assert SavedView.objects.get().query == f"site={Site.objects.get(name='South').pk}"
    shot(page, "fleet-view")

    page.get_by_label("Choose S-0001").check()
    page.get_by_label("Choose S-0003").check()
    expect(page.locator("[data-fleet-count]")).to_have_text("2 chosen")
    page.get_by_label("What to do").select_option("maintenance")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("S-0001, S-0003")).to_be_visible()
    page.get_by_label("Reason").fill("cleaning")
    assert fits(page)
    shot(page, "fleet-act")
    page.get_by_role("button", name="Set to maintenance").click()
    expect(page.get_by_text("2 machines in maintenance now.")).to_be_visible()
    assert set(Miner.objects.filter(status="maintenance").values_list("serial_number", flat=True)) == {
        "S-0001",
        "S-0003",
    }


def test_the_fleet_by_keyboard(page, operator):
    sign_in(page, operator)
    page.goto("/fleet/?sort=-hashrate")
    page.locator("body").press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_label("Choose N-0119")).to_be_checked()
    page.keyboard.press("k")
    page.keyboard.press("x")
    expect(page.locator("[data-fleet-count]")).to_have_text("2 chosen")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.get_by_label("Choose N-0119").focus()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/miners/*/")
    assert "N-0120" in page.get_by_role("heading", level=1).inner_text()


def test_the_fleet_without_javascript(browser, live_server, operator, client):
    client.force_login(operator)
    context = browser.new_context(
        java_script_enabled=False, base_url=live_server.url, viewport={"width": 1200, "height": 800}
    )
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page = context.new_page()
    page.goto("/fleet/")
    page.get_by_role("searchbox").fill("N-011")
    page.get_by_role("button", name="Search").click()
    assert page.locator("[data-fleet] tbody tr").count() == 10
    page.get_by_label("Choose N-0111").check()
    page.get_by_label("What to do").select_option("reading_off")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Stop reading").click()
    assert page.get_by_text("1 machine read no longer.").is_visible()
    page.goto("/alerts/")
    page.get_by_role("button", name="Take on").first.click()
    assert page.get_by_text("Taken on").first.is_visible()
    context.close()
