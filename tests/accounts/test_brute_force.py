"""Guessers are slow, and cannot keep the owner of an account out."""

import os
import statistics
import threading
import time

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client

from accounts.models import LoginRecord, Outcome
from accounts.signins import hashing
from minefarm.lib.cache import SteadyCache

pytestmark = pytest.mark.django_db
BCRYPT = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]
NETWORKS = [f"198.51.100.{n}" for n in range(50)]
WRONG = "The email address and/or password you specified are not correct."


def without_csrf(page: str) -> str:
    start = page.index('name="csrfmiddlewaretoken" value="') + 34
    return page[:start] + page[page.index('"', start) :]


def test_fifty_networks_get_few_hashes_and_the_owner_still_signs_in_from_a_known_device(hashes, owner, sign_in):
    browser = Client()
    assert sign_in(browser, owner.email, network="203.0.113.7").status_code == 302
    browser.post("/accounts/logout/")
    before = hashes.made
    with time_machine.travel(1_800_000_030, tick=False) as clock:  # in the middle of a minute of the clock
        for second in (0, 35):  # over the edge of a window, all within one minute
            clock.move_to(1_800_000_030 + second)
            for network in NETWORKS:
                assert sign_in(Client(), owner.email, "wrong", network=network).status_code in {200, 429}
        assert 0 < hashes.made - before <= 20
        assert sign_in(browser, owner.email, network="203.0.113.7").status_code == 302
        assert browser.get("/").status_code == 302
        assert browser.get("/")["Location"] == "/sites/"


def test_under_a_long_attack_three_guesses_a_minute_are_left(hashes, owner, sign_in):
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        for minute in range(2):
            clock.move_to(1_800_000_000 + 60 * minute)
            before = hashes.made
            for n in range(25):
                sign_in(Client(), owner.email, "wrong", network=f"198.51.{minute}.{n}")
        assert hashes.made - before == 3


def test_an_invented_forwarded_address_does_not_reset_the_count(settings, hashes, client, client_a, sign_in):
    settings.TRUSTED_PROXY_COUNT = 1
    before = hashes.made
    for n in range(8):
        forwarded = f"192.0.2.{n}, 198.51.100.1"
        answer = sign_in(client, client_a.email, "wrong", network="10.0.0.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert answer.status_code == 429
    assert hashes.made - before == 5
    assert set(LoginRecord.objects.values_list("ip_address", flat=True)) == {"198.51.100.1"}


def test_neighbours_in_one_ipv6_network_are_counted_together(client, client_a, sign_in):
    answers = [sign_in(client, client_a.email, "wrong", network=f"2001:db8::{n}") for n in range(1, 7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert sign_in(client, client_a.email, network="2001:db8:0:1::1").status_code == 302


def test_one_network_does_not_try_many_accounts(client, db, sign_in, hashes):
    answers = [sign_in(client, f"person-{n}@farm.example", "wrong").status_code for n in range(32)]
    assert answers == [200] * 30 + [429] * 2
    assert hashes.made == 30


def test_the_refusal_is_a_page_that_says_how_long_and_what_else_to_do(client, client_a, sign_in):
    for _ in range(6):
        answer = sign_in(client, client_a.email, "wrong")
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 900
    assert "farm-brand" in answer.text
    assert "A new password by mail" in answer.text


def test_right_passwords_do_not_use_up_tries(client_a, sign_in):
    for _ in range(8):
        assert sign_in(Client(), client_a.email).status_code == 302


def test_a_right_password_does_not_wash_away_the_failures_before_it(client_a, sign_in):
    for _ in range(4):
        sign_in(Client(), client_a.email, "wrong")
    assert sign_in(Client(), client_a.email).status_code == 302
    sign_in(Client(), client_a.email, "wrong")
    assert sign_in(Client(), client_a.email, "wrong").status_code == 429


def test_a_known_device_has_a_limit_of_its_own(hashes, client, client_a, sign_in):
    sign_in(client, client_a.email)
    client.post("/accounts/logout/")
    before = hashes.made
    answers = [sign_in(client, client_a.email, "wrong").status_code for _ in range(12)]
    assert answers == [200] * 10 + [429] * 2
    assert hashes.made - before == 10


@pytest.mark.parametrize("forged", ["", "x", "eyJpZCI6IngifQ:1abc:def", "another person's"])
def test_a_cookie_that_we_did_not_sign_for_this_person_makes_no_known_device(
    client, client_a, client_b, sign_in, forged
):
    if forged == "another person's":
        sign_in(client, client_b.email)
        client.post("/accounts/logout/")
    else:
        client.cookies["device"] = forged
    answers = [sign_in(client, client_a.email, "wrong").status_code for _ in range(6)]
    assert answers[-1] == 429


@pytest.mark.parametrize("kind", ["unknown", "wrong", "disabled", "no password"])
def test_every_refusal_costs_exactly_one_hash_and_reads_the_same(hashes, client_a, guest, sign_in, kind):
    reference = without_csrf(sign_in(Client(), "client-a@farm.example", "wrong", network="192.0.2.9").text)
    email = "client-a@farm.example"
    if kind == "unknown":
        email = "client-x@farm.example"
    elif kind == "disabled":
        client_a.status = "DISABLED"
        client_a.save()
    elif kind == "no password":
        client_a.set_unusable_password()
        client_a.save()
    before = hashes.made
    answer = sign_in(Client(), email, "wrong" if kind != "disabled" else "correct horse battery")
    assert hashes.made - before == 1
    assert answer.status_code == 200
    assert WRONG in answer.text
    assert without_csrf(answer.text).replace(email, "client-a@farm.example") == reference


@pytest.mark.parametrize(
    ("password", "hashed"),
    [("x" * 73, 1), ("é" * 80, 1), ("x" * 4096, 1), ("x" * 4097, 0), ("x" * 1_000_000, 0)],
    ids=["73 bytes", "160 bytes", "4096 bytes", "4097 bytes", "a megabyte"],
)
def test_long_passwords_are_wrong_passwords_and_no_megabyte_is_hashed(
    hashes, client, client_a, sign_in, password, hashed
):
    before = hashes.made
    answer = sign_in(client, client_a.email, password)
    assert (answer.status_code, hashes.made - before) == (200, hashed)
    assert WRONG in answer.text


def test_with_the_real_hasher_no_password_is_a_server_error(settings, client, sign_in, make_user):
    settings.PASSWORD_HASHERS = BCRYPT
    user = make_user("client", "client-a")
    for password in ("x" * 73, "a\0b"):
        assert sign_in(client, user.email, password).status_code == 200
    user.set_password("é" * 80)
    user.save()
    assert sign_in(client, user.email, "é" * 80).status_code == 302


def test_the_admin_has_no_door_of_its_own(client, operator, owner):
    answer = client.post("/admin/login/", {"username": owner.email, "password": "correct horse battery"})
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/?next=%2Fadmin%2F")
    client.force_login(operator)
    client.post("/admin/login/?next=//evil.example/", {"username": owner.email, "password": "correct horse battery"})
    assert client.session["_auth_user_id"] == str(operator.pk)


def test_hashes_wait_for_their_turn_and_give_up_with_a_page(client, client_a, sign_in, monkeypatch):
    monkeypatch.setattr(hashing, "WAIT_S", 0.05)
    held, release = threading.Barrier(hashing.AT_A_TIME + 1), threading.Event()

    def hold() -> None:
        with hashing.hashing_turn():
            held.wait()
            release.wait()

    threads = [threading.Thread(target=hold) for _ in range(hashing.AT_A_TIME)]
    for thread in threads:
        thread.start()
    held.wait()
    try:
        answer = sign_in(client, client_a.email)
        assert (answer.status_code, answer["Retry-After"]) == (429, "5")
        assert LoginRecord.objects.get().outcome == Outcome.THROTTLED
    finally:
        release.set()
        for thread in threads:
            thread.join()
    assert sign_in(client, client_a.email).status_code == 302


def test_strangers_do_not_queue_up_and_a_known_device_still_gets_its_turn(client, client_a, sign_in):
    sign_in(client, client_a.email)
    client.post("/accounts/logout/")
    seats = hashing.STRANGERS_AT_A_TIME + hashing.STRANGERS_MAY_WAIT
    for _ in range(seats):
        assert hashing._seats.acquire(blocking=False)
    try:
        started = time.monotonic()
        assert sign_in(Client(), client_a.email).status_code == 429
        assert time.monotonic() - started < 1
        assert sign_in(client, client_a.email).status_code == 302
    finally:
        hashing._seats.release(seats)
    assert sign_in(Client(), client_a.email).status_code == 302


def test_without_valkey_people_sign_in_and_guessers_are_still_counted(settings, client_a, sign_in, monkeypatch):
    monkeypatch.setattr(SteadyCache, "away_until", 0.0)
    away = {"BACKEND": "minefarm.lib.cache.SteadyCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": away}
    cache.clear()
    try:
        assert sign_in(Client(), client_a.email).status_code == 302
        answers = [sign_in(Client(), client_a.email, "wrong", network="192.0.2.1").status_code for _ in range(6)]
        assert answers == [200] * 5 + [429]
    finally:
        cache.clear()
        SteadyCache.away_until = 0.0


# Beside other tests a wall clock tells of them. CLOCK=wall on a quiet machine adds what the database takes.
CLOCK = time.perf_counter if os.environ.get("CLOCK") == "wall" else time.thread_time


def timings(sign_in, emails: list[str], rounds: int) -> list[list[float]]:
    """Seconds of a failed sign-in for each address, in turn, so that a busy machine disturbs all alike."""
    spent: list[list[float]] = [[] for _ in emails]
    for n in range(rounds):
        for email, times in zip(emails, spent, strict=True):
            cache.clear()
            started = CLOCK()
            assert sign_in(Client(), email, "wrong", network=f"192.0.2.{n % 200}").status_code == 200
            times.append(CLOCK() - started)
    return spent


@pytest.mark.storm
def test_the_time_of_an_answer_does_not_tell_whether_there_is_an_account(settings, make_user, sign_in):
    settings.PASSWORD_HASHERS = BCRYPT
    user, disabled = make_user("client", "client-a"), make_user("client", "client-b")
    disabled.status = "DISABLED"
    disabled.save()
    spent = timings(sign_in, [user.email, "nobody@farm.example", disabled.email], 20)
    medians = [statistics.median(times) for times in spent]
    print(f"medians in ms: {[round(1000 * median, 1) for median in medians]}")
    assert min(medians) > 0.05
    assert max(medians) - min(medians) < 0.05 * min(medians)
