"""Signing in as people do: by the form, from some network, with some browser."""

import time

import pytest
from django.core.cache import cache

from tests.hashing import CountingHasher, Hashes

PASSWORD = "correct horse battery"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture(autouse=True)
def no_limits_left_over() -> None:
    cache.clear()


@pytest.fixture
def hashes(settings) -> Hashes:
    """Named before users are made, so that their passwords are of this hasher."""
    settings.PASSWORD_HASHERS = ["tests.hashing.CountingHasher"]
    return Hashes(CountingHasher.made)


@pytest.fixture
def sign_in():
    """The sign-in form; `network` is the peer's address."""

    def post(client, email, password=PASSWORD, network="203.0.113.7", agent=FIREFOX, **headers):
        return client.post(
            "/accounts/login/",
            {"login": email, "password": password},
            REMOTE_ADDR=network,
            HTTP_USER_AGENT=agent,
            **headers,
        )

    return post


@pytest.fixture
def totp():
    """The code of a person's authenticator app, now or `steps` half minutes away."""
    from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value

    class App:
        def __init__(self) -> None:
            self.secret = generate_totp_secret()

        def set_up_for(self, user) -> "App":
            from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

            TOTP.activate(user, self.secret)
            self.recovery_codes = RecoveryCodes.activate(user).generate_codes()
            return self

        def code(self, steps: int = 0) -> str:
            return format_hotp_value(hotp_value(self.secret, int(time.time()) // 30 + steps))

    return App()


@pytest.fixture
def mails_at_once():
    """The outbox, filled as a worker would, but now."""
    from django.core import mail

    from minefarm.celery import app

    app.conf.task_always_eager = True
    yield mail.outbox
    app.conf.task_always_eager = False
