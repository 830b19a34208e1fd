"""Searches of the fleet page that people keep."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User


class SavedViewRows(models.QuerySet["SavedView"]):
    def for_user(self, user: User) -> Self:
        """A member of staff's own and those that others share; customers have none."""
        return self.filter(Q(owner=user) | Q(is_shared=True)) if user.is_staff else self.none()


class SavedView(models.Model):
    """A filter and order of the fleet page under a name; `query` is the address's part after the question mark."""

    id = models.AutoField(primary_key=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    name = models.TextField()
    query = models.TextField()
    is_shared = models.BooleanField(default=False, db_default=False, help_text="Other members of staff see it, too.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = SavedViewRows.as_manager()

    class Meta:
        db_table = "saved_views"
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="saved_views_name")]

    def __str__(self) -> str:
        return self.name
