"""Where I am signed in, and how sessions end."""

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.models import LoginRecord, Outcome
from accounts.signins import tasks

pytestmark = pytest.mark.django_db
PAGE = "/account/security/"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1"


def is_in(client) -> bool:
    return client.get("/miners/").status_code == 200


def test_a_person_sees_their_own_sign_ins_and_sessions_and_nobody_elses(client_a, client_b, sign_in):
    laptop, phone, stranger = Client(), Client(), Client()
    sign_in(laptop, client_a.email, network="203.0.113.7")
    sign_in(phone, client_a.email, network="8.8.8.8", agent=PHONE)
    sign_in(stranger, client_b.email, network="198.51.100.77")
    sign_in(Client(), client_a.email, "wrong", network="198.51.100.9")
    page = laptop.get(
        PAGE, HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0", REMOTE_ADDR="203.0.113.7"
    )
    assert page.status_code == 200
    assert [line.device for line in page.context["sessions"]] == ["Firefox on Linux", "Safari on iPhone"]
    assert [line.is_this_one for line in page.context["sessions"]] == [True, False]
    assert [line.outcome for line in page.context["sign_ins"]] == [Outcome.BAD_PASSWORD, Outcome.OK, Outcome.OK]
    for shown in ("8.8.8.8", "United States", "198.51.100.9", "Wrong password", "this one"):
        assert shown in page.text
    assert "198.51.100.77" not in page.text


def test_one_session_is_ended(client_a, sign_in):
    laptop, phone = Client(), Client()
    sign_in(laptop, client_a.email)
    sign_in(phone, client_a.email, agent=PHONE)
    session = UserSession.objects.get(session_key=phone.session.session_key)
    answer = laptop.post(f"/account/sessions/{session.pk}/end/", follow=True)
    assert "The session of Safari on iPhone is over." in answer.text
    assert (is_in(laptop), is_in(phone)) == (True, False)


def test_all_others_are_ended(client_a, sign_in):
    browsers = [Client() for _ in range(3)]
    for browser in browsers:
        sign_in(browser, client_a.email)
    browsers[0].post("/account/sessions/end-others/")
    assert [is_in(browser) for browser in browsers] == [True, False, False]


def test_somebody_elses_session_is_not_there(client_a, client_b, sign_in):
    mine, theirs = Client(), Client()
    sign_in(mine, client_a.email)
    sign_in(theirs, client_b.email)
    session = UserSession.objects.get(user=client_b)
    assert mine.post(f"/account/sessions/{session.pk}/end/").status_code == 404
    assert mine.get(f"/account/sessions/{session.pk}/end/").status_code == 405
    mine.post("/account/sessions/end-others/")
    assert is_in(theirs)


def test_a_session_key_is_new_after_signing_in_so_none_can_be_planted(client, client_a, sign_in):
    client.get("/accounts/login/")
    session = client.session
    session["x"] = 1
    session.save()
    planted = session.session_key
    client.cookies["sessionid"] = planted
    sign_in(client, client_a.email)
    assert client.session.session_key != planted
    assert planted not in UserSession.objects.values_list("session_key", flat=True)


@pytest.mark.parametrize(("role", "idle_s", "whole_s"), [("operator", 1800, 43_200), ("client_a", 28_800, 604_800)])
def test_a_session_ends_when_idle_and_when_old(request, sign_in, role, idle_s, whole_s):
    user = request.getfixturevalue(role)
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        idle, busy = Client(), Client()
        for browser in (idle, busy):
            sign_in(browser, user.email)
        clock.shift(idle_s - 1)
        assert is_in(idle)
        clock.shift(idle_s - 1)  # the click before counted
        assert is_in(idle)
        clock.shift(idle_s + 1)
        assert not is_in(idle)
        assert UserSession.objects.count() == 1  # the one that no click has ended yet
        began = 1_800_000_000
        clock.move_to(began)
        sign_in(busy, user.email)
        for moment in range(began, began + whole_s, idle_s - 60):
            clock.move_to(moment)
            assert is_in(busy)
        clock.move_to(began + whole_s + 1)
        assert not is_in(busy)


def test_a_page_that_refreshes_itself_is_no_sign_of_life(operator, sign_in):
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        browser = Client()
        sign_in(browser, operator.email)
        for _ in range(29):
            clock.shift(60)
            assert browser.get("/sites/", HTTP_HX_REQUEST="true").status_code == 200
            assert browser.get("/sites/", HTTP_SEC_FETCH_DEST="empty").status_code == 200
        clock.shift(61)
        assert browser.get("/sites/", HTTP_HX_REQUEST="true").status_code == 302


def test_sessions_that_are_over_are_neither_shown_nor_kept(operator, sign_in):
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        forgotten, here = Client(), Client()
        sign_in(forgotten, operator.email)
        clock.shift(3600)
        sign_in(here, operator.email)
        assert [line.is_this_one for line in here.get(PAGE).context["sessions"]] == [True]
        assert UserSession.objects.count() == 2
        clock.shift(8 * 86_400)
        tasks.clear_old_sessions()
        assert UserSession.objects.count() == 0
        assert Session.objects.count() == 0


def test_last_seen_is_written_at_most_once_a_minute(operator, sign_in, django_assert_num_queries):
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        browser = Client()
        sign_in(browser, operator.email)
        clock.shift(59)
        with django_assert_num_queries(2):  # session, user
            browser.get("/")
        clock.shift(2)
        browser.get("/")
        assert UserSession.objects.get().last_seen_at.timestamp() == 1_800_000_061


def test_pages_of_signed_in_people_stay_out_of_caches(client, client_a):
    client.force_login(client_a)
    for path in ("/miners/", PAGE, "/api/v1/miners/", "/accounts/password/change/"):
        assert "no-store" in client.get(path)["Cache-Control"], path


def test_staff_see_and_end_sessions_of_others_in_the_admin(client, owner, operator, client_a, sign_in):
    theirs = Client()
    sign_in(theirs, client_a.email, agent=PHONE)
    client.force_login(owner)
    page = client.get("/admin/usersessions/usersession/")
    assert "Safari on iPhone" in page.text
    session = UserSession.objects.get(user=client_a)
    form = {"action": "end_sessions", "_selected_action": [session.pk]}
    client.force_login(operator)
    assert client.post("/admin/usersessions/usersession/", form).status_code == 403
    assert is_in(theirs)
    client.force_login(owner)
    client.post("/admin/usersessions/usersession/", form)
    assert not is_in(theirs)


def test_the_addresses_page_of_the_library_is_not_offered(client, client_a):
    client.force_login(client_a)
    assert client.get("/accounts/email/")["Location"] == PAGE
    client.post("/accounts/email/", {"action_add": "", "email": "second@farm.example"})
    client.logout()
    assert LoginRecord.objects.filter(email="second@farm.example").count() == 0
    from allauth.account.models import EmailAddress

    assert not EmailAddress.objects.filter(email="second@farm.example").exists()
