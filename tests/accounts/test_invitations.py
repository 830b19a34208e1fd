"""Invitations: one link, one account, 72 hours."""

import io
import json
import re
import threading
from contextlib import redirect_stdout
from datetime import timedelta

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.models import F
from django.test import Client

from accounts.invitations import InvitationGone, accept_invitation, invite, renew_invitation, revoke_invitation
from accounts.models import Invitation, SiteLimit, User, UserAccess
from accounts.roles import Role
from minefarm.lib.clock import database_now

pytestmark = pytest.mark.django_db
NEW = "new.client@farm.example"
SECRET = "a fresh long secret"
FORM = {"name": "New Client", "password1": SECRET, "password2": SECRET}


@pytest.fixture
def invited(owner):
    """An invitation and the path of its link."""
    invitation, secret = invite(NEW, Role.CLIENT, by=owner)
    return invitation, f"/invitations/{secret}/"


def test_who_opens_the_link_chooses_a_password_and_is_in(client, invited):
    invitation, path = invited
    page = client.get(path)
    assert page.status_code == 200
    assert NEW in page.text
    answer = client.post(path, FORM | {"email": "mallory@farm.example", "role": "owner"})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.get("/")["Location"] == "/miners/"
    user = User.objects.get(email=NEW)
    assert (user.role, user.name, user.check_password(SECRET)) == ("client", "New Client", True)
    invitation.refresh_from_db()
    assert (invitation.accepted_by, invitation.state) == (user, "accepted")


def test_a_link_is_good_once(client, invited):
    client.post(invited[1], FORM)
    again = Client().post(invited[1], FORM)
    assert again.status_code == 410
    assert "of no use any more" in again.text
    assert User.objects.filter(email=NEW).count() == 1


def spoil_expired(invitation, owner):
    Invitation.objects.filter(pk=invitation.pk).update(expires_at=F("created_at"))


def spoil_revoked(invitation, owner):
    assert revoke_invitation(invitation, by=owner)


def spoil_inviter_disabled(invitation, owner):
    User.objects.filter(pk=invitation.invited_by_id).update(status="DISABLED")


def spoil_inviter_demoted(invitation, owner):
    User.objects.filter(pk=invitation.invited_by_id).update(role="client")


def spoil_renewed(invitation, owner):
    renew_invitation(invitation, by=owner)


@pytest.mark.parametrize(
    "spoil", [spoil_expired, spoil_revoked, spoil_inviter_disabled, spoil_inviter_demoted, spoil_renewed]
)
def test_a_link_that_is_of_no_use_any_more_says_the_same_whatever_the_reason(client, owner, admin, spoil):
    invitation, secret = invite(NEW, Role.CLIENT, by=admin)
    assert client.get(f"/invitations/{secret}/").status_code == 200
    spoil(invitation, owner)
    unknown = client.get("/invitations/never-made/")
    for answer in (client.get(f"/invitations/{secret}/"), client.post(f"/invitations/{secret}/", FORM)):
        assert answer.status_code == unknown.status_code == 410
        assert answer.text == unknown.text
    with pytest.raises(InvitationGone):
        accept_invitation(secret, name="x", password=SECRET)
    assert not User.objects.filter(email=NEW).exists()


def test_it_lasts_72_hours_and_a_new_link_lasts_as_long_again(owner, invited):
    invitation, _ = invited
    assert abs(invitation.expires_at - database_now() - timedelta(hours=72)) < timedelta(minutes=1)
    spoil_expired(invitation, owner)
    secret = renew_invitation(invitation, by=owner)
    assert accept_invitation(secret, name="x", password=SECRET).email == NEW


def test_the_secret_is_nowhere_in_the_database(owner):
    _, secret = invite(NEW, Role.CLIENT, by=owner)
    row = Invitation.objects.values().get()
    assert secret not in str(row)
    assert re.fullmatch("[0-9a-f]{64}", row["token_sha256"])


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"password2": "another long secret"}, "The two passwords differ."),
        ({"password1": "short", "password2": "short"}, "at least 10 characters"),
        ({"password1": "1234567890123", "password2": "1234567890123"}, "entirely numeric"),
        ({"name": ""}, "This field is required."),
    ],
)
def test_a_password_that_is_none_makes_no_account_and_spends_no_link(client, invited, fields, error):
    answer = client.post(invited[1], FORM | fields)
    assert answer.status_code == 200
    assert error in answer.text
    assert not User.objects.filter(email=NEW).exists()
    assert client.post(invited[1], FORM).status_code == 302


def test_role_sites_and_time_are_those_of_the_invitation(owner, site):
    end = database_now() + timedelta(days=3)
    _, secret = invite("auditor@farm.example", Role.GUEST, site_ids=[site.pk], end=end, by=owner)
    user = accept_invitation(secret, name="Auditor", password=SECRET)
    assert user.role == "guest"
    assert list(SiteLimit.objects.values_list("user", "site_id")) == [(user.pk, site.pk)]
    given = UserAccess.objects.get()
    assert (given.user, given.access_end_date, given.granted_by) == (user, end, owner)


def test_an_account_whose_access_begins_later_is_made_but_not_signed_in(client, owner):
    _, secret = invite(NEW, Role.CLIENT, start=database_now() + timedelta(days=1), by=owner)
    client.post(f"/invitations/{secret}/", FORM)
    assert User.objects.filter(email=NEW).exists()
    assert "_auth_user_id" not in client.session


def test_nobody_invites_above_themselves(owner, admin, operator, client_a):
    for role, by in ((Role.OWNER, admin), (Role.CLIENT, operator), (Role.GUEST, client_a)):
        with pytest.raises(PermissionDenied):
            invite(NEW, role, by=by)
    assert not Invitation.objects.exists()
    assert invite(NEW, Role.ADMIN, by=admin)[0].role == "admin"
    assert invite(NEW, Role.OWNER, by=owner)[0].role == "owner"


def test_an_admin_neither_repeats_nor_takes_back_an_owners_invitation(owner, admin):
    invitation, _ = invite(NEW, Role.OWNER, by=owner)
    for verb in (renew_invitation, revoke_invitation):
        with pytest.raises(PermissionDenied):
            verb(invitation, by=admin)
    assert Invitation.objects.get().state == "open"


def test_what_cannot_become_an_account_is_refused(owner, client_a, site):
    past = database_now() - timedelta(days=1)
    for asked in (
        {"email": "Client-A@farm.example"},
        {"role": Role.CLIENT, "site_ids": [site.pk]},
        {"role": Role.GUEST, "site_ids": [site.pk + 1]},
        {"end": past},
        {"email": "no address"},
        {"role": Role.OWNER, "end": database_now() + timedelta(days=1)},
    ):
        with pytest.raises(ValidationError):
            invite(**({"email": NEW, "role": Role.CLIENT, "by": owner} | asked))
    assert not Invitation.objects.exists()


def test_inviting_again_leaves_one_good_link(owner):
    _, first = invite(NEW, Role.CLIENT, by=owner)
    _, second = invite(NEW.upper(), Role.USER, by=owner)
    with pytest.raises(InvitationGone):
        accept_invitation(first, name="x", password=SECRET)
    assert accept_invitation(second, name="x", password=SECRET).role == "user"


def test_an_account_that_was_made_in_the_meantime_stays_as_it_is(owner, make_user):
    _, secret = invite("late@farm.example", Role.ADMIN, by=owner)
    make_user("client", "late")
    with pytest.raises(InvitationGone):
        accept_invitation(secret, name="x", password=SECRET)
    assert User.objects.get(email="late@farm.example").role == "client"
    assert Invitation.objects.get().accepted_at is None


@pytest.mark.django_db(transaction=True)
def test_two_who_use_one_link_at_the_same_moment_make_one_account(owner):
    _, secret = invite(NEW, Role.CLIENT, by=owner)
    start, made, gone = threading.Barrier(6), [], []

    def use(number: int) -> None:
        start.wait()
        try:
            made.append(accept_invitation(secret, name=str(number), password=SECRET))
        except InvitationGone as error:
            gone.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert (len(made), len(gone)) == (1, 5)
    assert User.objects.filter(email=NEW).count() == 1


# --- the ways to invite -------------------------------------------------------------------------------------------------


def link_in(letter) -> str:
    return re.search(r"http\S+(/invitations/\S+/)", letter.body)[1]


def test_an_admin_invites_in_the_admin_and_the_mail_has_the_link(client, admin, site):
    client.force_login(admin)
    form = {"email": NEW, "role": "guest", "site_ids": [site.pk]}
    assert client.post("/admin/accounts/invitation/add/", form, follow=True).status_code == 200
    (letter,) = mail.outbox
    assert letter.to == [NEW]
    assert Client().get(link_in(letter)).status_code == 200
    invitation = Invitation.objects.get()
    assert (invitation.role, invitation.site_ids, invitation.invited_by) == ("guest", [site.pk], admin)


def test_the_admin_form_says_what_is_wrong(client, admin, client_a):
    client.force_login(admin)
    for form, error in (
        ({"email": client_a.email, "role": "client"}, "This e-mail address has an account."),
        ({"email": NEW, "role": "owner"}, "owner is not one of the available choices"),
    ):
        assert error in client.post("/admin/accounts/invitation/add/", form).text
    assert not Invitation.objects.exists()
    assert mail.outbox == []


def test_invitations_are_sent_again_and_taken_back_in_the_admin(client, owner, invited):
    client.force_login(owner)
    chosen = {"_selected_action": [invited[0].pk]}
    client.post("/admin/accounts/invitation/", chosen | {"action": "send_again"})
    (letter,) = mail.outbox
    assert client.get(invited[1]).status_code == 410
    assert Client().get(link_in(letter)).status_code == 200
    client.post("/admin/accounts/invitation/", chosen | {"action": "take_back"})
    assert Client().get(link_in(letter)).status_code == 410
    client.post("/admin/accounts/invitation/", chosen | {"action": "send_again"})
    assert len(mail.outbox) == 1


def test_operators_and_customers_do_not_see_invitations(client, operator, client_a, invited):
    for user in (operator, client_a):
        client.force_login(user)
        assert client.get("/admin/accounts/invitation/", follow=True).status_code == 403


def test_a_mail_server_that_does_not_answer_loses_no_invitation(client, settings, owner):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    client.force_login(owner)
    page = client.post("/admin/accounts/invitation/add/", {"email": NEW, "role": "client"}, follow=True)
    assert "could not be sent" in page.text
    assert Invitation.objects.get().state == "open"


def test_the_command_prints_the_link_once_and_mails_it_unless_told_not_to(owner, site):
    out = io.StringIO()
    call_command("invite_user", NEW, "--role", "client", "--as", owner.email, stdout=out)
    (letter,) = mail.outbox
    assert link_in(letter) in out.getvalue()
    printed = io.StringIO()
    call_command("invite_user", NEW, "--no-mail", "--json", "--as", owner.email, stdout=printed)
    document = json.loads(printed.getvalue())
    assert Client().get(document["link"].removeprefix("http://localhost:8000")).status_code == 200
    assert len(mail.outbox) == 1


def test_the_command_refuses_with_a_reason(settings, owner, admin, operator):
    for arguments, reason in (
        (("--as", operator.email), "may not user:invite"),
        (("--role", "owner", "--as", admin.email), "may not invite owners"),
        (("--site", "77", "--role", "guest", "--as", owner.email), "no such site"),
    ):
        with pytest.raises(CommandError, match=reason):
            call_command("invite_user", NEW, *arguments)
    settings.PUBLIC_URL = ""
    with pytest.raises(CommandError, match="PUBLIC_URL"):
        call_command("invite_user", NEW, "--as", owner.email)
    assert not Invitation.objects.exists()


def test_a_mail_on_the_console_stays_out_of_the_json(settings, owner):
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    out = io.StringIO()
    with redirect_stdout(out):
        call_command("invite_user", NEW, "--json", "--as", owner.email, stdout=out)
    assert json.loads(out.getvalue())["email"] == NEW
