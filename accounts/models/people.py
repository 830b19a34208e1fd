"""People: one account per e-mail address, one role each."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Lower, Now
from django.utils.crypto import salted_hmac

from accounts.models.grants import SiteLimit, UserAccess
from accounts.roles import LETTERS, LIMITABLE_ROLES, STAFF_ROLES, UNNAMED, Role, allows


class UserStatus(models.TextChoices):
    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True)
class Standing:
    """What rows beside the person say: whether there is any grant, whether one holds now, and the sites of their limits."""

    has_grant: bool = False
    in_window: bool = False
    limits: frozenset[int] = frozenset()


STANDING = ("standing_has_grant", "standing_in_window", "standing_limits")


class UserRows(models.QuerySet["User"]):
    def with_standing(self) -> Self:
        """People together with what decides about their access, in one query."""
        grants = UserAccess.objects.filter(user=OuterRef("pk"))
        return self.annotate(
            standing_has_grant=Exists(grants),
            standing_in_window=Exists(grants.effective()),
            standing_limits=ArraySubquery(SiteLimit.objects.filter(user=OuterRef("pk")).values("site_id")),
        )

    def active_owners(self) -> Self:
        return self.filter(role=Role.OWNER, status=UserStatus.ACTIVE)

    def shut_out(self) -> Self:
        """People who may not come in now: disabled, or without access by the database's clock."""
        without = Q(standing_in_window=False)
        if settings.ACCESS_WITHOUT_GRANT != "deny":
            without &= Q(standing_has_grant=True)
        return self.with_standing().filter(Q(status=UserStatus.DISABLED) | without & ~Q(role=Role.OWNER))


class UserAccounts(BaseUserManager["User"]):
    def get_queryset(self) -> UserRows:
        return UserRows(self.model, using=self._db)

    def with_standing(self) -> UserRows:
        return self.get_queryset().with_standing()

    def find_with_standing(self, pk: uuid.UUID) -> "User | None":
        """One person, for every request: the statement is put together once, which takes Django five times as long as to ask."""
        sql, params = person_with_standing()
        return next(iter(self.raw(sql, [pk if value == NOBODY else value for value in params])), None)

    def active_owners(self) -> UserRows:
        return self.get_queryset().active_owners()

    def shut_out(self) -> UserRows:
        return self.get_queryset().shut_out()

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
        return self.role in Role.values and LETTERS[Role(self.role)] in UNNAMED

    @cached_property
    def standing(self) -> Standing:
        """Read once for this object: with the person by the sign-in backend, else by one query."""
        if STANDING[0] in self.__dict__:
            found: Iterable[Any] | None = [self.__dict__[name] for name in STANDING]
        else:
            found = User.objects.with_standing().filter(pk=self.pk).values_list(*STANDING).first()
        if found is None:
            return Standing()
        has_grant, in_window, limits = found
        return Standing(has_grant, in_window, frozenset(limits))

    @property
    def has_access(self) -> bool:
        """Whether the person may come in at this time. Owners always may; without any grant the setting decides."""
        if self.role == Role.OWNER or self.standing.in_window:
            return True
        return not self.standing.has_grant and settings.ACCESS_WITHOUT_GRANT != "deny"

    @property
    def site_ids(self) -> frozenset[int] | None:
        """Sites that the person is limited to; None is no limit. Clients have none: they see what is theirs, anywhere."""
        if self.role not in LIMITABLE_ROLES:
            return None
        return self.standing.limits if self.standing.limits or self.role == Role.GUEST else None

    def reaches(self, site_id: int | None) -> bool:
        """Whether the site, or with None what is at no site, lies within the person's limits."""
        return self.site_ids is None or site_id in self.site_ids

    def may(self, permission: str) -> bool:
        """Answer `resource:action` from the role table, for somebody who is active and has access."""
        resource, _, action = permission.partition(":")
        return self.is_active and allows(self.role, resource, action) and self.has_access

    def may_at(self, permission: str, site_id: int | None) -> bool:
        """The same about one site."""
        return self.may(permission) and self.reaches(site_id)

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Answer Django's `app.action_model` likewise; an object that stands at a site must be within reach."""
        action, _, resource = perm.partition(".")[2].partition("_")
        if not self.may(f"{resource}:{action}"):
            return False
        return not hasattr(obj, "site_id") or self.reaches(obj.site_id)

    def has_perms(self, perm_list: list[str] | tuple[str, ...], obj: object = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        """Admin's question whether the app appears at all; each model then asks `has_perm`."""
        return self.is_active and self.is_staff

    def get_all_permissions(self, obj: object = None) -> set[str]:
        return set()

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        super().refresh_from_db(*args, **kwargs)
        for name in (*STANDING, "standing"):
            self.__dict__.pop(name, None)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django's seal of a session, with the role in it: a new role, like a new password, ends the person's sessions."""
        salt = "accounts.models.User.get_session_auth_hash"
        sealed = f"{self.role}:{self.password}"
        return salted_hmac(salt, sealed, secret=secret, algorithm="sha256").hexdigest()


NOBODY = uuid.UUID(int=0)


@cache
def person_with_standing() -> tuple[str, tuple[Any, ...]]:
    """SQL and parameters; NOBODY stands for the person."""
    sql, params = User.objects.with_standing().filter(pk=NOBODY).order_by().query.sql_with_params()
    return sql, tuple(params)
