"""Making and revoking API tokens."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from ipaddress import ip_network

from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import ApiToken, User
from accounts.models.tokens import SCOPES

LONGEST = timedelta(days=365)
MOST_TOKENS = 20
MOST_ADDRESSES = 20


def make_token(
    *, name: str, scopes: Collection[str], expires_at: datetime, addresses: Iterable[str] = (), by: User
) -> tuple[ApiToken, str]:
    """A token of the person who asks, and its secret, which is never shown again. Raises ValidationError by field."""
    now = timezone.now()
    chosen = [scope for scope in SCOPES if scope in scopes]
    if not chosen or len(chosen) != len(set(scopes)):
        raise ValidationError({"scopes": f"Choose one or more of {', '.join(SCOPES)}."})
    if not now < expires_at <= now + LONGEST:
        raise ValidationError({"expires_at": f"Choose a moment within the next {LONGEST.days} days."})
    if ApiToken.objects.for_user(by).usable(now).count() >= MOST_TOKENS:
        raise ValidationError(f"You have {MOST_TOKENS} tokens: revoke one that is no longer used.")
    return ApiToken.objects.make(
        user=by, name=name.strip(), scopes=chosen, expiry=expires_at, addresses=networks(addresses)
    )


def networks(addresses: Iterable[str]) -> list[str]:
    """Addresses and networks in one spelling: `192.0.2.7` is `192.0.2.7/32`. Raises ValidationError."""
    found: dict[str, None] = {}
    for text in addresses:
        try:
            found[str(ip_network(text.strip(), strict=False))] = None
        except ValueError:
            raise ValidationError(
                {"addresses": f"{text.strip()[:60]} is no address or network: write 192.0.2.7 or 192.0.2.0/24."}
            ) from None
    if len(found) > MOST_ADDRESSES:
        raise ValidationError({"addresses": f"At most {MOST_ADDRESSES} networks."})
    return list(found)


def revoke_token(token: ApiToken, *, by: User) -> bool:
    """End a token at once; False when it was revoked before. The caller has checked that `by` may."""
    return bool(ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now(), revoked_by=by))
