"""What people and passes did to plans and to sites, in the order in which it happened."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from curtailment.models.plans import CurtailmentPlan
from hosting.models import Site


class PlanEventRows(models.QuerySet["PlanEvent"]):
    def for_user(self, user: User) -> Self:
        """Staff: what was done at the sites that they reach; nobody else anything."""
        if not user.is_staff:
            return self.none()
        return self if user.site_ids is None else self.filter(site__in=user.site_ids)


class PlanEvent(models.Model):
    """One act about a plan, or about a whole site when `plan` is empty. Never changed, never deleted: a trigger refuses it."""

    id = models.BigAutoField(primary_key=True)
    plan = models.ForeignKey(
        CurtailmentPlan, models.PROTECT, null=True, blank=True, related_name="trail", db_index=False
    )
    site = models.ForeignKey(Site, models.PROTECT, related_name="curtailment_trail", db_index=False)
    at = models.DateTimeField(db_default=Now())
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Empty: a pass, a rule, or the command line.",
    )
    verb = models.TextField(help_text="What was done, such as approved, edited, frozen.")
    detail = models.TextField(default="", db_default="", blank=True, help_text="For people: how, and why.")
    data = models.JSONField(default=dict, db_default={}, blank=True)

    objects = PlanEventRows.as_manager()

    class Meta:
        db_table = "curtailment_plan_events"
        ordering = ["-id"]
        verbose_name = "act of curtailment"
        verbose_name_plural = "acts of curtailment"
        indexes = [
            models.Index(fields=["plan", "-id"], name="idx_plan_events_plan"),
            models.Index(fields=["site", "-id"], name="idx_plan_events_site"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(verb=""), name="curtailment_plan_events_verb"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {f'plan {self.plan_id}' if self.plan_id else f'site {self.site_id}'}"
