"""What every page tells the browser to refuse, and the settings of production."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCTION = {
    "MINEFARM_ENV": "production",
    "SECRET_KEY": "k3" * 10 + "9fQz-W_x" * 5,
    "ALLOWED_HOSTS": "farm.example.com",
    "DATABASE_URL": "postgres://farm:secret@database.invalid/farm",
    "REDIS_URL": "redis://broker.invalid/0",
}


def manage(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=clean | PRODUCTION | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def directives(answer) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in answer["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/miners/", "/account/security/", "/accounts/login/", "/accounts/2fa/reauthenticate/"]
)
def test_a_page_runs_only_scripts_of_its_own_files(client, client_a, path):
    if path != "/accounts/login/":
        client.force_login(client_a)
    answer = client.get(path, follow=True)
    policy = directives(answer)
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["form-action"] == "'self'"
    assert policy["base-uri"] == policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert " onclick=" not in answer.text
    assert " style=" not in answer.text
    assert "<style" not in answer.text
    for header, value in {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }.items():
        assert answer[header] == value


@pytest.mark.django_db
def test_only_the_admin_is_looser(client, owner):
    client.force_login(owner)
    assert "'unsafe-inline'" in directives(client.get("/admin/"))["script-src"]
    assert directives(client.get("/admin/"))["default-src"] == "'none'"


def test_djangos_deployment_checks_find_nothing_in_production():
    done = manage("check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr


def test_a_proxy_that_is_not_counted_is_found():
    done = manage("check", "--deploy", "--fail-level", "WARNING", BEHIND_TLS_PROXY="1")
    assert done.returncode == 1
    assert "minefarm.W004" in done.stderr


def test_production_cookies_cannot_be_planted_and_staff_prove_more():
    code = (
        "from django.conf import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.KNOWN_DEVICE_COOKIE,"
        " s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.REQUIRE_SECOND_FACTOR)"
    )
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ} | PRODUCTION
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"DJANGO_SETTINGS_MODULE": "minefarm.settings"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "__Host-sessionid __Host-csrftoken __Host-device True True True\n", done.stderr
