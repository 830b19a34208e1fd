"""Production refuses to start unsafely and says what to set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SAFE = {
    "MINEFARM_ENV": "production",
    "SECRET_KEY": "k" * 50,
    "ALLOWED_HOSTS": "farm.example.com",
    "DATABASE_URL": "postgres://farm:secret@db/farm",
    "REDIS_URL": "redis://broker/0",
}


def load_settings(code: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-c", f"import minefarm.settings as settings\n{code}"],
        env=clean | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_complete_production_environment_starts_with_safe_cookies():
    done = load_settings("print(settings.SESSION_COOKIE_SECURE, settings.SECURE_SSL_REDIRECT, settings.DEBUG)", **SAFE)
    assert (done.returncode, done.stdout) == (0, "True True False\n"), done.stderr


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is missing"),
        ({"SECRET_KEY": "django-insecure-" + "k" * 50}, "SECRET_KEY is missing, a placeholder"),
        ({"SECRET_KEY": "short"}, "shorter than 40"),
        ({"DEBUG": "1"}, "DEBUG is on: unset it"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS is empty"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS is empty or '*'"),
        ({"DATABASE_URL": ""}, "DATABASE_URL is missing"),
        ({"REDIS_URL": ""}, "REDIS_URL is missing"),
    ],
)
def test_production_refuses_an_unsafe_setting_and_names_it(changed, told):
    done = load_settings(**(SAFE | changed))
    assert done.returncode == 1
    assert "does not start in production mode" in done.stderr
    assert told in done.stderr


def test_every_fault_is_told_at_once():
    done = load_settings(MINEFARM_ENV="production", DEBUG="1")
    assert done.stderr.count("\n - ") == 5


def test_a_secret_may_come_from_a_file(tmp_path):
    (tmp_path / "key").write_text("f" * 50 + "\n")
    environment = SAFE | {"SECRET_KEY": "", "SECRET_KEY_FILE": str(tmp_path / "key")}
    assert load_settings("print(settings.SECRET_KEY)", **environment).stdout == "f" * 50 + "\n"
    missing = load_settings(**(SAFE | {"SECRET_KEY_FILE": "/nowhere/key"}))
    assert "SECRET_KEY_FILE points to /nowhere/key, which cannot be read" in missing.stderr


def test_a_development_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    keys = [load_settings("print(settings.SECRET_KEY)", MINEFARM_STATE_DIR=str(tmp_path)).stdout for _ in range(2)]
    assert keys[0] == keys[1]
    assert len(keys[0]) > 50
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_web_processes_have_the_pool_and_others_one_recycled_connection():
    code = (
        "print(settings.DATABASES['default'].get('CONN_MAX_AGE'), settings.DATABASES['default']['OPTIONS'].get('pool'))"
    )
    assert load_settings(code, **SAFE).stdout == "300 None\n"
    web = load_settings(code, **SAFE, MINEFARM_PROCESS="web").stdout
    assert web == "None {'min_size': 10, 'max_size': 30, 'max_lifetime': 300, 'timeout': 10}\n"


def test_manage_py_starts_no_embedded_server_in_production_and_prints_no_traceback(tmp_path):
    clean = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "doctor"],
        env=clean | {"MINEFARM_ENV": "production", "MINEFARM_STATE_DIR": str(tmp_path / "state")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "DATABASE_URL is missing" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state").exists()
