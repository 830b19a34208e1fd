"""How much a caller may ask, and that a dead cache stops nobody."""

import time
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.settings import api_settings

from accounts.api.throttles import Allowance, parse_rate
from accounts.models import ApiToken
from accounts.tokens import make_token

pytestmark = pytest.mark.django_db
ROOT = "/api/v1/"


@pytest.fixture
def rate(monkeypatch):
    """Set a rate; by the day where the test must not meet the end of a window."""

    def set_rate(name: str, value: str) -> None:
        monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, name, value)

    return set_rate


def new_secret(user) -> str:
    return make_token(name="t", scopes=["read"], expires_at=timezone.now() + timedelta(days=1), by=user)[1]


def statuses(count: int, path: str = ROOT, **extra) -> list[int]:
    door = Client(**extra)
    return [door.get(path).status_code for _ in range(count)]


def bearer(secret: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {secret}"}


@pytest.mark.parametrize(
    ("text", "meaning"), [("600/min", (600, 60)), ("30/3min", (30, 180)), ("10/hour", (10, 3600)), ("5/s", (5, 1))]
)
def test_a_rate_is_calls_in_a_time(text, meaning):
    assert parse_rate(text) == meaning


@pytest.mark.parametrize("text", ["", "600", "0/min", "x/min", "600/fortnight"])
def test_a_rate_that_makes_no_sense_is_refused(text):
    with pytest.raises(ValueError, match="is no rate"):
        parse_rate(text)


def test_the_rates_are_those_promised():
    assert api_settings.DEFAULT_THROTTLE_RATES == {
        "caller": "600/min",
        "anonymous": "30/min",
        "failed_token": "30/3min",
        "new_token": "10/hour",
        "agent": "240/min",
        "signals": "120/min",
    }


def test_a_token_that_asks_too_often_is_told_to_wait(rate, client_a, client_b):
    rate("caller", "3/day")
    mine, other = new_secret(client_a), new_secret(client_a)
    assert statuses(4, **bearer(mine)) == [200, 200, 200, 429]
    answer = Client().get(ROOT, headers={"authorization": f"Bearer {mine}"})
    assert answer.json()["error"]["code"] == "throttled"
    assert 0 < int(answer["Retry-After"]) <= 86_400
    # Each token, and each person, has an allowance of its own.
    assert statuses(1, **bearer(other)) == [200]
    assert statuses(1, **bearer(new_secret(client_b))) == [200]
    session = Client()
    session.force_login(client_a)
    assert [session.get(ROOT).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_the_window_ends(rate, client_a):
    rate("caller", "1/s")
    secret = new_secret(client_a)
    assert 429 in statuses(3, **bearer(secret))
    time.sleep(1.05)
    assert statuses(1, **bearer(secret)) == [200]


def test_strangers_share_an_allowance_by_network(rate):
    rate("anonymous", "2/day")
    schema = "/api/v1/schema/"
    assert statuses(3, schema, REMOTE_ADDR="192.0.2.1") == [200, 200, 429]
    assert statuses(1, schema, REMOTE_ADDR="192.0.2.2") == [200]
    assert statuses(2, schema, REMOTE_ADDR="2001:db8::1") == [200, 200]
    assert statuses(1, schema, REMOTE_ADDR="2001:db8::2") == [429]


def test_guessing_at_tokens_ends(rate, client_a):
    rate("failed_token", "30/day")
    secret = new_secret(client_a)
    wrong = [*([401] * 30), 429, 429]
    assert statuses(32, **bearer("mf_" + "0" * 64)) == wrong
    answer = Client().get(ROOT, headers={"authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "throttled")
    assert statuses(1, REMOTE_ADDR="192.0.2.2", **bearer(secret)) == [200]


def test_few_tokens_are_made_in_an_hour(rate, client, client_a):
    rate("new_token", "2/day")
    client.force_login(client_a)
    wish = {"name": "x", "scopes": ["read"], "days": 30}
    assert [client.post("/accounts/tokens/", wish).status_code for _ in range(3)] == [200, 200, 429]
    body = {"name": "x", "scopes": ["read"], "expires_at": (timezone.now() + timedelta(days=3)).isoformat()}
    answer = client.post("/api/v1/tokens/", body, content_type="application/json")
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert ApiToken.objects.count() == 2


def test_processes_count_together():
    """The counter is the cache's own addition: no call is lost between reading and writing."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: Allowance("anonymous", "race").take(), range(200)))
    assert taken.count(True) <= 60  # 30, or twice that when the minute ends meanwhile
    assert taken.count(True) >= 30


def test_a_cache_that_is_gone_stops_nobody(settings, client_a, caplog):
    secret = new_secret(client_a)
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
        }
    }
    assert statuses(2, **bearer(secret)) == [200, 200]
    assert statuses(1, **bearer("mf_wrong")) == [401]
    assert statuses(1, "/api/v1/schema/") == [200]
    assert "the cache does not answer" in caplog.text
