"""One cast for every story: named by role, two customers who never see each other."""

import importlib
import importlib.util
import os
from collections.abc import Iterator

import pytest

from tests.emptying import empty_tables
from tests.template import migrated_template

# The browser group is installed by `make test-browser` only.
collect_ignore = [] if importlib.util.find_spec("playwright") else ["browser"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix) -> None:
    """Each worker's database is a copy of one that is migrated already."""
    from django.db import connection

    connection.settings_dict["TEST"]["TEMPLATE"] = migrated_template(os.environ["DATABASE_URL"])


@pytest.fixture(autouse=True)
def fast_passwords(settings) -> None:
    """bcrypt at cost 12 takes 0.3 s; the test of the real hasher asks for it by name."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True, scope="session")
def emptied_between_tests() -> Iterator[None]:
    """Tests with real transactions empty every table afterwards, those that refuse TRUNCATE too."""
    from django.test import TransactionTestCase

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_tables)
        yield


@pytest.fixture(autouse=True)
def own_state_folder(settings, tmp_path) -> None:
    """What a collector remembers on disk is one test's own."""
    settings.STATE_DIR = tmp_path / "state"


@pytest.fixture(autouse=True)
def fresh_counters() -> None:
    """What earlier tests asked of the API counts for them alone."""
    from django.core.cache import cache

    cache.clear()


@pytest.fixture(autouse=True)
def fresh_sign_in(request) -> Iterator[None]:
    """`force_login` counts as the password given at that moment, as at the form; not in tests marked `stale_sign_in`."""
    if request.node.get_closest_marker("stale_sign_in"):
        yield
        return
    from allauth.account.internal.flows.login import get_authentication_records, record_authentication
    from django.contrib.auth.signals import user_logged_in

    def prove(request, user, **_):
        if not get_authentication_records(request, user):
            record_authentication(request, user, method="password")

    user_logged_in.connect(prove, dispatch_uid="tests.fresh_sign_in")
    yield
    user_logged_in.disconnect(dispatch_uid="tests.fresh_sign_in")


@pytest.fixture
def make_user(db):
    from accounts.models import User

    def make(role: str, name: str):
        return User.objects.create_user(f"{name}@farm.example", "correct horse battery", role=role, name=name)

    return make


@pytest.fixture
def owner(make_user):
    return make_user("owner", "owner")


@pytest.fixture
def admin(make_user):
    return make_user("admin", "admin")


@pytest.fixture
def operator(make_user):
    return make_user("user", "operator")


@pytest.fixture
def guest(make_user):
    return make_user("guest", "guest")


@pytest.fixture
def client_a(make_user):
    return make_user("client", "client-a")


@pytest.fixture
def client_b(make_user):
    return make_user("client", "client-b")


@pytest.fixture
def site(db):
    from hosting.models import Site

    return Site.objects.create(name="North", location="Test valley", capacity_mw="2.5")


@pytest.fixture
def catalogue(db):
    """The model catalogue, which tests with real transactions truncate."""
    from django.apps import apps

    from hosting.models import MinerModel

    add_models = importlib.import_module("hosting.migrations.0003_model_catalogue").add_models
    add_models(apps, None)
    return MinerModel.objects.all()


@pytest.fixture
def alert_rules(db):
    """What migration 0020 adds, which tests with real transactions truncate."""
    from hosting.alerts.kinds import FIRST_RULES
    from hosting.models import AlertRule

    for kind, severity, threshold, minutes in FIRST_RULES:
        AlertRule.objects.get_or_create(
            kind=kind,
            severity=severity,
            site=None,
            miner_model=None,
            defaults={"threshold": threshold, "minutes": minutes},
        )
    return AlertRule.objects.all()


@pytest.fixture
def make_miner(site, catalogue):
    from hosting.models import Miner

    def make(serial: str, **fields):
        fields.setdefault("miner_model", catalogue.get(name="S19 Pro"))
        fields.setdefault("site", site)
        return Miner.objects.create(serial_number=serial, **fields)

    return make


@pytest.fixture
def miner_a(make_miner, client_a):
    return make_miner("A-0001", client=client_a, cgminer_ip="127.20.0.1", cgminer_enabled=True)


@pytest.fixture
def miner_b(make_miner, client_b):
    return make_miner("B-0001", client=client_b, cgminer_ip="127.20.0.2", cgminer_enabled=True)
