"""What a customer and the staff see, and what they do not."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hosting.alerts.services import open_count
from hosting.models import Miner, OperationLog, Site
from hosting.telemetry.store import Row, SweepFacts, store_sweep
from minefarm.lib.clock import database_minute

pytestmark = pytest.mark.django_db


def read(site: Site, *miners: Miner, error: str | None = None, minutes_ago: int = 0, **values: object) -> None:
    reading = {
        "hashrate_centi_ths": 11_057,
        "power_centi_w": 326_182,
        "temperature_centi_c": 7_800,
        "power_estimated": True,
    }
    rows = [Row(miner.pk, miner.client_id, error, **({} if error else reading | values)) for miner in miners]
    store_sweep(SweepFacts(site.pk, database_minute() - timedelta(minutes=minutes_ago), {}, 1.0, 0.2), rows)


def page(client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.content.decode()


def test_a_customer_sees_their_machines_and_never_another_customers(client, client_a, site, miner_a, miner_b):
    read(site, miner_a, miner_b)
    client.force_login(client_a)
    html = page(client, "/miners/")
    assert "A-0001" in html
    assert "B-0001" not in html
    assert "110.57" in html
    assert "127.20.0.1" not in html


def test_another_customers_machine_is_not_there(client, client_a, miner_a, miner_b):
    client.force_login(client_a)
    assert client.get(f"/miners/{miner_a.pk}/").status_code == 200
    assert client.get(f"/miners/{miner_b.pk}/").status_code == 404
    assert client.get(f"/miners/{miner_b.pk}/chart.json").status_code == 404
    assert client.get("/miners/999999/").status_code == 404


def test_a_customer_finds_no_staff_page(client, client_a, site, miner_a):
    client.force_login(client_a)
    for path in ("/sites/", f"/sites/{site.pk}/", f"/sites/{site.pk}/chart.json"):
        assert client.get(path).status_code == 404, path


def test_the_chart_is_a_file_too(client, client_a, site, miner_a):
    read(site, miner_a, hashrate_centi_ths=10_000, power_centi_w=300_000)
    client.force_login(client_a)
    answer = client.get("/miners/chart.json?as=csv&hours=168")
    assert answer["Content-Disposition"] == 'attachment; filename="my-machines-168h.csv"'
    head, *lines = answer.content.decode().splitlines()
    assert head == "starts_at,hashrate_ths,power_kw,temperature_c"
    assert [line.split(",", 1)[1] for line in lines if not line.endswith(",,,")] == ["100.0,3.0,78.0"]
    assert 300 < len(lines) <= 500


def test_a_guest_sees_no_machine(client, guest, site, miner_a):
    read(site, miner_a)
    client.force_login(guest)
    assert "A-0001" not in page(client, "/miners/")
    assert client.get(f"/miners/{miner_a.pk}/").status_code == 404


@pytest.mark.parametrize("path", ["/", "/miners/", "/miners/1/", "/miners/chart.json", "/sites/", "/sites/1/"])
def test_nobody_gets_in_without_signing_in(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/login/?next={path}")


def test_staff_see_the_address_and_the_log_of_a_machine(client, operator, site, miner_a):
    read(site, miner_a)
    OperationLog.objects.create(miner=miner_a, operation="start", performed_by=operator, details="after repair")
    client.force_login(operator)
    html = page(client, f"/miners/{miner_a.pk}/")
    assert "127.20.0.1:4028" in html
    assert "after repair" in html


def test_a_reading_older_than_five_minutes_is_not_shown_as_present(client, client_a, site, miner_a):
    read(site, miner_a, minutes_ago=9)
    client.force_login(client_a)
    assert "110.57" not in page(client, "/miners/?partial=table")


def test_an_estimate_is_called_one(client, client_a, site, miner_a):
    read(site, miner_a)
    client.force_login(client_a)
    assert "estimate" in page(client, f"/miners/{miner_a.pk}/").lower()


def test_the_site_page_tells_what_fails_and_why(client, operator, site, miner_a, miner_b):
    read(site, miner_a)
    read(site, miner_b, error="timeout")
    client.force_login(operator)
    html = page(client, f"/sites/{site.pk}/")
    assert "timeout" in html
    assert "North" in page(client, "/sites/")


def test_the_table_narrows_by_text_status_and_site(client, operator, site, make_miner):
    make_miner("X-1", status="offline")
    make_miner("Y-2")
    client.force_login(operator)
    for query, seen, unseen in (
        ("q=x-1", "X-1", "Y-2"),
        ("status=active", "Y-2", "X-1"),
        (f"site={site.pk}&status=offline", "X-1", "Y-2"),
    ):
        html = page(client, f"/miners/?partial=table&{query}")
        assert seen in html, query
        assert unseen not in html, query


def test_the_address_bar_follows_a_search(client, operator, miner_a):
    client.force_login(operator)
    reply = client.get("/miners/?partial=table&q=a&status=&page=1")
    assert reply["HX-Replace-Url"] == "/miners/?q=a"
    assert client.get("/miners/?partial=table&q=")["HX-Replace-Url"] == "/miners/"


@pytest.mark.parametrize(
    "query", ["status=nonsense", "site=abc", "site=99999999999999999999", "site=²", "page=zzz", "q=%00", "page=-1"]
)
def test_nonsense_in_the_address_bar_is_no_error(client, operator, miner_a, query):
    client.force_login(operator)
    page(client, f"/miners/?{query}")


def test_the_pages_cost_the_same_queries_however_many_machines(client, client_a, operator, site, make_miner):
    def queries(user, path: str) -> int:
        client.force_login(user)
        with CaptureQueriesContext(connection) as captured:
            page(client, path)
        return len(captured)

    def cost() -> dict[str, int]:
        return {
            "dashboard": queries(client_a, "/miners/"),
            "table": queries(client_a, "/miners/?partial=table"),
            "sites": queries(operator, "/sites/"),
            "site": queries(operator, f"/sites/{site.pk}/"),
        }

    read(site, make_miner("M-0", client=client_a))
    open_count(operator)  # the badge's count is kept for a while
    few = cost()
    many = [make_miner(f"M-{number}", client=client_a) for number in range(1, 40)]
    Site.objects.bulk_create(Site(name=f"Site {number}") for number in range(10))
    read(site, *many, minutes_ago=1)
    assert cost() == few
    # A customer's pages enter and leave row security: a savepoint here, in production BEGIN and COMMIT, and one query.
    assert few == {"dashboard": 6 + 4, "table": 4 + 4, "sites": 4, "site": 8}


def test_hostile_text_is_shown_as_text(client, operator, site, make_miner):
    make_miner("<script>alert(1)</script>")
    client.force_login(operator)
    html = page(client, "/miners/")
    assert "<script>alert(1)</script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_portal_pages_allow_no_inline_script(client, operator, miner_a):
    client.force_login(operator)
    policy = client.get("/miners/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "unsafe-eval" in client.get("/admin/").headers["Content-Security-Policy"]


def test_liveness_and_readiness_answer_without_signing_in(client):
    assert client.get("/livez").content == b"ok\n"
    assert client.get("/readyz").content == b"ok\n"
