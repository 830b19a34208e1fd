"""Mails about plans: whoever answers for the farm hears when one person alone stops machines."""

from datetime import datetime

from django.core.mail import send_mail
from django.template.loader import render_to_string

from accounts.models import User
from accounts.roles import Role
from curtailment.models import CurtailmentPlan
from events.handlers import handler
from events.models import OutboxEvent


@handler("curtailment.break_glass", consumer="break-glass mails")
def mail_break_glass(event: OutboxEvent) -> None:
    """Tell every owner and admin; the outbox repeats it until the mail server takes it."""
    plan = CurtailmentPlan.objects.select_related("site").get(pk=event.payload["plan_id"])
    by = User.objects.filter(pk=event.payload["by_id"]).first()
    told = {
        "plan": plan,
        "by": by,
        "reason": event.payload["reason"],
        "until": datetime.fromisoformat(event.payload["until"]),
    }
    people = User.objects.with_standing().filter(role__in=(Role.OWNER, Role.ADMIN))
    send_mail(
        f"Break-glass: {by} stops machines at {plan.site} alone",
        render_to_string("curtailment/mail/break_glass.txt", told),
        None,
        [user.email for user in people if user.is_active and user.has_access],
    )
