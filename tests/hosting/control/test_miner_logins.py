"""Logins of machines: the narrowest that fits is used, and a password never comes out again."""

import pytest
from django.contrib.admin.models import LogEntry
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from hosting.control import Login
from hosting.credentials import login_for
from hosting.models import Miner, MinerCredential, MinerIdentity, Site

pytestmark = pytest.mark.django_db
PAGE = "/admin/hosting/minercredential/"
SECRET = "s3cret-öf-the-farm"


@pytest.fixture
def keep():
    """Keep a login for a site, a make at it, or a machine."""

    def store(password, user="root", **scope):
        row = MinerCredential(user=user, **scope)
        row.set_password(password)
        row.full_clean(exclude=["password_sealed"])
        row.save()
        return row

    return store


@pytest.fixture
def office(client, owner):
    """A browser whose owner proved a moment ago that it is they."""
    client.post("/accounts/login/", {"login": owner.email, "password": "correct horse battery"})
    return client


def test_the_narrowest_login_wins(keep, site, make_miner, catalogue):
    own = make_miner("A-1", cgminer_ip="127.20.0.11")
    antminer = make_miner("A-2", cgminer_ip="127.20.0.12")
    whatsminer = make_miner("W-1", cgminer_ip="127.20.0.13", miner_model=catalogue.get(name="M30S++"))
    elsewhere = make_miner("A-3", site=Site.objects.create(name="South"))
    keep("of-site", site=site)
    keep("of-make", site=site, make="Antminer")
    keep("of-machine", miner=own)
    found = login_for([own.pk, antminer.pk, whatsminer.pk, elsewhere.pk])
    assert {pk: login.password for pk, login in found.items()} == {
        own.pk: "of-machine",
        antminer.pk: "of-make",
        whatsminer.pk: "of-site",
    }


def test_the_firmware_decides_before_the_maker(keep, site, make_miner):
    miner = make_miner("A-1", cgminer_ip="127.20.0.11")
    MinerIdentity.objects.create(miner=miner, make="Antminer", model="Antminer S19", firmware="VNish 1.2.6")
    keep("stock", site=site, make="Antminer")
    keep("vnish", user="admin", site=site, make="VNish")
    assert login_for([miner.pk]) == {miner.pk: Login("admin", "vnish")}


def test_the_factorys_login_is_used_only_where_that_is_allowed(settings, make_miner, catalogue):
    miner = make_miner("A-1")
    avalon = make_miner("C-1", miner_model=catalogue.filter(manufacturer="Canaan").first())
    assert login_for([miner.pk, avalon.pk]) == {}
    settings.MINEFARM_FACTORY_LOGINS = True
    assert login_for([miner.pk, avalon.pk]) == {miner.pk: Login("root", "root")}


def test_six_hundred_machines_cost_two_queries(keep, site, make_miner):
    model = make_miner("first").miner_model
    Miner.objects.bulk_create(Miner(serial_number=f"N-{n}", site=site, miner_model=model) for n in range(600))
    keep("of-site", site=site)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = login_for(Miner.objects.values_list("pk", flat=True))
    assert (len(found), len(queries)) == (601, 3)  # one of them is ours, for the ids


def test_a_password_that_no_key_opens_is_skipped_and_named_in_the_log(keep, site, miner_a, settings, caplog):
    row = keep(SECRET, site=site)
    settings.SECRET_KEY = "another key altogether, of forty characters"
    assert login_for([miner_a.pk]) == {}
    assert f"miner login {row.pk}" in caplog.text
    assert SECRET not in caplog.text


def test_the_database_holds_no_password(keep, site):
    row = keep(SECRET, site=site)
    with connection.cursor() as cursor:
        cursor.execute("SELECT miner_credentials::text FROM miner_credentials WHERE id = %s", [row.pk])
        stored = cursor.fetchone()[0]
    assert SECRET not in stored + repr(row) + str(row) + repr(row.login()) + serializers.serialize("json", [row])


@pytest.mark.parametrize("scope", [{}, {"make": "Antminer"}, {"site": 1, "miner": 1}, {"make": "Antminer", "miner": 1}])
def test_a_login_is_of_a_site_or_of_one_machine(scope, site, miner_a):
    chosen = {name: {"site": site, "miner": miner_a}.get(name, value) for name, value in scope.items()}
    row = MinerCredential(**chosen)
    row.set_password("x")
    with pytest.raises(ValidationError):
        row.full_clean(exclude=["password_sealed"])
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save()


def test_the_page_takes_a_password_keeps_it_and_never_shows_it(office, site, miner_a):
    answer = office.post(f"{PAGE}add/", {"site": site.pk, "make": "", "miner": "", "user": "root", "password": SECRET})
    assert answer.status_code == 302, answer.text
    row = MinerCredential.objects.get()
    assert row.login() == Login("root", SECRET)
    page = f"{PAGE}{row.pk}/change/"
    assert SECRET not in office.get(page).text + office.get(PAGE).text
    answer = office.post(page, {"site": site.pk, "make": "Antminer", "miner": "", "user": "admin", "password": ""})
    assert answer.status_code == 302, answer.text
    row = MinerCredential.objects.get()
    assert (row.make, row.login()) == ("Antminer", Login("admin", SECRET))
    office.post(page, {"site": site.pk, "make": "", "miner": "", "user": "admin", "password": " other "})
    assert MinerCredential.objects.get().login() == Login("admin", " other ")
    office.post(page, {"site": site.pk, "make": "", "miner": "", "user": "admin", "password": "", "no_password": "on"})
    assert MinerCredential.objects.get().login() == Login("admin", "")
    history = " ".join(LogEntry.objects.values_list("change_message", flat=True))
    assert "other" not in history
    assert SECRET not in history


def test_a_form_that_is_sent_back_does_not_repeat_the_password(office, site):
    answer = office.post(f"{PAGE}add/", {"site": "", "make": "Antminer", "user": "root", "password": SECRET})
    assert answer.status_code == 200
    assert SECRET not in answer.text
    assert "one machine and nothing else" in answer.text
    empty = office.post(f"{PAGE}add/", {"site": site.pk, "user": "root", "password": ""})
    assert "say that there is none" in empty.text
    assert not MinerCredential.objects.exists()


@pytest.mark.stale_sign_in
def test_a_stale_session_must_prove_itself_first(client, owner, site):
    client.force_login(owner)
    answer = client.post(f"{PAGE}add/", {"site": site.pk, "user": "root", "password": SECRET})
    assert (answer.status_code, "reauthenticate" in answer["Location"]) == (302, True)
    assert not MinerCredential.objects.exists()


@pytest.mark.parametrize("who", ["operator", "client_a", "guest"])
def test_nobody_below_an_admin_sees_them(client, request, who, keep, site):
    row = keep(SECRET, site=site)
    client.force_login(request.getfixturevalue(who))
    paths = (PAGE, f"{PAGE}add/", f"{PAGE}{row.pk}/change/", f"{PAGE}{row.pk}/delete/")
    assert {client.get(path).status_code for path in paths} == {403 if who == "operator" else 302}
