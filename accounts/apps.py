from collections.abc import Iterable, Mapping
from importlib import import_module
from uuid import UUID

from django.apps import AppConfig

from events.guard import register_guard
from events.owners import Owner, register_lookup


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from accounts.signins import signals, tasks  # noqa: F401  receivers, and tasks that workers must know
        from accounts.signins.trail import register_rules
        from accounts.stepup import step_up

        import_module("accounts.api.authentication")  # tells the schema about tokens
        import_module("accounts.expiry")  # mails what the outbox tells it
        register_lookup(endpoint_owners)
        register_guard(step_up)
        register_rules()


def endpoint_owners(ids: Iterable[UUID]) -> Mapping[UUID, Owner]:
    """People behind endpoints, for the events app below: those without access hear of nothing, those limited to sites of nothing
    that is the farm's own."""
    from accounts.models import User

    people = User.objects.with_standing().filter(pk__in=ids)
    return {
        p.pk: Owner(
            p.pk,
            p.email,
            str(p),
            is_active=p.is_active and p.has_access,
            is_staff=p.is_staff and p.site_ids is None,
        )
        for p in people
    }
