"""What a receiver can check: Standard Webhooks' own vector, and our messages through its library."""

import base64
import secrets
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from events.sinks.webhook import USER_AGENT, Envelope, body_of, signed_headers

VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
EVENT = Envelope(
    id="0199f5c0-0000-7000-8000-000000000001",
    type="miner.offline",
    timestamp=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    data={"miner_id": 7, "name": "Zürich-7 ⚡"},
    version=1,
    aggregate="miner:7",
    sequence=42,
)


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def test_the_official_vector():
    vector = Envelope("msg_p5jXN8AQM9LWM0D4loKWxJek", "x", EVENT.timestamp, {}, 1, "x", 1)
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signed_headers(vector, b'{"test": 2432232314}', secrets=[VECTOR_SECRET], at=at)
    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == VECTOR_SIGNATURE


def test_another_time_zone_signs_the_same_moment():
    at = datetime(2021, 2, 25, 15, 2, 10, tzinfo=UTC)
    elsewhere = at.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    body = body_of(EVENT)
    assert signed_headers(EVENT, body, secrets=[VECTOR_SECRET], at=at) == signed_headers(
        EVENT, body, secrets=[VECTOR_SECRET], at=elsewhere
    )


def test_the_body_says_all_of_the_event():
    assert orjson.loads(body_of(EVENT)) == {
        "type": "miner.offline",
        "timestamp": "2026-03-01T12:30:00Z",
        "data": {"miner_id": 7, "name": "Zürich-7 ⚡"},
        "version": 1,
        "aggregate": "miner:7",
        "sequence": 42,
    }


def test_both_secrets_verify_while_one_replaces_the_other():
    previous, current, strange = new_secret(), new_secret(), new_secret()
    body = body_of(EVENT)
    headers = signed_headers(EVENT, body, secrets=[current, previous], at=datetime.now(UTC))
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (current, previous):
        assert Webhook(secret).verify(body, headers)["sequence"] == 42
    with pytest.raises(WebhookVerificationError):
        Webhook(strange).verify(body, headers)
    after = signed_headers(EVENT, body, secrets=[current], at=datetime.now(UTC))
    with pytest.raises(WebhookVerificationError):
        Webhook(previous).verify(body, after)


@pytest.mark.parametrize("tampered", ["body", "webhook-id", "webhook-timestamp"])
def test_tampering_fails(tampered):
    secret, now = new_secret(), datetime.now(UTC)
    body = body_of(EVENT)
    headers = signed_headers(EVENT, body, secrets=[secret], at=now)
    if tampered == "body":
        body = body.replace(b'"sequence":42', b'"sequence":43')
    elif tampered == "webhook-id":
        headers["webhook-id"] = headers["webhook-id"][:-1] + "2"
    else:
        headers["webhook-timestamp"] = str(int(now.timestamp()) + 1)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(secret).verify(body, headers)


def test_a_message_of_six_minutes_ago_cannot_be_played_again():
    secret, body = new_secret(), body_of(EVENT)
    headers = signed_headers(EVENT, body, secrets=[secret], at=datetime.now(UTC) - timedelta(minutes=6))
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(body, headers)


def test_without_a_secret_nothing_is_signed():
    with pytest.raises(ValueError, match="no secret"):
        signed_headers(EVENT, b"{}", secrets=[], at=datetime.now(UTC))


def test_the_user_agent_names_the_release():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert f"MineFarm/{project['version']}" == USER_AGENT
