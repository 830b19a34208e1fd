"""Dangerous things need a fresh proof."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from accounts.models import ApiToken, Impersonation, Invitation, LoginRecord
from accounts.stepup import has_stepped_up, step_up_required
from accounts.tokens import make_token
from events.models import EventEndpoint
from events.sinks.endpoints import create_endpoint, live_secrets
from minefarm.api import handle

pytestmark = [pytest.mark.django_db, pytest.mark.stale_sign_in]
CONFIRM = "/accounts/reauthenticate/"
SECRET = re.compile(r"whsec_[\w+/=]+")
DANGEROUS = "/accounts/2fa/totp/activate/"  # allauth's own pages follow the same rule


@step_up_required
def approve(_request) -> HttpResponse:
    return HttpResponse("approved")


class Page:
    @step_up_required
    def act(self, _request, _queryset) -> HttpResponse:
        return HttpResponse("acted")


class Approval(APIView):
    authentication_classes = ()
    permission_classes = ()

    def get_exception_handler(self):
        return handle

    @step_up_required
    def post(self, _request) -> Response:
        return Response({"approved": True})


def request_of(client, user, method="get", path="/plans/7/?tab=2", **headers):
    """A request in the client's session, as the middleware leaves it."""
    from django.contrib.messages.storage.fallback import FallbackStorage

    request = getattr(RequestFactory(), method)(path, **headers)
    request.session, request.user = client.session, user
    request._messages = FallbackStorage(request)
    return request


def test_a_fresh_sign_in_is_a_proof_for_five_minutes(client, operator, sign_in):
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        sign_in(client, operator.email)
        clock.shift(299)
        assert has_stepped_up(request_of(client, operator))
        assert approve(request_of(client, operator)).content == b"approved"
        clock.shift(2)
        assert not has_stepped_up(request_of(client, operator))


def test_a_page_leads_to_the_confirmation_and_back(client, operator):
    client.force_login(operator)
    answer = approve(request_of(client, operator))
    assert (answer.status_code, answer["Location"]) == (302, f"{CONFIRM}?next=%2Fplans%2F7%2F%3Ftab%3D2")
    answer = client.get(DANGEROUS)
    assert answer["Location"].startswith(CONFIRM)
    page = client.get(answer["Location"])
    assert "Confirm that it is you" in page.text
    answer = client.post(CONFIRM, {"password": "wrong", "next": DANGEROUS})
    assert "Incorrect password" in answer.text
    answer = client.post(CONFIRM, {"password": "correct horse battery", "next": DANGEROUS})
    assert (answer.status_code, answer["Location"]) == (302, DANGEROUS)
    assert client.get(DANGEROUS).status_code == 200
    assert approve(request_of(client, operator)).content == b"approved"


def test_a_pressed_button_leads_back_to_its_page_and_nothing_is_done(client, operator):
    client.force_login(operator)
    from_here = {"HTTP_REFERER": "http://testserver/plans/7/?tab=2"}
    answer = approve(request_of(client, operator, "post", "/plans/7/approve/", **from_here))
    assert answer["Location"] == f"{CONFIRM}?next=%2Fplans%2F7%2F%3Ftab%3D2"
    from_elsewhere = {"HTTP_REFERER": "http://evil.example/plans/"}
    answer = approve(request_of(client, operator, "post", "/plans/7/approve/", **from_elsewhere))
    assert answer["Location"] == f"{CONFIRM}?next=%2Fplans%2F7%2Fapprove%2F"


def test_the_confirmation_leads_nowhere_else(client, operator):
    client.force_login(operator)
    answer = client.post(f"{CONFIRM}?next=//evil.example/", {"password": "correct horse battery"})
    assert "evil" not in answer["Location"]


def test_an_admin_action_is_guarded_like_a_page(client, owner, sign_in):
    client.force_login(owner)
    assert Page().act(request_of(client, owner, "post", "/admin/x/"), None).status_code == 302
    sign_in(Client(), owner.email)
    client.logout()
    sign_in(client, owner.email)
    assert Page().act(request_of(client, owner, "post", "/admin/x/"), None).content == b"acted"


def test_a_script_gets_403_with_a_code(client, operator):
    client.force_login(operator)
    answer = approve(request_of(client, operator, "get", HTTP_ACCEPT="application/json"))
    assert answer.status_code == 403
    assert b'"code": "step_up_required"' in answer.content


def test_the_api_answers_403_in_its_own_shape_and_a_stepped_up_session_passes(client, operator, sign_in):
    client.force_login(operator)

    def call():
        request = APIRequestFactory().post("/api/v1/plans/7/approve/")
        request.session = client.session
        force_authenticate(request, operator)
        return Approval.as_view()(request)

    answer = call()
    assert answer.status_code == 403
    assert answer.data["error"]["code"] == "step_up_required"
    client.logout()
    sign_in(client, operator.email)
    assert call().data == {"approved": True}


def test_another_persons_proof_does_not_count(client, operator, owner, sign_in):
    sign_in(client, operator.email)
    assert not has_stepped_up(request_of(client, owner))
    assert not has_stepped_up(request_of(client, AnonymousUser()))


def test_a_code_is_a_proof_too(client, operator, totp):
    totp.set_up_for(operator)
    client.force_login(operator)
    page = "/accounts/2fa/reauthenticate/"
    assert "Incorrect code" in client.post(page, {"code": "000000"}).text
    assert client.post(page, {"code": totp.code()}).status_code == 302
    assert has_stepped_up(request_of(client, operator))


def test_the_password_of_somebody_signed_in_is_not_guessed(client, operator):
    client.force_login(operator)
    answers = [client.post(CONFIRM, {"password": "wrong"}).status_code for _ in range(7)]
    assert answers[:4] == [200] * 4
    assert answers[-1] == 429
    trail = list(LoginRecord.objects.values_list("outcome", "success", "user"))
    assert trail == [("not_confirmed", False, operator.pk)] * answers.count(200)


# --- what wears it ------------------------------------------------------------------------------------------------------


@pytest.fixture
def office(client, owner):
    client.force_login(owner)
    return client


def confirm(client) -> None:
    assert client.post(CONFIRM, {"password": "correct horse battery"}).status_code == 302


@pytest.mark.parametrize(
    "path",
    [
        "/admin/accounts/user/add/",
        "/admin/accounts/user/{client}/change/",
        "/admin/accounts/user/{client}/password/",
        "/admin/accounts/invitation/add/",
        "/view-as/{client}/",
    ],
)
def test_a_form_that_gives_rights_asks_before_anything_is_typed(office, client_a, path):
    path = path.format(client=client_a.pk)
    for answer in (office.get(path), office.post(path, {"role": "owner", "reason": "a look"})):
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, CONFIRM)
    client_a.refresh_from_db()
    assert client_a.role == "client"
    assert not Impersonation.objects.exists()
    confirm(office)
    assert office.get(path).status_code == 200


def test_whoever_may_only_look_is_not_asked(client, operator, owner):
    client.force_login(operator)
    assert client.get(f"/admin/accounts/user/{owner.pk}/change/").status_code == 403
    assert client.get(f"/view-as/{owner.pk}/").status_code == 404


def test_an_invitation_is_sent_again_after_a_fresh_proof_only(office, owner):
    sent = Invitation.objects.create(
        email="new@farm.example", token_sha256="x", invited_by=owner, expires_at=timezone.now() + timedelta(days=1)
    )
    page, chosen = "/admin/accounts/invitation/", {"_selected_action": [sent.pk]}
    assert office.post(page, chosen | {"action": "send_again"})["Location"].startswith(CONFIRM)
    sent.refresh_from_db()
    assert sent.token_sha256 == "x"
    office.post(page, chosen | {"action": "take_back"})  # what only takes away is never held up
    sent.refresh_from_db()
    assert sent.revoked_at is not None


def test_a_token_is_made_after_a_fresh_proof_and_revoked_without(client, client_a):
    client.force_login(client_a)
    wish = {"name": "monitoring", "scopes": ["read"], "days": 30}
    assert "first confirm that it is you" in client.get("/accounts/tokens/").text
    assert client.post("/accounts/tokens/", wish)["Location"].startswith(CONFIRM)
    in_the_api = {"name": "x", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"}
    refused = client.post("/api/v1/tokens/", in_the_api, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "step_up_required")
    assert not ApiToken.objects.exists()
    confirm(client)
    assert client.post("/accounts/tokens/", wish).status_code == 200
    token = ApiToken.objects.get()
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert client.post(f"/accounts/tokens/{token.pk}/revoke/").status_code == 302
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_a_webhooks_secret_is_rotated_after_a_fresh_proof_or_by_a_token(client, client_a, owner):
    endpoint, first = create_endpoint(client_a.pk, kind="webhook", target="https://hooks.example/in", by=client_a.pk)
    in_portal, in_api = f"/webhooks/{endpoint.pk}/rotate/", f"/api/v1/endpoints/{endpoint.pk}/rotate-secret/"
    office = Client()
    office.force_login(owner)
    in_admin, chosen = "/admin/events/eventendpoint/", {"action": "rotate_secret", "_selected_action": [endpoint.pk]}
    client.force_login(client_a)
    assert client.post(in_portal)["Location"].startswith(CONFIRM)
    assert office.post(in_admin, chosen)["Location"].startswith(CONFIRM)
    refused = client.post(in_api)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "step_up_required")
    assert live_secrets(EventEndpoint.objects.get(pk=endpoint.pk)) == [first]
    tomorrow = timezone.now() + timedelta(days=1)
    _, secret = make_token(name="ci", scopes=["read", "write"], expires_at=tomorrow, addresses=(), by=client_a)
    by_token = Client().post(in_api, headers={"Authorization": f"Bearer {secret}"})
    assert by_token.json()["secret"] != first
    confirm(client)
    assert SECRET.findall(client.post(in_portal).text)[0] not in {first, by_token.json()["secret"]}
