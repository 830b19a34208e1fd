"""The page that plans: a preview that writes nothing, and a plan made by whoever may."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from curtailment.models import CurtailmentPlan, SitePolicy

URL = "/curtailment/plan/"


@pytest.fixture
def wishes(site, now):
    starts_at = (now + timedelta(hours=1)).replace(tzinfo=None, second=0, microsecond=0)
    return {
        "site": site.pk,
        "mw": "0.003",
        "since": f"{starts_at:%Y-%m-%dT%H:%M}",
        "until": f"{starts_at + timedelta(hours=2):%Y-%m-%dT%H:%M}",
        "strategy": "least_efficient",
        "priority": "normal",
        "miners": "",
        "reason": "the grid asked for it",
    }


def test_the_empty_form_proposes_a_time_and_shows_no_error(client, operator, site):
    client.force_login(operator)
    page = client.get(URL)
    assert page.status_code == 200
    assert "datetime-local" in page.text
    assert "alert-danger" not in page.text


def test_the_preview_shows_order_money_and_what_is_left_out_and_writes_nothing(
    client, operator, running, worth, wishes
):
    first, second = running("A-1", 3250, 95), running("A-2", 3500, 200)
    running("IDLE", 2800, 0)
    client.force_login(operator)
    page = client.get(URL, wishes)
    assert page.status_code == 200
    assert page.text.index(first.serial_number) < page.text.index(second.serial_number)
    for told in ("at 100.00 $/MWh", "0.32", "it does not hash", "Make this plan", "to be stopped"):
        assert told in page.text
    assert not CurtailmentPlan.objects.exists()


def test_htmx_gets_the_preview_alone_and_errors_as_a_part(client, operator, running, wishes):
    running("A-1")
    client.force_login(operator)
    part = client.get(URL, wishes, headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert "Make this plan" in part.text
    part = client.get(URL, wishes | {"mw": "0"}, headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert "MW above 0" in part.text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mw": "0"}, "MW above 0"),
        ({"mw": "x"}, "Enter a number"),
        ({"mw": ""}, "Give a target in MW, or name the machines"),
        ({"miners": "Z-9"}, "Not machines of North: Z-9"),
        ({"since": "soon"}, "soon is no time"),
        ({"strategy": "coin"}, "not one of the available choices"),
        ({"site": "999999"}, "not one of the available choices"),
    ],
)
def test_what_cannot_be_planned_says_what_to_give(client, operator, running, wishes, change, told):
    running("A-1")
    client.force_login(operator)
    for page in (client.get(URL, wishes | change), client.post(URL, wishes | change)):
        assert page.status_code == 400
        assert told in page.text
    assert not CurtailmentPlan.objects.exists()


def test_posting_makes_the_plan_once_and_goes_to_it(client, operator, running, wishes):
    running("A-1")
    client.force_login(operator)
    for _ in range(2):
        answer = client.post(URL, wishes | {"key": "1b4e28ba"})
        plan = CurtailmentPlan.objects.get()
        assert (answer.status_code, answer["Location"]) == (302, f"/curtailment/{plan.pk}/")
    assert (plan.created_by, plan.reason, plan.miners_affected) == (operator, "the grid asked for it", 1)


def test_a_plan_without_a_reason_is_shown_and_not_made(client, operator, running, wishes):
    running("A-1")
    client.force_login(operator)
    assert client.get(URL, wishes | {"reason": ""}).status_code == 200
    page = client.post(URL, wishes | {"reason": " "})
    assert page.status_code == 400
    assert "Say why" in page.text


def test_machines_are_named_in_any_list(client, operator, running, wishes):
    first, second = running("A-1"), running("A-2")
    client.force_login(operator)
    client.post(URL, wishes | {"mw": "", "strategy": "listed", "miners": f"A-1;\n {second.pk},"})
    plan = CurtailmentPlan.objects.get()
    assert set(plan.targets.values_list("miner_id", flat=True)) == {first.pk, second.pk}


def test_fifty_machines_are_shown_and_all_on_request(client, operator, running, wishes):
    for number in range(55):
        running(f"A-{number:02}", 3000, 100)
    client.force_login(operator)
    page = client.get(URL, wishes | {"mw": "0.165"})
    assert "and 5 more: show all" in page.text
    assert page.text.count("to be stopped</td>") == 50
    assert client.get(URL, wishes | {"mw": "0.165", "all": "1"}).text.count("to be stopped</td>") == 55


def test_a_shortfall_and_a_farm_of_one_are_said(client, operator, running, wishes, site):
    running("A-1", 3000, 100)
    SitePolicy.objects.create(site=site, four_eyes=False)
    client.force_login(operator)
    page = client.get(URL, wishes | {"mw": "1"})
    assert "Short of the target by 997.0 kW" in page.text
    assert "one person alone may approve" in page.text


def test_an_old_hashprice_and_a_freeze_are_said(client, operator, running, worth, wishes, site, now):
    from analytics.models import MarketSnapshot

    running("A-1", 3250, 95)
    client.force_login(operator)
    page = client.get(URL, wishes)
    assert "newest hashprice" not in page.text
    assert "is frozen" not in page.text
    MarketSnapshot.objects.update(created_at=now - timedelta(days=3))
    SitePolicy.objects.create(site=site, frozen_until=now + timedelta(hours=1))
    page = client.get(URL, wishes)
    assert f"newest hashprice is of {now - timedelta(days=3):%Y-%m-%d %H:%M} UTC" in page.text
    assert "The site is frozen until" in page.text


def later(now, hours: int) -> str:
    return f"{(now + timedelta(hours=hours)).astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%dT%H:%M}"


def test_times_are_the_sites(client, operator, running, wishes, site, now):
    site.time_zone = "Europe/Berlin"
    site.save()
    running("A-1")
    client.force_login(operator)
    page = client.get(URL, wishes | {"since": "2027-03-28T02:30", "until": "2027-03-28T04:00"})
    assert page.status_code == 400
    assert "does not exist in Europe/Berlin" in page.text
    page = client.get(URL, wishes | {"since": later(now, 3), "until": later(now, 5)})
    assert f"{later(now, 3)} to {later(now, 5)} (Europe/Berlin)".replace("T", " ") in page.text
    client.post(URL, wishes | {"since": later(now, 3), "until": later(now, 5)})
    plan = CurtailmentPlan.objects.get()
    assert f"{plan.scheduled_time.astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%dT%H:%M}" == later(now, 3)


def test_clients_and_guests_find_nothing_there(client, client_a, guest, running, wishes):
    running("A-1")
    for stranger in (client_a, guest):
        client.force_login(stranger)
        assert client.get(URL).status_code == 404
        assert client.post(URL, wishes).status_code == 404
    assert not CurtailmentPlan.objects.exists()


def test_staff_of_another_site_cannot_choose_this_one(client, operator, running, wishes):
    from accounts.models import SiteLimit
    from hosting.models import Site

    running("A-1")
    SiteLimit.objects.create(user=operator, site_id=Site.objects.create(name="South").pk)
    client.force_login(operator)
    for page in (client.get(URL, wishes), client.post(URL, wishes)):
        assert page.status_code == 400
        assert "not one of the available choices" in page.text
        assert "North" not in page.text
    assert not CurtailmentPlan.objects.exists()
