from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from accounts.models import User
from hosting.models.inventory import Miner


class OperationLogRows(models.QuerySet["OperationLog"]):
    def for_user(self, user: User) -> Self:
        """Lines about machines that the user may see."""
        if user.is_staff and user.site_ids is None:
            return self
        return self.filter(miner__in=Miner.objects.for_user(user))


class OperationLog(models.Model):
    """What was done to a machine or found out about it, by whom; rows are only ever added."""

    id = models.AutoField(primary_key=True)
    miner = models.ForeignKey(Miner, models.PROTECT, related_name="operations", db_index=False)
    operation = models.TextField(help_text="For example start, shutdown, offline, online.")
    performed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        db_column="performed_by",
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty when MineFarm itself did it.",
    )
    details = models.TextField(null=True, blank=True)
    timestamp = models.DateTimeField(db_default=Now())

    objects = OperationLogRows.as_manager()

    class Meta:
        db_table = "miner_operation_log"
        ordering = ["-timestamp", "-id"]
        verbose_name = "operation log line"
        indexes = [
            models.Index(fields=["miner"], name="idx_operation_log_miner"),
            models.Index(fields=["-timestamp"], name="idx_operation_log_time"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.miner_id}"
