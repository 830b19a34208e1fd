from typing import Any

from django.http import HttpRequest
from unfold.contrib.filters.admin import RelatedDropdownFilter

from accounts.access import actor
from hosting.models import Site


class SiteFilter(RelatedDropdownFilter):
    """Offers the sites that the person reaches; the names of others stay unknown."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        reached = Site.objects.for_user(actor(request)).order_by("name")
        return [(site.pk, str(site)) for site in reached]
