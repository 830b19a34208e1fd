"""`--site` of every command: a name or an id."""

from django.core.management.base import CommandError

from hosting.models import Site


def site_named(name_or_id: str) -> Site:
    """The site, or a CommandError that names those there are."""
    try:
        return Site.objects.named(name_or_id)
    except Site.DoesNotExist:
        known = ", ".join(f"{site.name} ({site.pk})" for site in Site.objects.all()[:10])
        raise CommandError(f"No site {name_or_id!r}. Sites: {known or 'none yet'}.") from None
    except Site.MultipleObjectsReturned:
        raise CommandError(f"Several sites answer to {name_or_id!r}: use the id.") from None
