"""Every route there is, walked as somebody who may not see what lies behind it."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from events.models import EventEndpoint
from hosting.models import OperationLog, Site
from hosting.telemetry.store import Row, SweepFacts, store_sweep
from minefarm.lib.clock import database_minute

pytestmark = pytest.mark.django_db
CANARY = "CANARY-OF-CLIENT-B"
# What anybody may open, and why.
OPEN = {
    "/livez": "asked by load balancers",
    "/readyz": "asked by load balancers",
    "/favicon.ico": "an image",
    "/api/v1/schema/": "the API's description",
    "/api/v1/docs/": "the same for people",
}


def patterns(resolver: URLResolver, prefix: str = "/") -> Iterator[str]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, route)
        elif isinstance(entry, URLPattern):
            yield route


def routes() -> list[str]:
    """Portal and API routes; the admin asks for staff at its own door and has tests of its own."""
    skipped = ("/admin/", "/accounts/")
    return sorted({route for route in patterns(get_resolver()) if not route.startswith(skipped) and "^.*" not in route})


def paths(pk: int) -> list[str]:
    """Every route with this number, and with an unknown id, for each of its parameters."""
    numbered = (re.sub(r"<int:\w+>", str(pk), route) for route in routes())
    return [re.sub(r"<uuid:\w+>", str(uuid4()), route) for route in numbered]


@pytest.fixture
def secret(client_b, make_miner):
    """A machine, a site and a log of client B, with a marked word in every text."""
    site = Site.objects.create(name=f"{CANARY}-site", location=f"{CANARY}-place")
    miner = make_miner(f"{CANARY}-serial", client=client_b, site=site, cgminer_ip="127.20.9.9", cgminer_enabled=True)
    OperationLog.objects.create(miner=miner, operation=f"{CANARY}-operation", details=f"{CANARY}-details")
    row = Row(miner.pk, client_b.pk, None, hashrate_centi_ths=12_345, power_centi_w=330_000)
    store_sweep(SweepFacts(site.pk, database_minute(), {}, 1.0, 0.1), [row])
    EventEndpoint.objects.create(
        owner_id=client_b.pk, target=f"https://{CANARY}.example.com/in", secret=f"{CANARY}-key"
    )
    client_b.name = f"{CANARY}-name"
    client_b.save()
    return miner


def test_the_walk_knows_the_routes():
    found = routes()
    assert {"/miners/<int:pk>/", "/sites/<int:pk>/", "/api/v1/miners/<int:pk>/", "/api/v1/telemetry/"} <= set(found)
    assert [route for route in found if "(?P" in route] == []


def test_nobody_opens_anything_without_signing_in(client, secret):
    for path in [*paths(secret.pk), *paths(secret.site_id)]:
        answer = client.get(path)
        if path in OPEN:
            assert answer.status_code < 400, path
        else:
            # 405: only ever posted to, whoever asks; 410: an invitation of no use
            assert answer.status_code in {302, 401, 403, 405, 410}, (path, answer.status_code)
            assert answer.status_code != 302 or answer["Location"].startswith("/accounts/login/"), path
        assert CANARY not in read(answer), path


@pytest.mark.parametrize("actor", ["client_a", "guest"])
def test_a_stranger_finds_nothing_of_client_b(client, request, secret, miner_a, actor):
    client.force_login(request.getfixturevalue(actor))
    for path in [*paths(secret.pk), *paths(secret.site_id)]:
        answer = client.get(path)
        assert answer.status_code < 500, path
        assert CANARY not in read(answer), path
        assert "123.45" not in read(answer), path
    for path in (
        f"/miners/{secret.pk}/",
        f"/miners/{secret.pk}/chart.json",
        f"/api/v1/miners/{secret.pk}/",
        f"/api/v1/miners/{secret.pk}/telemetry/",
        f"/api/v1/sites/{secret.site_id}/",
        f"/api/v1/telemetry/?miner={secret.pk}",
    ):
        assert client.get(path).status_code == 404, path


def test_searching_and_filtering_do_not_leak(client, client_a, secret, miner_a):
    client.force_login(client_a)
    for path in (
        f"/miners/?q={CANARY}",
        f"/miners/?site={secret.site_id}",
        f"/api/v1/miners/?serial={CANARY}",
        f"/api/v1/miners/?q={CANARY}",
        f"/api/v1/miners/?site={secret.site_id}",
    ):
        answer = client.get(path)
        body = read(answer).replace(f'value="{CANARY}"', "").replace(f"q={CANARY}", "").replace(f"serial={CANARY}", "")
        assert CANARY not in body, path


def test_a_stranger_changes_nothing_of_client_b(client, client_a, secret):
    client.force_login(client_a)
    for method in (client.put, client.patch, client.delete, client.post):
        for path in (
            f"/api/v1/miners/{secret.pk}/",
            f"/api/v1/sites/{secret.site_id}/",
            "/api/v1/miners/",
            "/api/v1/sites/",
        ):
            assert method(path, {"serial_number": "X", "name": "X"}, content_type="application/json").status_code in {
                403,
                404,
                405,
            }, path
    secret.refresh_from_db()
    assert secret.serial_number == f"{CANARY}-serial"


def read(answer) -> str:
    return b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode(errors="replace")
