"""Sources of signals: their token and secret, whether they are heard, and what a person decides instead of them."""

import base64
import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from curtailment import trail
from curtailment.facts import silent_for
from curtailment.models import SignalSource
from curtailment.triggers.signals import FailSafe
from events.alerts import alert
from events.outbox import publish
from hosting.models import Site
from minefarm.lib.sealing import seal, unseal

PREFIX = "mfs_"  # for secret scanners
SHOWN = len(PREFIX) + 6
LONGEST_TOKEN = 100
PURPOSE = "curtailment signals"
LONGEST_OVERRIDE = timedelta(days=1)


def make_source(
    *,
    site: Site,
    name: str,
    silent_after_s: int | None = None,
    fail_safe: FailSafe = FailSafe.HOLD,
    by: User | None,
) -> SignalSource:
    """A source without token or secret yet: it cannot speak before it is given one. Raises ValidationError by field."""
    source = SignalSource(
        site=site, name=name.strip(), silent_after_s=silent_after_s, fail_safe=fail_safe, created_by=by
    )
    source.full_clean(exclude=["created_by", "overridden_by"])
    try:
        with transaction.atomic():
            source.save(force_insert=True)
            trail.note("source made", site=site, detail=source.name, by=by)
    except IntegrityError:
        raise ValidationError({"name": f"{site} has a source of this name."}) from None
    return source


def new_token(source: SignalSource, *, by: User | None) -> str:
    """A token for the API's door, in place of the one before; shown here and never again."""
    token = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        SignalSource.objects.filter(pk=source.pk).update(token_digest=_digest(token), token_prefix=token[:SHOWN])
        trail.note("source token made", site=source.site, detail=source.name, by=by)
    return token


def new_secret(source: SignalSource, *, by: User | None) -> str:
    """A secret for signed webhooks, in place of the one before; shown here and never again."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with transaction.atomic():
        SignalSource.objects.filter(pk=source.pk).update(sealed_secret=seal(secret, purpose=PURPOSE))
        trail.note("source secret made", site=source.site, detail=source.name, by=by)
    return secret


def secret_of(source: SignalSource) -> str | None:
    """Raises minefarm.lib.sealing.Unreadable."""
    return unseal(source.sealed_secret, purpose=PURPOSE) if source.sealed_secret else None


def source_of(token: str) -> SignalSource | None:
    """Whose token this is; None for no one's and for a source that was switched off."""
    if not token.startswith(PREFIX) or len(token) > LONGEST_TOKEN or not token.isascii():
        return None
    known = SignalSource.objects.select_related("site")
    return known.filter(token_digest=_digest(token), disabled_at=None).first()


def disable(source: SignalSource, *, by: User) -> bool:
    """Hear it no more; False when that was so already. Its rules see it fall silent, or its last word end."""
    with transaction.atomic():
        done = SignalSource.objects.filter(pk=source.pk, disabled_at=None).update(disabled_at=Now())
        if done:
            trail.note("source switched off", site=source.site, detail=source.name, by=by)
    return bool(done)


def override(source: SignalSource, what: FailSafe | None, *, until: datetime | None, now: datetime, by: User) -> None:
    """Decide instead of the source until then, a day at most; `what` None gives it its say back. Raises ValidationError."""
    if what is not None and (until is None or not now < until <= now + LONGEST_OVERRIDE):
        raise ValidationError({"until": "Say until when, within a day."})
    with transaction.atomic():
        SignalSource.objects.filter(pk=source.pk).update(
            override=what, override_until=until if what else None, overridden_by=by if what else None
        )
        told = f"{source.name}: {what} until {until:%Y-%m-%d %H:%M} UTC" if what and until else f"{source.name}: none"
        trail.note("source overridden", site=source.site, detail=told, by=by)


def heard(source: SignalSource, now: datetime) -> None:
    """Note that it spoke; a source that was silent is told to be back. Call it in the transaction of what it said."""
    earlier = Q(last_heard_at=None) | Q(last_heard_at__lt=now)
    SignalSource.objects.filter(earlier, pk=source.pk).update(last_heard_at=now)
    if SignalSource.objects.filter(pk=source.pk, silent_since__isnull=False).update(silent_since=None):
        publish("curtailment.source_heard", **_facts(source), at=now.isoformat())


def watch_silence(now: datetime) -> list[SignalSource]:
    """Sources that promised a heartbeat and have fallen silent; each is told once, as an event and a mail."""
    found = []
    watched = SignalSource.objects.filter(silent_after_s__isnull=False, silent_since=None, disabled_at=None)
    for source in watched.select_related("site"):
        quiet = silent_for(source, now)
        if quiet is None:
            continue
        with transaction.atomic():
            if not SignalSource.objects.filter(pk=source.pk, silent_since=None).update(silent_since=now):
                continue
            publish(
                "curtailment.source_silent",
                **_facts(source),
                silent_s=round(quiet.total_seconds()),
                fail_safe=source.fail_safe,
                at=now.isoformat(),
            )
        alert(
            f"signal source {source.pk}",
            f"{source.name} at {source.site} is silent",
            f"{source.name} promised a signal every {source.silent_after_s} s and has sent none for"
            f" {quiet.total_seconds():.0f} s. Until it is heard again its rules do this: {source.get_fail_safe_display()}."
            " Ask the utility; at /curtailment/rules/ you can decide otherwise.",
        )
        found.append(source)
    return found


def _facts(source: SignalSource) -> dict[str, Any]:
    return {
        "about": f"source:{source.pk}",
        "source_id": str(source.pk),
        "name": source.name,
        "site_id": source.site_id,
    }


def _digest(token: str) -> str:
    """The token has 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()
