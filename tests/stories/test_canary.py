"""Every text of client B is marked; client A fetches all that can be reached and finds no mark, behind each wall alone."""

from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Impersonation
from accounts.tokens import make_token
from crm.models.contracts import CONTRACT_STAFF_COLUMNS
from crm.models.invoices import INVOICE_STAFF_COLUMNS
from curtailment.visible import HIDDEN_OF_MINERS, HIDDEN_OF_PLANS, HIDDEN_OF_SETTLEMENTS
from hosting.models import Miner, MinerModel, Site
from hosting.models.alerts import ALERT_STAFF_COLUMNS
from hosting.models.inventory import MINER_STAFF_COLUMNS, SITE_STAFF_COLUMNS
from hosting.models.tickets import TICKET_STAFF_COLUMNS
from hosting.telemetry.store import Row, SweepFacts, store_sweep
from minefarm.lib.clock import database_minute
from tests.crawling import Crawler
from tests.planting import FIGURE, NUMBER, WORD, our_models, owned, plant

pytestmark = pytest.mark.django_db
# What the second wall refuses outright would end in errors, not in answers to look through.
HIDDEN = {
    "Miner": MINER_STAFF_COLUMNS,
    "Site": SITE_STAFF_COLUMNS,
    "Alert": ALERT_STAFF_COLUMNS,
    "MaintenanceTicket": TICKET_STAFF_COLUMNS,
    "Invoice": INVOICE_STAFF_COLUMNS,
    "Payment": ("note", "recorded_by"),
    "Contract": CONTRACT_STAFF_COLUMNS,
    "CurtailmentPlan": HIDDEN_OF_PLANS,
    "PlanMiner": HIDDEN_OF_MINERS,
    "Settlement": HIDDEN_OF_SETTLEMENTS,
}


# The walks try every number that is an id of anything: where all tables count from one number on, those are few.
ONE_COUNT = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass,
    (SELECT max(COALESCE(last_value, 1)) FROM pg_sequences WHERE schemaname = current_schema()))
FROM pg_sequences WHERE schemaname = current_schema() AND data_type <> 'smallint'::regtype
"""


@pytest.fixture
def one_count(db):
    with connection.cursor() as cursor:
        cursor.execute(ONE_COUNT)


@pytest.fixture
def planted(one_count, client_a, client_b, admin, site, make_miner):
    """Both have a machine at one site; B also has a site that A knows nothing of."""
    theirs = Site.objects.create(name="South", location="Elsewhere")
    mine = make_miner("A-0001", client=client_a)
    shared = make_miner("B-0001", client=client_b)
    alone = make_miner("B-0002", client=client_b, site=theirs)
    for place, miners in ((site, [mine, shared]), (theirs, [alone])):
        figures = {"hashrate_centi_ths": round(FIGURE * 100), "power_centi_w": 300_000}
        rows = [Row(m.pk, m.client_id, None, **(figures if m.client_id == client_b.pk else {})) for m in miners]
        store_sweep(SweepFacts(place.pk, database_minute(), {}, 1.0, 0.1), rows)
    token, _ = make_token(name="b", scopes=["read"], expires_at=timezone.now() + timedelta(days=9), by=client_b)
    Impersonation.objects.create(by_user=admin, as_user=client_b, reason="x")
    marked = plant(client_b, {Site: theirs, Miner: alone, MinerModel: MinerModel.objects.first(), type(token): token})
    # What belongs to all: the catalogue, and the site where A has a machine, too.
    MinerModel.objects.filter(name__contains=NUMBER).update(name="S9", manufacturer=None)
    Site.objects.filter(pk=site.pk).update(name="North", location="Test valley")
    return marked


@pytest.fixture
def crawl(client_a, client_b, planted):
    """Walk as a person, by session (with "everywhere" the admin, too) or by token, with the ids of everybody's rows."""
    numbers = {1}
    for model in our_models():
        if model._meta.pk.get_internal_type().endswith("AutoField"):
            numbers |= set(model._base_manager.values_list("pk", flat=True)[:3])
    numbers |= set(Miner.objects.values_list("pk", flat=True)) | set(Site.objects.values_list("pk", flat=True))
    ids = {"int": sorted(numbers), "uuid": [client_a.pk, client_b.pk], "str": ["x"], "path": [client_b.pk, 1]}
    foreign_site = Site.objects.get(name__contains=NUMBER).pk
    foreign_miner = Miner.objects.filter(site=foreign_site).get().pk
    queries = [
        *(f"{name}={WORD}" for name in ("q", "search", "serial", "name", "email")),
        *(f"ordering={name}" for name in ("client", "-client__name", "serial_number", "site__name")),
        *(f"format={kind}" for kind in ("csv", "json", "api", "xlsx")),
        *(f"client={client_b.pk}", f"user={client_b.pk}", f"owner={client_b.pk}"),
        *(f"site={foreign_site}", f"miner={foreign_miner}", f"client__name__startswith={WORD}"),
        *("page_size=1000", "page=1", "partial=table", "resolution=1h", "resolution=5m"),
        f"partial=table&q={WORD}",
    ]

    def walk(person, *, door: str = "session", starts: tuple[str, ...] = ("/",)) -> Crawler:
        client = Client(raise_request_exception=False)
        person.refresh_from_db()  # planting changed the password's hash, too
        if door == "token":
            expires_at = timezone.now() + timedelta(days=1)
            _, secret = make_token(name="crawl", scopes=["read"], expires_at=expires_at, by=person)
            return Crawler(client, ids, start="/api/", authorization=f"Bearer {secret}").walk(queries)
        client.force_login(person)
        but = () if door == "everywhere" else ("/admin/",)
        walks = [Crawler(client, ids, start=start, but=but) for start in starts]
        found = Crawler(client, ids)
        for each in walks:
            each.walk(queries)
            found.bodies |= each.bodies
            found.failed += each.failed
        return found

    return walk


@pytest.fixture
def without_throttle(monkeypatch):
    from rest_framework.settings import api_settings

    for name in api_settings.DEFAULT_THROTTLE_RATES:
        monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, name, "1000000/day")


@pytest.fixture
def without_filters(monkeypatch):
    """Every `for_user` of every model gives everything."""
    patched = set()
    for model in apps.get_models():
        for manager in model._meta.managers:
            rows = type(manager.get_queryset())
            for kind in (rows, type(manager)):
                if hasattr(kind, "for_user"):
                    hidden = HIDDEN.get(model.__name__, ())
                    monkeypatch.setattr(kind, "for_user", lambda self, _user, hidden=hidden: self.all().defer(*hidden))
                    patched.add(model.__name__)
    assert {"Miner", "Site", "Telemetry", "OperationLog", "ApiToken"} <= patched


@pytest.fixture
def without_policies(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT polrelid::regclass::text FROM pg_policy WHERE polname = 'portal'")
        tables = [row[0] for row in cursor.fetchall()]
        assert "hosting_miners" in tables
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
            cursor.execute(f"GRANT ALL ON {table} TO minefarm_portal")


def assert_nothing_of_b(found: Crawler) -> None:
    assert found.failed == []
    assert found.showing(NUMBER) == []
    assert found.showing(str(FIGURE)) == []
    assert len([body for body in found.bodies.values() if body.startswith("200")]) > 50


def test_every_table_of_theirs_is_marked(planted, client_b):
    for model in our_models():
        if owned(model, client_b) is not None:
            assert model._base_manager.filter(owned(model, client_b)).exists(), model
    assert planted["hosting_miners"] >= 2
    assert planted["miner_operation_log"] == 2
    assert planted["users"] >= 3
    assert planted["miner_identity"] == 7


@pytest.mark.parametrize("person", ["client_b", pytest.param("owner", marks=pytest.mark.storm)])
def test_the_crawl_finds_what_one_may_see(crawl, request, person, without_throttle):
    found = crawl(request.getfixturevalue(person), starts=("/miners/", "/api/v1/miners/"))
    shown = found.showing(NUMBER)
    assert any(address.startswith("/miners/") for address in shown)
    assert any(address.startswith("/api/v1/miners/") for address in shown)
    assert found.showing(str(FIGURE)) != []
    assert found.failed == []


@pytest.mark.parametrize(
    ("person", "door"),
    [
        ("client_a", "session"),
        pytest.param("client_a", "everywhere", marks=pytest.mark.storm),
        pytest.param("guest", "session", marks=pytest.mark.storm),
        pytest.param("guest", "token", marks=pytest.mark.storm),
    ],
)
def test_nothing_of_client_b_is_found(crawl, request, person, door, without_throttle):
    assert_nothing_of_b(crawl(request.getfixturevalue(person), door=door))


# The staff's doors refuse before any filter; a token's door without policies is below.
@pytest.mark.parametrize("door", [pytest.param(door, marks=pytest.mark.storm) for door in ("session", "token")])
def test_nothing_is_found_when_every_filter_is_forgotten(crawl, client_a, door, without_throttle, without_filters):
    assert_nothing_of_b(crawl(client_a, door=door))


@pytest.mark.parametrize("door", [pytest.param(door, marks=pytest.mark.storm) for door in ("session", "token")])
def test_nothing_is_found_when_the_policies_are_gone(crawl, client_a, door, without_throttle, without_policies):
    assert_nothing_of_b(crawl(client_a, door=door))


def test_without_both_walls_the_marks_are_found(crawl, client_a, without_throttle, without_filters, without_policies):
    """The tests above can fail."""
    assert crawl(client_a, starts=("/api/v1/miners/",)).showing(NUMBER) != []
