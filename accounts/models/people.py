"""People: one account per e-mail address, one role each."""

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from accounts.roles import EVERYTHING, PERMISSIONS, STAFF_ROLES, Role, allows


class UserStatus(models.TextChoices):
    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


class UserAccounts(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Make an account; without a password nobody can sign in to it until one is set."""
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Door of `manage.py createsuperuser`: the farm's owner."""
        return self.create_user(email, password, role=Role.OWNER, **fields)


class User(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(max_length=254)
    password = models.CharField("password", max_length=256, db_column="password_hash")
    role = models.CharField(max_length=16, choices=Role, default=Role.USER, db_default=Role.USER)
    name = models.TextField(null=True, blank=True)
    role_id = models.TextField("legacy role", null=True, blank=True, help_text="Carried over from an older system.")
    status = models.CharField(
        max_length=16, choices=UserStatus, default=UserStatus.ACTIVE, db_default=UserStatus.ACTIVE
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True, null=True)

    objects: ClassVar[UserAccounts] = UserAccounts()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        db_table = "users"
        ordering = ["email"]
        indexes = [
            models.Index(fields=["email"], name="idx_users_email"),
            models.Index(fields=["role"], name="idx_users_role"),
        ]
        constraints = [
            models.UniqueConstraint(
                Lower("email"), name="users_email_unique", violation_error_message="This e-mail address has an account."
            ),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="users_role_known"),
            models.CheckConstraint(condition=Q(status__in=UserStatus.values), name="users_status_known"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email.strip().lower()
        super().save(*args, **kwargs)

    @property
    def is_active(self) -> bool:  # type: ignore[override]  # Django's class attribute; ours follows the status
        return self.status == UserStatus.ACTIVE

    @property
    def is_staff(self) -> bool:
        """Reaches the admin and the staff pages."""
        return self.role in STAFF_ROLES

    @property
    def is_superuser(self) -> bool:
        return EVERYTHING in PERMISSIONS.get(Role(self.role), frozenset())

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Answer Django's `app.action_model` from the role table."""
        action, _, resource = perm.partition(".")[2].partition("_")
        return self.is_active and allows(self.role, resource, action)

    def has_perms(self, perm_list: list[str] | tuple[str, ...], obj: object = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        """Admin's question whether the app appears at all; each model then asks `has_perm`."""
        return self.is_active and self.is_staff

    def get_all_permissions(self, obj: object = None) -> set[str]:
        return set()
