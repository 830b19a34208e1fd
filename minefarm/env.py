"""Reading the environment: values, secrets from files, and what production must not start with."""

import os
import secrets
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
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


def poll_cidrs(texts: Iterable[str], *, production: bool) -> list[IPv4Network | IPv6Network]:
    """MINEFARM_POLL_CIDRS as networks; raises ImproperlyConfigured for what is none, and for loopback in production."""
    networks = []
    for text in texts:
        try:
            network = ip_network(text.strip())
        except ValueError as error:
            raise ImproperlyConfigured(
                f"MINEFARM_POLL_CIDRS names {text!r} ({error}): write networks such as 10.0.0.0/16, comma-separated."
            ) from None
        if production and network.is_loopback:
            raise ImproperlyConfigured(
                f"MINEFARM_POLL_CIDRS names {network}: machines on this host's loopback are for demos, not for production."
            )
        networks.append(network)
    return networks


def port_ranges(texts: Iterable[str]) -> list[tuple[int, int]]:
    """MINEFARM_POLL_PORTS, `4028` or `4028-4030` each, as first and last port; raises ImproperlyConfigured."""
    ranges = []
    for text in texts:
        low, _, high = text.strip().partition("-")
        if not (low.isdecimal() and (high or low).isdecimal() and 1 <= int(low) <= int(high or low) <= 65535):
            raise ImproperlyConfigured(f"MINEFARM_POLL_PORTS names {text!r}: write ports such as 4028 or 4028-4030.")
        ranges.append((int(low), int(high or low)))
    return ranges
