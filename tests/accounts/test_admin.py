"""Who reaches the admin, and who may change whom."""

import pytest
from django.contrib import admin as django_admin
from django.urls import reverse

from accounts.models import User

pytestmark = pytest.mark.django_db

USERS = "/admin/accounts/user/"
NO_GRANTS = {"access_grants-TOTAL_FORMS": "0", "access_grants-INITIAL_FORMS": "0"}


@pytest.fixture
def second_owner(make_user):
    return make_user("owner", "second-owner")


def change(client, user, **fields):
    form = {"email": user.email, "name": user.name or "", "role": user.role, "status": user.status, "role_id": ""}
    return client.post(f"{USERS}{user.pk}/change/", form | NO_GRANTS | fields)


def test_a_stranger_who_opens_the_admin_signs_in_where_everybody_does(client):
    response = client.get("/admin/", follow=True)
    assert response.redirect_chain[-1][0] == "/accounts/login/?next=%2Fadmin%2F"


@pytest.mark.parametrize("role", ["owner", "admin", "operator"])
def test_staff_reach_the_dashboard(client, role, request):
    client.force_login(request.getfixturevalue(role))
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize("role", ["client_a", "guest"])
def test_customers_and_guests_are_refused_with_a_page_that_says_so(client, role, request):
    client.force_login(request.getfixturevalue(role))
    response = client.get("/admin/", follow=True)
    assert response.status_code == 403
    assert "Your account may not do this" in response.text


def test_staff_sign_in_to_the_admin_by_e_mail(client, owner):
    response = client.post(
        "/accounts/login/?next=/admin/", {"login": "OWNER@farm.example", "password": "correct horse battery"}
    )
    assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_a_disabled_member_of_staff_is_out_at_once(client, operator):
    client.force_login(operator)
    User.objects.filter(pk=operator.pk).update(status="DISABLED")
    assert client.get("/admin/").status_code == 302


def test_groups_and_addresses_are_not_there_because_roles_and_users_say_it_all():
    registered = {model.__name__ for model in django_admin.site._registry}
    assert not registered & {"Group", "EmailAddress", "Permission"}
    assert "User" in registered


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("admin", 200), ("operator", 403)])
def test_only_owner_and_admin_see_the_users(client, role, status, request):
    client.force_login(request.getfixturevalue(role))
    assert client.get(USERS).status_code == status
    assert client.get(f"{USERS}add/").status_code == status


def test_users_are_searched_and_filtered(client, owner, client_a, client_b):
    client.force_login(owner)
    found = client.get(USERS, {"q": "client-a"}).context["cl"].queryset
    assert [user.email for user in found] == ["client-a@farm.example"]
    found = client.get(USERS, {"role__exact": "client", "status__exact": "ACTIVE"}).context["cl"].queryset
    assert [user.email for user in found] == ["client-a@farm.example", "client-b@farm.example"]


def test_an_added_customer_can_sign_in_with_the_password_that_was_typed_twice(client, admin):
    client.force_login(admin)
    response = client.post(
        f"{USERS}add/",
        {
            "email": "New.Client@Farm.Example",
            "name": "New Client",
            "role": "client",
            "status": "ACTIVE",
            "password1": "a fresh long secret",
            "password2": "a fresh long secret",
        },
    )
    assert response.status_code == 302
    client.logout()
    credentials = {"login": "new.client@farm.example", "password": "a fresh long secret"}
    assert client.post(reverse("account_login"), credentials).status_code == 302
    assert User.objects.get(email="new.client@farm.example").role == "client"


def test_two_different_passwords_add_nobody(client, admin):
    client.force_login(admin)
    response = client.post(
        f"{USERS}add/",
        {
            "email": "new@farm.example",
            "role": "client",
            "status": "ACTIVE",
            "password1": "a fresh long secret",
            "password2": "another long secret",
        },
    )
    assert response.context["adminform"].form.errors["password2"] == ["The two password fields didn’t match."]
    assert not User.objects.filter(email="new@farm.example").exists()


def test_an_address_that_has_an_account_is_refused_whatever_its_case(client, admin, client_a):
    client.force_login(admin)
    response = client.post(
        f"{USERS}add/",
        {"email": "CLIENT-A@farm.example", "role": "client", "status": "ACTIVE", "password1": "", "password2": ""},
    )
    assert "This e-mail address has an account." in str(response.context["adminform"].form.errors)
    assert User.objects.filter(email__iexact="client-a@farm.example").count() == 1


def test_an_admin_makes_nobody_an_owner(client, owner, admin, operator):
    client.force_login(admin)
    response = change(client, operator, role="owner")
    assert response.status_code == 200
    assert "owner is not one of the available choices" in str(response.context["adminform"].form.errors["role"])
    operator.refresh_from_db()
    assert operator.role == "user"


def test_an_admin_changes_no_owner_and_no_owners_password(client, owner, admin):
    client.force_login(admin)
    assert change(client, owner, name="Mallory", role="user").status_code == 403
    password = {"password1": "a fresh long secret", "password2": "a fresh long secret", "usable_password": "true"}
    assert client.post(f"{USERS}{owner.pk}/password/", password).status_code == 403
    owner.refresh_from_db()
    assert (owner.name, owner.role) == ("owner", "owner")
    assert owner.check_password("correct horse battery")


def test_an_owner_sets_another_persons_password(client, owner, client_a):
    client.force_login(owner)
    page = client.get(f"{USERS}{client_a.pk}/change/")
    assert "../password/" in page.text
    password = {
        "password1": "a fresh long secret",
        "password2": "a fresh long secret",
        "usable_password": "true",
        "set-password": "1",
    }
    assert client.post(f"{USERS}{client_a.pk}/password/", password).status_code == 302
    client_a.refresh_from_db()
    assert client_a.check_password("a fresh long secret")


@pytest.mark.parametrize("fields", [{"role": "admin"}, {"status": "DISABLED"}])
def test_the_last_active_owner_can_be_neither_demoted_nor_disabled(client, owner, fields):
    client.force_login(owner)
    response = change(client, owner, **fields)
    errors = response.context["adminform"].form.non_field_errors()
    assert errors == ["This is the last active owner: make somebody else an owner first."]
    owner.refresh_from_db()
    assert (owner.role, owner.status) == ("owner", "ACTIVE")


def test_an_owner_steps_down_while_another_is_active(client, owner, second_owner):
    client.force_login(owner)
    assert change(client, owner, role="admin").status_code == 302
    owner.refresh_from_db()
    assert owner.role == "admin"


def test_a_disabled_owner_does_not_count_as_another_owner(client, owner, second_owner):
    User.objects.filter(pk=second_owner.pk).update(status="DISABLED")
    client.force_login(owner)
    assert change(client, owner, role="admin").status_code == 200
    owner.refresh_from_db()
    assert owner.role == "owner"


def test_an_account_is_never_deleted(client, owner, client_a):
    client.force_login(owner)
    assert client.post(f"{USERS}{client_a.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(USERS, {"action": "delete_selected", "_selected_action": [str(client_a.pk)], "post": "yes"})
    assert User.objects.filter(pk=client_a.pk).exists()
