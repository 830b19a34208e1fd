"""API tokens: made once, shown once, and refused the moment something is wrong with them."""

import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from knox.crypto import hash_token

from accounts.models import ApiToken, UserStatus
from accounts.models.people import User
from accounts.tokens import MOST_TOKENS, make_token, revoke_token
from hosting.models import Miner

pytestmark = pytest.mark.django_db
MINERS = "/api/v1/miners/"


def make(user, *scopes: str, days: float = 30, addresses=()) -> tuple[ApiToken, str]:
    return make_token(
        name="test",
        scopes=scopes or ["read"],
        expires_at=timezone.now() + timedelta(days=days),
        addresses=addresses,
        by=user,
    )


def ask(secret: str, path: str = MINERS, method: str = "get", body=None, **extra):
    return getattr(Client(**extra), method)(
        path, body, content_type="application/json", headers={"authorization": f"Bearer {secret}"}
    )


def refusal(answer) -> str:
    error = answer.json()["error"]
    assert error["code"] == "authentication_failed"
    assert answer["WWW-Authenticate"] == 'Bearer realm="MineFarm API"'
    return error["message"]


# --- making -------------------------------------------------------------------------------------------------------------


def test_only_the_digest_is_kept(client_a):
    token, secret = make(client_a)
    assert re.fullmatch(r"mf_[0-9a-f]{64}", secret)
    assert token.token_key == secret[:15]
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM api_tokens t")
        ((stored,),) = cursor.fetchall()
    assert secret not in stored
    assert secret[15:] not in stored
    assert hash_token(secret) in stored
    assert len(token.digest) == 128


@pytest.mark.parametrize("days", [0, -1, 365.01])
def test_a_token_expires_within_a_year(client_a, days):
    with pytest.raises(ValidationError, match="within the next 365 days"):
        make(client_a, days=days)
    assert ApiToken.objects.count() == 0


@pytest.mark.parametrize("scopes", [["approve"], ["read", "curtail:approve"], ["admin"]])
def test_no_scope_approves(owner, scopes):
    with pytest.raises(ValidationError, match="Choose one or more of read, write"):
        make(owner, *scopes)


def test_networks_are_kept_in_one_spelling(client_a):
    token, _ = make(client_a, addresses=["192.0.2.7", "198.51.100.9/24", "2001:db8::1/64"])
    assert token.addresses == ["192.0.2.7/32", "198.51.100.0/24", "2001:db8::/64"]
    with pytest.raises(ValidationError, match="is no address or network"):
        make(client_a, addresses=["example.com"])


def test_a_person_has_so_many_tokens_and_may_make_room(client_a):
    first, _ = make(client_a)
    for _ in range(MOST_TOKENS - 1):
        make(client_a)
    with pytest.raises(ValidationError, match="revoke one"):
        make(client_a)
    assert revoke_token(first, by=client_a) is True
    assert revoke_token(first, by=client_a) is False
    make(client_a)


# --- using --------------------------------------------------------------------------------------------------------------


def test_a_token_shows_what_its_owner_may_see(client_a, miner_a, miner_b):
    _, secret = make(client_a)
    answer = ask(secret)
    assert [row["serial_number"] for row in answer.json()["results"]] == ["A-0001"]
    assert ask(secret, f"{MINERS}{miner_b.pk}/").status_code == 404


def test_a_token_wins_over_a_session_of_somebody_else(client, operator, client_b, miner_a, miner_b):
    _, secret = make(client_b)
    client.force_login(operator)
    answer = client.get(MINERS, headers={"authorization": f"Bearer {secret}"})
    assert [row["serial_number"] for row in answer.json()["results"]] == ["B-0001"]


def test_scope_and_role_must_both_allow(operator, client_a, miner_a):
    change = {"serial_number": "A-0002"}
    path = f"{MINERS}{miner_a.pk}/"
    _, reading = make(operator, "read")
    _, writing = make(operator, "write")
    _, clients = make(client_a, "read", "write")
    answer = ask(reading, path, "patch", change)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")
    assert "no scope write" in answer.json()["error"]["message"]
    assert "no scope read" in ask(writing).json()["error"]["message"]
    assert ask(clients, path, "patch", change).status_code == 403
    assert Miner.objects.get().serial_number == "A-0001"
    assert ask(writing, path, "patch", change).status_code == 200
    assert Miner.objects.get().serial_number == "A-0002"


def test_a_token_needs_no_csrf_token(operator, miner_a):
    _, secret = make(operator, "write")
    door = Client(enforce_csrf_checks=True)
    answer = door.patch(
        f"{MINERS}{miner_a.pk}/",
        {"serial_number": "A-3"},
        content_type="application/json",
        headers={"authorization": f"Bearer {secret}"},
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer mf_",
        "Bearer mf_" + "0" * 64,
        "Bearer mf_ mf_",
        "bearer " + "x" * 5000,
        "Bearer mf_\u00e9\u00e9",
        "Bearer mf_%00",
    ],
)
def test_what_is_no_token_is_refused(header):
    answer = Client().get(MINERS, headers={"authorization": header.encode().decode("latin-1")})
    assert answer.status_code == 401
    assert "not one of ours" in refusal(answer)


def test_a_token_with_one_wrong_letter_is_refused(client_a):
    _, secret = make(client_a)
    wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    assert ask(secret).status_code == 200
    assert "not one of ours" in refusal(ask(wrong))


def test_revoked_and_expired_tokens_are_refused(client_a):
    token, secret = make(client_a)
    revoke_token(token, by=client_a)
    assert refusal(ask(secret)) == "This token is revoked: make another one under API tokens."
    other, secret = make(client_a)
    ApiToken.objects.filter(pk=other.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    assert refusal(ask(secret)) == "This token is expired: make another one under API tokens."


def test_tokens_of_a_disabled_person_stop_at_once(client_a):
    _, secret = make(client_a)
    assert ask(secret).status_code == 200
    client_a.status = UserStatus.DISABLED
    client_a.save()
    assert "no access" in refusal(ask(secret))


def test_tokens_end_with_the_access(client_a, monkeypatch):
    _, secret = make(client_a)
    monkeypatch.setattr(User, "has_access", property(lambda user: user.email != client_a.email), raising=False)
    assert "no access" in refusal(ask(secret))


def test_a_token_is_refused_from_elsewhere(client_a):
    _, secret = make(client_a, addresses=["192.0.2.0/24", "2001:db8::/32"])
    assert ask(secret, REMOTE_ADDR="192.0.2.200").status_code == 200
    assert ask(secret, REMOTE_ADDR="2001:db8::5").status_code == 200
    assert "from this address" in refusal(ask(secret, REMOTE_ADDR="192.0.3.1"))


def test_the_last_use_is_written_at_most_once_a_minute(client_a):
    token, secret = make(client_a)
    with CaptureQueriesContext(connection) as first:
        ask(secret)
    with CaptureQueriesContext(connection) as second:
        ask(secret)
    assert [q for q in second.captured_queries if "UPDATE" in q["sql"]] == []
    assert len([q for q in first.captured_queries if "UPDATE" in q["sql"]]) == 1
    token.refresh_from_db()
    assert timezone.now() - token.last_used_at < timedelta(minutes=1)


@pytest.mark.parametrize("path", ["/miners/", "/accounts/tokens/", "/admin/", "/admin/accounts/user/"])
def test_a_token_opens_neither_portal_nor_admin(owner, path):
    _, secret = make(owner, "read", "write")
    answer = ask(secret, path)
    assert answer.status_code == 302
    assert "/login/" in answer["Location"]


def test_the_schema_tells_of_tokens(client):
    schema = client.get("/api/v1/schema/", headers={"accept": "application/json"}).json()
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert {"token": []} in schema["paths"][MINERS]["get"]["security"]


# --- the doors: API, portal, admin --------------------------------------------------------------------------------------


def test_a_session_makes_tokens_in_the_api_and_a_token_does_not(client, client_a):
    body = {"name": "ci", "scopes": ["read"], "expires_at": (timezone.now() + timedelta(days=3)).isoformat()}
    client.force_login(client_a)
    made = client.post("/api/v1/tokens/", body, content_type="application/json")
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    secret = made.json()["token"]
    listed = ask(secret, "/api/v1/tokens/").json()["results"]
    assert [row["starts_with"] for row in listed] == [secret[:15]]
    assert "token" not in listed[0]
    assert "digest" not in listed[0]
    _, writing = make(client_a, "read", "write")
    answer = ask(writing, "/api/v1/tokens/", "post", body)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        403,
        "No token may do this: sign in to the portal.",
    )
    assert ApiToken.objects.count() == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scopes", ["approve"]),
        ("scopes", []),
        ("expires_at", "2099-01-01T00:00Z"),
        ("expires_at", None),
        ("addresses", ["nowhere"]),
        ("name", ""),
    ],
)
def test_a_bad_wish_names_the_field(client, client_a, field, value):
    client.force_login(client_a)
    body = {"name": "ci", "scopes": ["read"], "expires_at": (timezone.now() + timedelta(days=3)).isoformat()}
    answer = client.post("/api/v1/tokens/", body | {field: value}, content_type="application/json")
    assert answer.status_code == 400
    assert set(answer.json()["error"]["fields"]) == {field}
    assert ApiToken.objects.count() == 0


def test_tokens_of_others_are_not_there(client, client_a, client_b, owner):
    theirs, secret = make(client_b)
    for person in (client_a, owner):
        client.force_login(person)
        assert client.get("/api/v1/tokens/").json()["results"] == []
        assert client.delete(f"/api/v1/tokens/{theirs.pk}/").status_code == 404
        assert client.post(f"/accounts/tokens/{theirs.pk}/revoke/").status_code == 404
    assert ask(secret).status_code == 200


def test_a_token_is_revoked_in_the_api(client, client_a):
    token, secret = make(client_a)
    client.force_login(client_a)
    assert client.delete(f"/api/v1/tokens/{token.pk}/").status_code == 204
    assert ask(secret).status_code == 401
    token.refresh_from_db()
    assert token.revoked_by == client_a


@pytest.mark.parametrize("person", ["client_a", "guest", "operator", "owner"])
def test_the_page_shows_a_new_token_once(client, request, person):
    client.force_login(request.getfixturevalue(person))
    page = client.post(
        "/accounts/tokens/",
        {"name": "monitoring", "scopes": ["read"], "days": 30, "addresses": "192.0.2.1\n10.0.0.0/8"},
    )
    (secret,) = re.findall(r"mf_[0-9a-f]{64}", page.content.decode())
    assert "no-store" in page["Cache-Control"]
    token = ApiToken.objects.get()
    assert token.addresses == ["192.0.2.1/32", "10.0.0.0/8"]
    again = client.get("/accounts/tokens/").content.decode()
    assert secret not in again
    assert secret[:15] in again
    answer = client.post(f"/accounts/tokens/{token.pk}/revoke/", follow=True)
    assert "monitoring is revoked" in answer.content.decode()
    assert ask(secret).status_code == 401


def test_the_page_says_what_is_wrong(client, client_a):
    client.force_login(client_a)
    wrong = {"name": "x", "scopes": ["read"], "days": 30, "addresses": "<b>"}
    text = client.post("/accounts/tokens/", wrong).content.decode()
    assert "&lt;b&gt; is no address or network" in text
    assert client.post("/accounts/tokens/", {"days": 9999}).status_code == 200
    assert ApiToken.objects.count() == 0


def test_administrators_see_and_revoke_every_token_but_no_secret(client, admin, client_a):
    token, secret = make(client_a)
    client.force_login(admin)
    text = client.get("/admin/accounts/apitoken/").content.decode()
    assert secret[:15] in text
    text += client.get(f"/admin/accounts/apitoken/{token.pk}/change/").content.decode()
    assert secret not in text
    assert token.digest not in text
    client.post("/admin/accounts/apitoken/", {"action": "revoke", "_selected_action": [token.pk]})
    token.refresh_from_db()
    assert token.state == "revoked"
    assert token.revoked_by == admin


def test_an_operator_does_not_see_everybodys_tokens(client, operator):
    client.force_login(operator)
    assert client.get("/admin/accounts/apitoken/").status_code == 403
