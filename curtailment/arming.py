"""Making and changing rules, and arming them: what is armed was shown in a dry run, and a second person armed it."""

import hashlib
import json
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import User
from curtailment import trail
from curtailment.models import CurtailmentRule, SitePolicy
from curtailment.models.rules import CONTENT
from curtailment.planning import NotAllowed, StaleVersion
from curtailment.rules import bring_back, open_plans
from hosting.models import Site

COLUMNS = ("name", *CONTENT)
NOT_EDITED = ["edited_by", "armed_by"]


class CannotArm(Exception):
    """The rule is not armed; the message says what is missing."""


def rule_hash(rule: CurtailmentRule) -> str:
    """SHA-256 of what the rule does."""
    content = {name: getattr(rule, name) for name in CONTENT}
    for name in ("target_mw", "share_percent"):  # 1.5 and 1.500000 are one
        content[name] = None if content[name] is None else format(content[name].normalize(), "f")
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def make_rule(rule: CurtailmentRule, *, by: User | None) -> CurtailmentRule:
    """Save a new rule; it is not armed. Raises ValidationError, NotAllowed."""
    _may_plan(rule.site, by)
    rule.edited_by = by
    rule.content_hash = rule_hash(rule)
    rule.full_clean(exclude=NOT_EDITED)
    try:
        with transaction.atomic():
            rule.save(force_insert=True)
            trail.note("rule made", site=rule.site, detail=rule.name, data={"rule": rule.pk}, by=by)
    except IntegrityError:
        raise ValidationError({"name": f"{rule.site} has a rule of this name."}) from None
    return rule


def edit_rule(rule: CurtailmentRule, *, version: int, by: User | None) -> CurtailmentRule:
    """Save the changed rule; when it does something else now it is disarmed. Raises StaleVersion, ValidationError, NotAllowed.

    `version` is the one that the person saw.
    """
    _may_plan(rule.site, by)
    rule.full_clean(exclude=NOT_EDITED)
    rule.content_hash = rule_hash(rule)
    with transaction.atomic():
        known = CurtailmentRule.objects.select_for_update().get(pk=rule.pk)
        if known.version != version:
            raise StaleVersion("The rule was changed by somebody else: load it again and look.")
        changes = {name: getattr(rule, name) for name in COLUMNS}
        if known.content_hash != rule.content_hash:
            if known.armed:
                disarm(known, why="it was edited", by=by)
            changes |= {"content_hash": rule.content_hash, "edited_by": by, "edited_at": Now(), "version": version + 1}
            changes |= {"windows_above": 0, "windows_below": 0, "counted_window": None}
        CurtailmentRule.objects.filter(pk=rule.pk).update(**changes)
        trail.note("rule edited", site=rule.site, detail=rule.name, data={"rule": rule.pk}, by=by)
    rule.refresh_from_db()
    return rule


def was_tried(rule: CurtailmentRule, *, content_hash: str, now: datetime) -> bool:
    """Note that somebody was shown a dry run of this content; False when the rule is another one meanwhile."""
    same = CurtailmentRule.objects.filter(pk=rule.pk, content_hash=content_hash)
    return bool(same.update(tried_hash=content_hash, tried_at=now))


def arm(rule: CurtailmentRule, *, content_hash: str, by: User) -> None:
    """Let the rule act. One statement decides. Raises CannotArm, NotAllowed.

    By somebody else than who last edited it, unless the site's policy is that of a one-person farm.
    """
    _may_arm(rule, by)
    policy = SitePolicy.of(rule.site)
    legal = Q(pk=rule.pk, armed=False, content_hash=content_hash, tried_hash=F("content_hash"))
    if policy.four_eyes:
        legal &= Q(edited_by__isnull=True) | ~Q(edited_by=by)
    with transaction.atomic():
        done = CurtailmentRule.objects.filter(legal).update(
            armed=True, armed_by=by, armed_at=Now(), windows_above=0, windows_below=0, counted_window=None
        )
        if not done:
            raise CannotArm(_why_not(rule, content_hash, four_eyes=policy.four_eyes, by=by))
        alone = "" if policy.four_eyes else "; the site asks for no second person"
        trail.note("rule armed", site=rule.site, detail=f"{rule.name}{alone}", data={"rule": rule.pk}, by=by)
    rule.refresh_from_db()


def disarm(rule: CurtailmentRule, *, why: str = "", by: User | None) -> bool:
    """Let it act no more, and bring back what it holds; False when it was not armed."""
    with transaction.atomic():
        if not CurtailmentRule.objects.filter(pk=rule.pk, armed=True).update(
            armed=False, armed_by=None, armed_at=None, active_since=None, ended_at=Now(), rests=True
        ):
            return False
        bring_back(open_plans(rule), f"{rule.name} was disarmed")
        trail.note(
            "rule disarmed",
            site=rule.site,
            detail=f"{rule.name}: {why}" if why else rule.name,
            data={"rule": rule.pk},
            by=by,
        )
    rule.refresh_from_db()
    return True


def changed(rule: CurtailmentRule, **fields: Any) -> CurtailmentRule:
    """The rule with these columns, not saved."""
    for name, value in fields.items():
        setattr(rule, name, value)
    return rule


def _why_not(rule: CurtailmentRule, content_hash: str, *, four_eyes: bool, by: User) -> str:
    known = CurtailmentRule.objects.get(pk=rule.pk)
    if known.armed:
        return "The rule is armed already."
    if known.content_hash != content_hash:
        return "The rule was changed meanwhile: load it again and look."
    if known.tried_hash != known.content_hash:
        return "Look at a dry run of it first: run the back-test on the rule's page."
    if four_eyes and known.edited_by_id == by.pk:
        return "You changed it last: somebody else has to arm it."
    return "The rule was changed meanwhile: load it again and look."


def _may_plan(site: Site, by: User | None) -> None:
    if by is not None and not (by.may("curtailment:plan") and Site.objects.for_user(by).filter(pk=site.pk).exists()):
        raise NotAllowed("You may not make rules for this site.")


def _may_arm(rule: CurtailmentRule, by: User) -> None:
    if not by.may("curtailment:approve") or not CurtailmentRule.objects.for_user(by).filter(pk=rule.pk).exists():
        raise NotAllowed("Your role may not arm rules. Ask an administrator of the farm.")
