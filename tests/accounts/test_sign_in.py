"""Signing in by e-mail, in the portal and in the admin."""

import pytest
from django.core.cache import cache

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def no_limits_left_over() -> None:
    cache.clear()


def sign_in(client, user, password=PASSWORD, path="/accounts/login/"):
    return client.post(path, {"login": user.email.upper(), "password": password}, follow=False)


def test_a_customer_signs_in_by_e_mail_and_lands_on_their_machines(client, client_a):
    answer = sign_in(client, client_a)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.get("/")["Location"] == "/miners/"


def test_staff_land_on_the_sites(client, operator):
    sign_in(client, operator)
    assert client.get("/")["Location"] == "/sites/"


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(client, client_a):
    wrong = sign_in(client, client_a, "wrong")
    client_a.email = "nobody@farm.example"
    unknown = sign_in(client, client_a)
    assert wrong.status_code == unknown.status_code == 200
    message = "The email address and/or password you specified are not correct."
    assert message in wrong.content.decode()
    assert message in unknown.content.decode()


def test_a_disabled_account_does_not_get_in(client, client_a):
    client_a.status = "DISABLED"
    client_a.save()
    sign_in(client, client_a)
    assert "_auth_user_id" not in client.session


def test_disabling_ends_a_running_session_at_the_next_request(client, client_a):
    client.force_login(client_a)
    assert client.get("/miners/").status_code == 200
    client_a.status = "DISABLED"
    client_a.save()
    assert client.get("/miners/")["Location"].startswith("/accounts/login/")


def test_nobody_registers_themselves(client, db):
    answer = client.post("/accounts/signup/", {"email": "x@farm.example", "password1": PASSWORD, "password2": PASSWORD})
    assert "_auth_user_id" not in client.session
    assert answer.status_code in {200, 302, 403}
    from accounts.models import User

    assert not User.objects.exists()


def test_the_admin_asks_for_the_same_sign_in_and_refuses_customers(client, client_a, owner):
    assert "/accounts/login/" in client.get("/admin/", follow=True).redirect_chain[-1][0]
    client.force_login(client_a)
    assert client.get("/admin/").status_code in {302, 403}
    assert client.get("/admin/", follow=True).status_code == 403
    client.force_login(owner)
    assert client.get("/admin/").status_code == 200


def test_guessing_is_slowed_down(client, client_a):
    answers = [sign_in(client, client_a, "wrong") for _ in range(6)]
    assert "Too many failed login attempts" in answers[-1].content.decode()


@pytest.mark.parametrize(
    "path", ["email/", "password/change/", "logout/", "password/reset/", "signup/", "reauthenticate/", "inactive/"]
)
def test_every_account_page_wears_the_farms_clothes(client, client_a, path):
    if path not in {"password/reset/", "signup/"}:
        client.force_login(client_a)
    answer = client.get(f"/accounts/{path}", follow=True)
    assert answer.status_code == 200
    assert "css/farm.css" in answer.content.decode()
    assert "farm-brand" in answer.content.decode()
