from django.apps import AppConfig

from accounts.sites import register_choices


class HostingConfig(AppConfig):
    name = "hosting"
    verbose_name = "Hosting"

    def ready(self) -> None:
        from hosting.retention import register_rules

        register_choices(site_choices)
        register_rules()


def site_choices() -> list[tuple[int, str]]:
    """Sites to limit people to, for the accounts app below."""
    from hosting.models import Site

    return list(Site.objects.order_by("name").values_list("pk", "name"))
