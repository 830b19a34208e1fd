import pytest
from django.contrib.auth.hashers import check_password
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.roles import Role, allows

pytestmark = pytest.mark.django_db


def test_one_address_has_one_account_whatever_its_capitals():
    User.objects.create_user("Client@Farm.example", "correct horse battery")
    assert User.objects.get().email == "client@farm.example"
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.bulk_create([User(email="CLIENT@farm.example")])


def test_passwords_are_bcrypt_of_cost_12_in_the_specified_column(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]
    long_password = "é" * 80 + "\0tail"
    user = User.objects.create_user("client@farm.example", long_password)
    assert user.password.startswith("bcrypt_sha256$$2b$12$")
    assert check_password(long_password, user.password)
    assert not check_password(long_password[:72], user.password)
    assert User._meta.get_field("password").column == "password_hash"


def test_a_role_or_status_that_is_not_known_is_refused_by_the_database(client_a):
    for change in ({"role": "root"}, {"status": "SLEEPING"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.filter(pk=client_a.pk).update(**change)


def test_staff_roles_reach_the_admin_and_customers_do_not(owner, admin, operator, client_a, guest):
    assert [user.is_staff for user in (owner, admin, operator, client_a, guest)] == [True, True, True, False, False]


def test_permissions_come_from_the_role_table(owner, operator, client_a):
    assert owner.has_perm("accounts.change_user")
    assert not owner.has_perm("accounts.delete_user")
    assert operator.has_perm("hosting.change_miner")
    assert not operator.has_perm("hosting.delete_miner")
    assert not operator.has_perm("accounts.view_user")
    assert client_a.has_perm("hosting.view_miner")
    assert not client_a.has_perm("hosting.change_miner")
    assert not allows("nobody", "miner", "view")


def test_a_disabled_owner_may_do_nothing(owner):
    owner.status = "DISABLED"
    assert not owner.is_active
    assert not owner.has_perm("hosting.view_site")


def test_createsuperuser_makes_an_owner():
    user = User.objects.create_superuser("boss@farm.example", "correct horse battery")
    assert (user.role, user.is_superuser) == (Role.OWNER, True)
