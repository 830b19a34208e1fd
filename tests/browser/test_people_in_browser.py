"""An invitation is accepted, a client is viewed as, and access is granted, by people with a browser."""

import os
from datetime import timedelta

import pytest
from django.core import mail

from accounts.invitations import invite
from accounts.models import Impersonation, User, UserAccess
from accounts.roles import Role
from minefarm.lib.clock import database_now
from tests.browser.test_in_browser import fits, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SECRET = "a fresh long secret"


def shot(page, name: str) -> None:
    """A picture to look at, when SHOTS names a folder."""
    assert fits(page), name
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/{name}-{page.viewport_size['width']}.png", full_page=True)


def test_who_is_invited_makes_an_account_and_is_in(page, owner):
    _, secret = invite("new@farm.example", Role.CLIENT, by=owner)
    page.goto(f"/invitations/{secret}/")
    shot(page, "invitation")
    page.get_by_label("Name").fill("New Client")
    page.get_by_label("Password", exact=True).fill(SECRET)
    page.get_by_label("Password again").fill(SECRET)
    page.get_by_role("button", name="Make the account").click()
    page.wait_for_url("**/miners/")
    assert User.objects.get(email="new@farm.example").name == "New Client"
    page.context.clear_cookies()
    answer = page.context.request.get(f"/invitations/{secret}/")
    assert answer.status == 410


def test_an_admin_views_as_a_client_and_stops(page, admin, client_a, miner_a, miner_b):
    sign_in(page, admin)
    page.goto(f"/view-as/{client_a.pk}/")
    shot(page, "view-as")
    page.get_by_label("Reason").fill("ticket 42")
    page.get_by_role("button", name="View as client-a").click()
    page.wait_for_url("**/miners/")
    page.get_by_text("A-0001").first.wait_for()
    assert page.get_by_text("B-0001").count() == 0
    shot(page, "viewing")
    page.goto(f"/miners/{miner_a.pk}/")
    page.get_by_role("button", name="Stop viewing").click()
    page.wait_for_url("**/sites/")
    assert Impersonation.objects.get().ended_at is not None


def test_an_owner_grants_access_and_limits_to_a_site(page, owner, guest, site):
    UserAccess.objects.create(user=guest, access_end_date=database_now() - timedelta(days=1), reason="last year")
    UserAccess.objects.create(user=guest, access_end_date=database_now() + timedelta(days=9), granted_by=owner)
    sign_in(page, owner)
    page.goto(f"/admin/accounts/user/{guest.pk}/change/")
    shot(page, "person")
    page.get_by_label("North").check()
    page.fill("[name=access_grants-2-access_end_date_0]", "2090-01-01")
    page.fill("[name=access_grants-2-access_end_date_1]", "12:00")
    page.fill("[name=access_grants-2-reason]", "audit")
    page.check("[name=access_grants-0-revoke]")
    page.click("[name=_continue]")
    page.wait_for_load_state()
    shot(page, "person-after")
    assert UserAccess.objects.filter(reason="audit", granted_by=owner).exists()
    assert guest.site_limits.get().site_id == site.pk


def test_an_owner_invites(page, owner, site):
    sign_in(page, owner)
    page.goto("/admin/accounts/invitation/add/")
    shot(page, "invite")
    page.fill("[name=email]", "new@farm.example")
    page.click("[name=_save]")
    page.wait_for_url("**/admin/accounts/invitation/")
    shot(page, "invitations")
    assert len(mail.outbox) == 1
