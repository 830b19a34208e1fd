"""The farm always has an owner: by the verbs, and by the database when somebody goes past them."""

import threading
from collections.abc import Callable

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from accounts.roles import Role
from accounts.services import LastOwner, change_role, disable_user, grant_access

PAST_EVERY_VERB = {
    "demoted": "UPDATE users SET role = 'admin' WHERE role = 'owner'",
    "disabled": "UPDATE users SET status = 'DISABLED' WHERE role = 'owner'",
    "deleted": "DELETE FROM users WHERE role = 'owner'",
}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "verb", [lambda user: change_role(user, Role.ADMIN, by=user), lambda user: disable_user(user, by=user)]
)
def test_the_last_owner_stays(owner, verb):
    with pytest.raises(LastOwner):
        verb(owner)
    owner.refresh_from_db()
    assert (owner.role, owner.status) == ("owner", "ACTIVE")


@pytest.mark.django_db
@pytest.mark.parametrize("how", PAST_EVERY_VERB)
def test_the_database_keeps_the_last_owner(owner, make_user, how):
    User.objects.filter(pk=make_user("owner", "gone").pk).update(status="DISABLED")
    with pytest.raises(IntegrityError, match="last active owner"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PAST_EVERY_VERB[how])
    owner.refresh_from_db()
    assert (owner.role, owner.status) == ("owner", "ACTIVE")


@pytest.mark.django_db
@pytest.mark.parametrize("how", PAST_EVERY_VERB)
def test_one_statement_cannot_take_all_owners_at_once(owner, make_user, how):
    make_user("owner", "second-owner")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PAST_EVERY_VERB[how])
    assert User.objects.active_owners().count() == 2


@pytest.mark.django_db
def test_an_owner_never_expires(owner, make_user, client):
    second = make_user("owner", "second-owner")
    with pytest.raises(ValidationError, match="at all times"):
        grant_access(second, by=owner)
    # A row from another time, when the person was no owner.
    second.access_grants.create(access_end_date="2020-01-01T00:00Z")
    client.force_login(second)
    assert client.get("/sites/").status_code == 200


@pytest.mark.django_db
def test_an_owner_goes_when_another_stays(owner, make_user):
    second, third = make_user("owner", "second-owner"), make_user("owner", "third-owner")
    assert change_role(owner, Role.ADMIN, by=second)
    with pytest.raises(PermissionDenied):
        change_role(second, Role.ADMIN, by=owner)
    assert set(User.objects.active_owners()) == {second, third}


def at_the_same_moment(*acts: Callable[[], object]) -> list[object]:
    """Each act in a thread with its own connection, begun together; what each returned or raised."""
    start = threading.Barrier(len(acts))
    found: list[object] = [None] * len(acts)

    def run(place: int, act: Callable[[], object]) -> None:
        start.wait()
        try:
            found[place] = act()
        except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
            found[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place, act)) for place, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    return found


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_demote_each_other_at_the_same_moment_leave_one(make_user):
    for turn in range(15):
        first, second = make_user("owner", f"first-{turn}"), make_user("owner", f"second-{turn}")
        User.objects.exclude(pk__in=[first.pk, second.pk]).delete()
        found = at_the_same_moment(
            lambda: change_role(second, Role.USER, by=first),  # noqa: B023  run within the turn
            lambda: change_role(first, Role.USER, by=second),  # noqa: B023
        )
        assert User.objects.active_owners().count() == 1
        assert sum(answer is True for answer in found) == 1
        assert sum(isinstance(answer, PermissionDenied | LastOwner) for answer in found) == 1


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_leave_at_the_same_moment_leave_one(make_user):
    """Each acts on themselves, so nobody's right is lost in between: the count alone decides."""
    first, second = make_user("owner", "first"), make_user("owner", "second")
    found = at_the_same_moment(lambda: disable_user(first, by=first), lambda: change_role(second, Role.USER, by=second))
    assert User.objects.active_owners().count() == 1
    assert sum(answer is True for answer in found) == 1
    assert sum(isinstance(answer, LastOwner) for answer in found) == 1


@pytest.mark.django_db(transaction=True)
def test_the_database_sees_through_two_open_transactions(make_user):
    """Neither has committed when the other looks: without the database's own lock both would find an owner left."""
    first, second = make_user("owner", "first"), make_user("owner", "second")
    updated, looked = threading.Event(), threading.Event()
    refused: list[IntegrityError] = []

    def leave_second() -> None:
        updated.wait(timeout=10)
        looked.set()
        try:
            User.objects.filter(pk=second.pk).update(role="user")
        except IntegrityError as error:
            refused.append(error)
        finally:
            connection.close()

    other = threading.Thread(target=leave_second)
    other.start()
    with transaction.atomic():
        User.objects.filter(pk=first.pk).update(role="user")
        updated.set()
        looked.wait(timeout=10)
        other.join(timeout=0.5)
        assert other.is_alive()  # it waits for this transaction's end
    other.join(timeout=10)
    assert len(refused) == 1
    assert list(User.objects.active_owners()) == [second]
