"""The second factor at the door: codes good once, recovery codes, who must have one, and what is stored."""

import json

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import LoginRecord, Outcome
from minefarm.lib.sealing import unseal

pytestmark = pytest.mark.django_db
CODE_PAGE = "/accounts/2fa/authenticate/"
SETUP = "/accounts/2fa/totp/activate/"


def outcomes() -> list[str]:
    return list(LoginRecord.objects.order_by("id").values_list("outcome", flat=True))


def is_in(client) -> bool:
    return "_auth_user_id" in client.session


def test_the_password_alone_does_not_open_an_account_with_a_second_factor(client, owner, sign_in, totp):
    totp.set_up_for(owner)
    answer = sign_in(client, owner.email)
    assert (answer.status_code, answer["Location"]) == (302, CODE_PAGE)
    assert not is_in(client)
    assert client.get("/sites/").status_code == 302
    assert outcomes() == [Outcome.SECOND_FACTOR_ASKED]
    assert client.post(CODE_PAGE, {"code": totp.code()}).status_code == 302
    assert is_in(client)
    assert outcomes() == [Outcome.SECOND_FACTOR_ASKED, Outcome.OK]


def test_a_code_works_once(owner, sign_in, totp):
    totp.set_up_for(owner)
    code = totp.code()
    first, second = Client(), Client()
    for browser in (first, second):
        sign_in(browser, owner.email)
    assert first.post(CODE_PAGE, {"code": code}).status_code == 302
    for written in (code, f" {code[:3]} {code[3:]} "):
        assert "Incorrect code" in second.post(CODE_PAGE, {"code": written}).text
    assert (is_in(first), is_in(second)) == (True, False)
    assert outcomes()[-1] == Outcome.SECOND_FACTOR_FAILED


@pytest.mark.parametrize(("steps", "taken"), [(-2, False), (-1, True), (1, True), (3, False)])
def test_a_phone_may_be_half_a_minute_off(client, owner, sign_in, totp, steps, taken):
    totp.set_up_for(owner)
    with time_machine.travel(1_800_000_010, tick=False):
        sign_in(client, owner.email)
        client.post(CODE_PAGE, {"code": totp.code(steps)})
        assert is_in(client) == taken


def test_codes_are_not_guessed(client, owner, sign_in, totp):
    totp.set_up_for(owner)
    sign_in(client, owner.email)
    for _ in range(5):
        assert "Incorrect code" in client.post(CODE_PAGE, {"code": "000000"}).text
    assert "Too many" in client.post(CODE_PAGE, {"code": totp.code()}).text
    assert not is_in(client)
    assert outcomes()[1:] == [Outcome.SECOND_FACTOR_FAILED] * 5 + [Outcome.SECOND_FACTOR_THROTTLED]


def test_a_recovery_code_opens_once(owner, sign_in, totp):
    code = totp.set_up_for(owner).recovery_codes[0]
    first, second = Client(), Client()
    for browser in (first, second):
        sign_in(browser, owner.email)
        browser.post(CODE_PAGE, {"code": code})
    assert (is_in(first), is_in(second)) == (True, False)


def test_the_code_page_is_closed_to_who_gave_no_password(client, owner, totp):
    totp.set_up_for(owner)
    assert client.get(CODE_PAGE)["Location"] == "/accounts/login/"
    client.post(CODE_PAGE, {"code": totp.code()})
    assert not is_in(client)


def test_an_account_disabled_between_password_and_code_stays_closed(client, owner, make_user, sign_in, totp):
    make_user("owner", "second-owner")
    totp.set_up_for(owner)
    sign_in(client, owner.email)
    owner.status = "DISABLED"
    owner.save()
    client.post(CODE_PAGE, {"code": totp.code()})
    assert client.get("/sites/").status_code == 302


def test_seeds_and_recovery_codes_are_sealed_at_rest(owner, totp):
    totp.set_up_for(owner)
    stored = {factor.type: factor.data for factor in Authenticator.objects.filter(user=owner)}
    assert totp.secret not in json.dumps(stored)
    assert unseal(stored["totp"]["secret"], purpose="second-factor") == totp.secret
    assert not any(code in json.dumps(stored) for code in totp.recovery_codes)


@pytest.mark.django_db(transaction=True)  # sessions end when it is committed
def test_setting_it_up_asks_for_a_code_shows_recovery_codes_once_and_ends_sessions_without(
    client_a, sign_in, totp, mails_at_once
):
    browser, other = Client(), Client()
    for each in (browser, other):
        sign_in(each, client_a.email)
    page = browser.get(SETUP)
    totp.secret = page.context["form"].secret
    assert "data:image/svg+xml;base64," in page.text
    assert totp.secret in page.text
    assert "Incorrect code" in browser.post(SETUP, {"code": "000000"}).text
    assert Authenticator.objects.count() == 0
    code = totp.code()
    answer = browser.post(SETUP, {"code": code}, follow=True)
    codes = answer.context["unused_codes"]
    assert len(codes) == 10
    assert all(shown in answer.text for shown in codes)
    assert not any(shown in browser.get("/accounts/2fa/recovery-codes/").text for shown in codes)
    assert (is_in(browser), is_in(other)) == (True, False)
    assert [mail.subject for mail in mails_at_once] == ["MineFarm: a second factor was added to your account"]
    # The code that set it up is used up.
    sign_in(other, client_a.email)
    assert "Incorrect code" in other.post(CODE_PAGE, {"code": code}).text
    other.post(CODE_PAGE, {"code": codes[3]})
    assert is_in(other)


@pytest.mark.parametrize("role", ["owner", "admin"])
@pytest.mark.parametrize("path", ["/", "/sites/", "/admin/", "/account/security/", "/accounts/password/change/"])
def test_owner_and_admin_set_one_up_before_anything_else(client, request, settings, role, path):
    settings.REQUIRE_SECOND_FACTOR = True
    client.force_login(request.getfixturevalue(role))
    answer = client.get(path)
    assert (answer.status_code, answer["Location"]) == (302, SETUP)


@pytest.mark.django_db(transaction=True)
def test_an_admin_signs_in_sets_it_up_and_goes_on(client, settings, make_user, sign_in, totp):
    settings.REQUIRE_SECOND_FACTOR = True
    admin = make_user("admin", "admin")
    sign_in(client, admin.email)
    page = client.get("/sites/", follow=True)
    assert page.redirect_chain == [(SETUP, 302)]
    assert "Owners and admins need one" in page.text
    totp.secret = page.context["form"].secret
    assert client.post(SETUP, {"code": totp.code()})["Location"] == "/accounts/2fa/recovery-codes/"
    assert client.get("/sites/").status_code == 200


def test_until_then_the_api_says_what_is_missing_and_signing_out_works(client, owner, settings):
    settings.REQUIRE_SECOND_FACTOR = True
    client.force_login(owner)
    answer = client.get("/api/v1/miners/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "second_factor_required")
    client.post("/accounts/logout/")
    assert not is_in(client)


def test_with_it_everything_opens_and_it_cannot_be_switched_off(client, owner, settings, sign_in, totp):
    settings.REQUIRE_SECOND_FACTOR = True
    totp.set_up_for(owner)
    sign_in(client, owner.email)
    client.post(CODE_PAGE, {"code": totp.code()})
    assert client.get("/sites/").status_code == 200
    assert "Your role needs a second factor" in client.get("/accounts/2fa/totp/deactivate/").text
    client.post("/accounts/2fa/totp/deactivate/")
    assert Authenticator.objects.filter(user=owner, type="totp").exists()


@pytest.mark.parametrize("role", ["operator", "client_a", "guest"])
def test_others_may_have_one_and_may_remove_it(client, request, settings, sign_in, totp, role, mails_at_once):
    settings.REQUIRE_SECOND_FACTOR = True
    user = request.getfixturevalue(role)
    sign_in(client, user.email)
    assert client.get("/miners/").status_code == 200
    totp.set_up_for(user)
    assert client.post("/accounts/2fa/totp/deactivate/").status_code == 302
    assert not Authenticator.objects.filter(user=user).exists()


def test_a_lost_device_is_reset_on_the_host(owner, sign_in, totp, capsys):
    totp.set_up_for(owner)
    browser = Client()
    sign_in(browser, owner.email)
    browser.post(CODE_PAGE, {"code": totp.code()})
    call_command("reset_second_factor", "OWNER@farm.example", "--json")
    assert json.loads(capsys.readouterr().out) == {
        "email": "owner@farm.example",
        "had_second_factor": True,
        "ended_sessions": 1,
    }
    assert not is_in(browser)
    assert not UserSession.objects.exists()
    assert sign_in(Client(), owner.email)["Location"] == "/"
    with pytest.raises(CommandError, match="No account has the address"):
        call_command("reset_second_factor", "nobody@farm.example")


@pytest.mark.parametrize(
    "path",
    [
        "totp/activate/",
        "recovery-codes/generate/",
        "recovery-codes/",
        "totp/deactivate/",
        "reauthenticate/",
    ],
)
def test_every_page_of_it_wears_the_farms_clothes(client, client_a, sign_in, totp, path):
    sign_in(client, client_a.email)
    if path != "totp/activate/":
        totp.set_up_for(client_a)
    page = client.get(f"/accounts/2fa/{path}")
    assert page.status_code == 200
    assert "farm-brand" in page.text
    assert "css/farm.css" in page.text
    assert "style=" not in page.text
