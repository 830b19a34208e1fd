"""System checks: a misconfigured farm refuses to start, with a hint."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning as Caution, register

MIN_PARTITION_DAYS = 2


@register(Tags.database)
def engine_is_postgresql(**_kwargs: Any) -> list[CheckMessage]:
    engine = settings.DATABASES["default"]["ENGINE"]
    if engine in {"django.db.backends.postgresql", "django.db.backends.dummy"}:
        return []
    return [
        Error(f"MineFarm needs PostgreSQL, not {engine}.", hint="Set DATABASE_URL=postgres://...", id="minefarm.E001")
    ]


@register()
def telemetry_fits_the_minute(**_kwargs: Any) -> list[CheckMessage]:
    errors: list[CheckMessage] = []
    if not 0.5 <= settings.TELEMETRY_POLL_TIMEOUT_S <= 10:
        errors.append(
            Error(
                f"TELEMETRY_POLL_TIMEOUT_S is {settings.TELEMETRY_POLL_TIMEOUT_S}.",
                hint="Give a machine between 0.5 and 10 seconds; a sweep must end within its minute.",
                id="minefarm.E002",
            )
        )
    if settings.TELEMETRY_PARTITION_DAYS_AHEAD < MIN_PARTITION_DAYS:
        errors.append(
            Error(
                "TELEMETRY_PARTITION_DAYS_AHEAD is less than 2.",
                hint="Midnight must find tomorrow's partition made: use 2 or more.",
                id="minefarm.E003",
            )
        )
    return errors


@register()
def market_fits_ten_seconds(**_kwargs: Any) -> list[CheckMessage]:
    if 0.1 <= settings.MARKET_TIMEOUT_S <= 9:
        return []
    return [
        Error(
            f"MARKET_TIMEOUT_S is {settings.MARKET_TIMEOUT_S}.",
            hint="Give every source between 0.1 and 9 seconds: a collection must end within ten.",
            id="minefarm.E004",
        )
    ]


@register(Tags.security, deploy=True)
def proxies_are_counted(**_kwargs: Any) -> list[CheckMessage]:
    if settings.TRUSTED_PROXY_COUNT or not getattr(settings, "SECURE_PROXY_SSL_HEADER", None):
        return []
    return [
        Caution(
            "BEHIND_TLS_PROXY is on, but TRUSTED_PROXY_COUNT is 0: sign-in limits take everybody for one address.",
            hint="Set TRUSTED_PROXY_COUNT to the number of your proxies in front of the web process, mostly 1.",
            id="minefarm.W004",
        )
    ]
