"""Making and revoking site tokens, and telling whose a presented one is."""

from collections.abc import Iterable
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from accounts.tokens import networks
from hosting.models import Site, SiteToken

MOST_TOKENS = 10
USE_NOTED_EVERY = timedelta(minutes=1)


class TokenRefused(Exception):
    """Not one of ours, revoked, or used from elsewhere; the message says what to do."""


def make_site_token(*, site: Site, name: str, addresses: Iterable[str] = (), by: User) -> tuple[SiteToken, str]:
    """A token for the site's agent, and its secret, which is never shown again. Raises ValidationError by field."""
    if not name.strip():
        raise ValidationError({"name": "Say where the agent runs."})
    if site.tokens.filter(revoked_at=None).count() >= MOST_TOKENS:
        raise ValidationError(f"{site.name} has {MOST_TOKENS} tokens: revoke one that is no longer used.")
    return SiteToken.objects.make(site=site, name=name.strip(), addresses=networks(addresses), created_by=by)


def revoke_site_token(token: SiteToken, *, by: User) -> bool:
    """End a token at once; False when it was revoked before."""
    unrevoked = SiteToken.objects.filter(pk=token.pk, revoked_at=None)
    return bool(unrevoked.update(revoked_at=timezone.now(), revoked_by=by))


def token_for(secret: str, address: str | None) -> SiteToken:
    """The live token that this secret is. Raises TokenRefused."""
    token = SiteToken.objects.presented(secret)
    if token is None:
        raise TokenRefused("This site token is not one of ours: check that all of it was copied.")
    if token.revoked_at is not None:
        raise TokenRefused("This site token is revoked: make another one in Admin, Site tokens.")
    if not token.is_allowed_from(address):
        raise TokenRefused("This site token may not be used from this address.")
    _note_use(token)
    return token


def _note_use(token: SiteToken) -> None:
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at <= now - USE_NOTED_EVERY:
        unnoted = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_NOTED_EVERY)
        SiteToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=now)
