"""The pages as people see them, on a desktop and on a phone."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from playwright.sync_api import expect

from hosting.telemetry.store import Row, SweepFacts, store_sweep
from minefarm.lib.clock import database_minute

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def farm(site, make_miner, client_a, client_b):
    """Two customers, 62 machines, half an hour of readings with a hole in the middle."""
    cache.clear()
    mine = [make_miner(f"A-{number:04}", client=client_a, cgminer_ip=f"127.20.1.{number}") for number in range(1, 61)]
    others = [make_miner(f"B-{number:04}", client=client_b, cgminer_ip=f"127.20.2.{number}") for number in range(1, 3)]
    now = database_minute()
    for ago in (*range(40, 25, -1), *range(12, -1, -1)):
        rows = [
            Row(
                miner.pk,
                miner.client_id,
                None,
                hashrate_centi_ths=11_000 + ago,
                power_centi_w=320_000,
                temperature_centi_c=7_700,
            )
            for miner in mine + others
        ]
        store_sweep(SweepFacts(site.pk, now - timedelta(minutes=ago), {}, 1.0, 0.2), rows)
    return mine


def sign_in(page, user) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/miners/" if not user.is_staff else "**/sites/")


def fits(page) -> bool:
    """No page scrolls sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def charts_drawn(page) -> int:
    expect(page.locator("figure canvas")).to_have_count(3)
    return page.evaluate(
        """() => [...document.querySelectorAll('figure canvas')].filter((canvas) => {
            const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            return pixels.some((value, index) => index % 4 === 3 && value > 0);
        }).length"""
    )


def test_a_customer_signs_in_looks_searches_and_opens_a_machine(page, client_a):
    sign_in(page, client_a)
    assert page.get_by_role("heading", level=1).inner_text() == "My machines"
    assert "60 of 60" in page.locator(".farm-figures").inner_text()
    assert page.locator("#miner-table tbody tr").count() == 50
    assert page.get_by_text("B-0001").count() == 0
    assert charts_drawn(page) == 3
    assert fits(page)

    page.get_by_role("searchbox").fill("A-0007")
    expect(page.locator("#miner-table tbody tr")).to_have_count(1)
    assert page.locator("#miner-table").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    assert charts_drawn(page) == 3

    page.get_by_role("link", name="A-0007").click()
    page.wait_for_url("**/miners/*/")
    assert "A-0007" in page.get_by_role("heading", level=1).inner_text()
    assert "110.00" in page.locator(".farm-figures").inner_text()
    assert charts_drawn(page) == 3
    assert fits(page)
    assert page.get_by_text("127.20.1.7").count() == 0


def test_a_chart_tells_its_figures_to_those_who_do_not_see_it(page, client_a):
    sign_in(page, client_a)
    charts_drawn(page)
    spoken = page.locator("figure table").first.inner_text()
    assert "Hashrate over the last 24 hours" in spoken
    assert "6.60 PH/s" in spoken
    assert "a gap means no reading" in page.locator("figcaption").inner_text()


def test_a_chart_goes_back_as_far_as_one_asks(page, client_a):
    sign_in(page, client_a)
    charts_drawn(page)
    with page.expect_response("**chart.json?hours=720"):
        page.get_by_role("button", name="30 d").click()
    expect(page.locator("figcaption")).to_contain_text("Means of 3 hours")
    assert charts_drawn(page) == 3
    assert "over the last 30 days" in page.locator("figure table").first.inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "my-machines-720h.csv"
    assert page.get_by_role("button", name="30 d").get_attribute("aria-pressed") == "true"
    assert fits(page)


def test_staff_see_sites_and_what_happens_there(page, operator, site):
    sign_in(page, operator)
    assert fits(page)
    page.get_by_role("link", name="North").click()
    page.wait_for_url(f"**/sites/{site.pk}/")
    assert charts_drawn(page) == 3
    assert fits(page)
    assert "62 of 62" in page.get_by_label("Last sweeps").inner_text()


def test_a_refreshed_table_keeps_its_filter(page, operator):
    sign_in(page, operator)
    page.goto("/miners/?q=B-000")
    assert page.locator("#miner-table tbody tr").count() == 2
    with page.expect_response("**partial=table**"):
        refresh_table(page)
    assert page.locator("#miner-table tbody tr").count() == 2


def test_a_search_can_be_reloaded_and_sent(page, operator):
    sign_in(page, operator)
    page.goto("/miners/")
    page.get_by_role("searchbox").fill("B-000")
    page.wait_for_url("**/miners/?q=B-000")
    page.reload()
    assert page.locator("#miner-table tbody tr").count() == 2


def refresh_table(page) -> None:
    page.evaluate(
        """() => htmx.ajax('GET', document.querySelector('#miner-table').getAttribute('hx-get'), '#miner-table')
            .catch(() => null)"""
    )


def test_a_refresh_after_the_session_ended_leads_to_the_sign_in_page(page, client_a):
    sign_in(page, client_a)
    page.context.clear_cookies()
    refresh_table(page)
    page.wait_for_url("**/accounts/login/?next=/miners/")
    assert page.get_by_role("heading", level=1).all_inner_texts() == ["Sign in"]


def test_a_silent_server_is_told_until_it_answers_again(browser, live_server, client_a):
    context = browser.new_context(base_url=live_server.url)
    page = context.new_page()
    sign_in(page, client_a)
    notice = page.locator("[data-stale]")
    expect(notice).to_be_hidden()
    context.set_offline(True)
    refresh_table(page)
    expect(notice).to_contain_text("The server has not answered since")
    context.set_offline(False)
    refresh_table(page)
    expect(notice).to_be_hidden()
    context.close()


def test_signing_out_ends_it(page, client_a):
    sign_in(page, client_a)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/accounts/login/**")
    page.goto("/miners/")
    assert "/accounts/login/" in page.url


def test_the_admin_opens_for_staff(page, owner):
    sign_in(page, owner)
    for path in ("/admin/", "/admin/hosting/miner/", "/admin/hosting/site/", "/admin/django_celery_beat/periodictask/"):
        page.goto(path)
        assert page.get_by_role("heading").count() >= 1, path
        assert fits(page), path
