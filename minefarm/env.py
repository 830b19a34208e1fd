"""Reading the environment: values, secrets from files, and what production must not start with."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()


def env_secret(name: str, default: str = "") -> str:
    """The variable `name`, or the content of the file that `name_FILE` points to (as container platforms mount secrets)."""
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return os.environ.get(name, default)
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE points to {path}, which cannot be read: {error.strerror}") from error


def development_secret(state: Path) -> str:
    """A random key of this checkout, made once and kept in its state folder."""
    path = state / "secret_key"
    try:
        return path.read_text()
    except FileNotFoundError:
        state.mkdir(parents=True, exist_ok=True)
    key = secrets.token_urlsafe(50)
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(key)
    except FileExistsError:  # another process was first
        return path.read_text()
    return key


MIN_SECRET_LENGTH = 40


def refuse_unsafe_production(
    *, secret_key: str, debug: bool, allowed_hosts: Iterable[str], database_url: str, redis_url: str
) -> None:
    """Raise ImproperlyConfigured that names every setting which production lacks, and what to set."""
    hosts = list(allowed_hosts)
    problems = []
    if len(secret_key) < MIN_SECRET_LENGTH or secret_key.startswith(("django-insecure", "change")):
        problems.append(
            f"SECRET_KEY is missing, a placeholder or shorter than {MIN_SECRET_LENGTH} characters: set it to the output of"
            " `python -c 'import secrets; print(secrets.token_urlsafe(50))'`, or set SECRET_KEY_FILE"
        )
    if debug:
        problems.append("DEBUG is on: unset it")
    if not hosts or "*" in hosts:
        problems.append(
            "ALLOWED_HOSTS is empty or '*': set it to the site's names, e.g. ALLOWED_HOSTS=farm.example.com"
        )
    if not database_url:
        problems.append("DATABASE_URL is missing: set it, e.g. postgres://minefarm:password@db.internal:5432/minefarm")
    if not redis_url:
        problems.append("REDIS_URL is missing: set it, e.g. redis://:password@valkey.internal:6379/0")
    if problems:
        raise ImproperlyConfigured("MineFarm does not start in production mode:\n - " + "\n - ".join(problems))
