"""The page, the API and the Admin: who sees what of an alert, and who may take it on."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.services import limit_to_sites
from hosting.models import Alert, AlertRule, MaintenanceWindow, Site

pytestmark = pytest.mark.django_db


@pytest.fixture
def alerts(farm, machines, client_b, site):
    """One machine of each customer is silent; the note of client A's tells what only staff may read."""
    mine, theirs = machines(1)[0], machines(1, prefix="B", client=client_b)[0]
    quiet = machines(4, prefix="Q")
    farm.minutes(6, [mine, theirs, *quiet], bad=[mine, theirs], error="timeout")
    return {alert.miner.serial_number: alert for alert in Alert.objects.all()}


def page(client, path):
    answer = client.get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


def test_staff_see_what_is_wrong_and_take_it_on_with_a_note(client, operator, alerts):
    client.force_login(operator)
    html = page(client, "/alerts/")
    assert "M-0001" in html
    assert "B-0001" in html
    assert 'title="Open and taken on by nobody">2<' in html

    answer = client.post(f"/alerts/{alerts['M-0001'].pk}/acknowledge/", {"note": "<b>on</b> my way"})
    assert (answer.status_code, answer["Location"]) == (302, "/alerts/")
    html = page(client, "/alerts/")
    assert "operator: &lt;b&gt;on&lt;/b&gt; my way" in html
    assert 'title="Open and taken on by nobody">1<' in html
    assert html.index("B-0001") < html.index("M-0001")  # what nobody has taken on comes first


def test_with_htmx_the_answer_is_the_table(client, operator, alerts):
    client.force_login(operator)
    path = f"/alerts/{alerts['M-0001'].pk}/acknowledge/"
    answer = client.post(path, {"note": ""}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert answer.content.startswith(b'<div id="alert-table"')
    again = client.post(path, follow=True)
    assert "not open any more" in again.content.decode()


def test_a_customer_sees_their_own_alert_without_what_staff_wrote(client, client_a, operator, alerts):
    Alert.objects.filter(pk=alerts["M-0001"].pk).update(
        state="acknowledged", note="customer is late with money", acknowledged_by=operator
    )
    client.force_login(client_a)
    for html in (page(client, "/alerts/"), page(client, "/alerts/?partial=table")):
        assert "M-0001" in html
        assert "Taken on" in html
        assert "B-0001" not in html
        assert "money" not in html
        assert "operator" not in html
    assert client.post(f"/alerts/{alerts['M-0001'].pk}/acknowledge/").status_code == 404


def test_a_guest_has_no_alerts(client, guest, alerts):
    client.force_login(guest)
    assert client.get("/alerts/").status_code == 404
    assert client.get("/api/v1/alerts/").status_code == 403


@pytest.mark.parametrize("query", ["severity=nonsense", "kind=%00", "site=abc", "site=99999999999", "page=-1"])
def test_nonsense_in_the_address_is_no_error(client, operator, alerts, query):
    client.force_login(operator)
    page(client, f"/alerts/?{query}")


def test_the_filters_narrow(client, operator, alerts, site):
    client.force_login(operator)
    south = Site.objects.create(name="South")
    for query, seen in (
        (f"site={site.pk}", True),
        (f"site={south.pk}", False),
        ("kind=offline", True),
        ("kind=dead_fan", False),
    ):
        assert ("M-0001" in page(client, f"/alerts/?partial=table&{query}")) is seen, query


def test_staff_of_one_site_neither_see_nor_take_on_anothers(client, operator, admin, alerts):
    south = Site.objects.create(name="South")
    limit_to_sites(operator, [south.pk], by=admin)
    client.force_login(operator)
    html = page(client, "/alerts/")
    assert "M-0001" not in html
    assert "farm-badge" not in html
    assert client.post(f"/alerts/{alerts['M-0001'].pk}/acknowledge/").status_code == 404
    assert Alert.objects.get(pk=alerts["M-0001"].pk).state == "open"


def test_the_api_lists_and_takes_on(client, operator, alerts):
    client.force_login(operator)
    listed = client.get("/api/v1/alerts/?state=open&kind=offline").json()
    assert {row["id"] for row in listed["results"]} == {alert.pk for alert in alerts.values()}
    row = listed["results"][0]
    assert {"rule_id", "machines", "note"} <= set(row)
    path = f"/api/v1/alerts/{row['id']}/acknowledge/"
    taken = client.post(path, {"note": "mine"}, content_type="application/json")
    assert (taken.status_code, taken.json()["state"], taken.json()["note"]) == (200, "acknowledged", "mine")
    again = client.post(path, {}, content_type="application/json")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "alert_over")
    assert client.get("/api/v1/alerts/?colour=red").status_code == 400


def test_the_api_shows_a_customer_their_own_and_nothing_of_staff(client, client_a, alerts):
    client.force_login(client_a)
    (row,) = client.get("/api/v1/alerts/").json()["results"]
    assert row["id"] == alerts["M-0001"].pk
    assert not {"rule_id", "machines", "suppressed_by_id", "acknowledged_by_id", "note"} & set(row)
    assert client.get(f"/api/v1/alerts/{alerts['B-0001'].pk}/").status_code == 404
    assert client.post(f"/api/v1/alerts/{alerts['M-0001'].pk}/acknowledge/").status_code == 403


def test_postgresql_itself_keeps_other_alerts_and_notes_from_a_customer(client_a, alerts):
    from django.db import ProgrammingError

    from minefarm.lib.rls import walled

    with walled(client_a.pk):
        assert list(Alert.objects.values_list("pk", flat=True)) == [alerts["M-0001"].pk]
    with pytest.raises(ProgrammingError, match="permission denied"), walled(client_a.pk):
        list(Alert.objects.values_list("note"))


def test_the_badge_costs_one_query_and_then_none(client, operator, alerts):
    client.force_login(operator)
    client.get("/alerts/")

    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get("/account/security/")
        return sum("alerts" in query["sql"] for query in captured)

    from django.core.cache import cache

    cache.delete("alerts:standing")
    assert [asked(), asked()] == [1, 0]


def test_the_page_costs_the_same_however_many_alerts(client, operator, farm, machines):
    client.force_login(operator)

    def cost() -> int:
        client.get("/alerts/")
        with CaptureQueriesContext(connection) as captured:
            client.get("/alerts/")
        return len(captured)

    miners = machines(40)
    farm.minutes(6, miners, bad=miners[:1], error="timeout")
    few = cost()
    farm.minutes(6, miners, bad=miners[:15], error="timeout")
    assert Alert.objects.on_top().count() == 15
    assert cost() == few


def test_rules_and_windows_are_written_in_admin(client, admin, operator, site, machines):
    client.force_login(admin)
    url = "/admin/hosting/alertrule/add/"
    form = {
        "kind": "offline",
        "severity": "critical",
        "minutes": 15,
        "cooldown_minutes": 30,
        "enabled": "on",
        "threshold": "",
    }
    refused = client.post(url, form)
    assert "There is a rule of this kind and severity" in refused.content.decode()
    assert client.post(url, form | {"site": site.pk}).status_code == 302
    assert AlertRule.objects.get(site=site).minutes == 15
    assert "takes no threshold" in client.post(url, form | {"site": site.pk, "threshold": 5}).content.decode()

    client.force_login(operator)
    assert client.get(url).status_code == 403
    window = {"site": site.pk, "reason": "new fans"}
    window |= {"starts_at_0": "2026-12-01", "starts_at_1": "08:00", "ends_at_0": "2026-12-01", "ends_at_1": "07:00"}
    add = "/admin/hosting/maintenancewindow/add/"
    assert "ends before it begins" in client.post(add, window).content.decode()
    assert client.post(add, window | {"ends_at_1": "12:00"}).status_code == 302
    assert MaintenanceWindow.objects.get().created_by == operator
    south = machines(1, prefix="S", site=Site.objects.create(name="South"))[0]
    astray = client.post(add, window | {"ends_at_1": "12:00", "miners": [south.pk]})
    assert "Choose machines that stand at North" in astray.content.decode()
    for name in ("alertrule", "maintenancewindow", "alert"):
        assert client.get(f"/admin/hosting/{name}/").status_code == 200
