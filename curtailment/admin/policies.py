"""What a site allows, and which machines come last or never."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.access import actor
from accounts.stepup import StepUpForms
from curtailment.models import MinerTier, SitePolicy
from curtailment.overrides import set_four_eyes
from curtailment.refusals import REFUSED
from curtailment.trail import note
from hosting.models import Miner, Site
from minefarm.lib.records import FarmAdmin, column

LIMITS = (
    *("max_minutes", "cool_down_minutes", "sleep_wave", "down_mw_per_min", "wake_wave", "wake_every_s"),
    "up_mw_per_min",
)


@admin.register(SitePolicy)
class SitePolicyAdmin(StepUpForms, FarmAdmin):
    """Whether a second person approves is the owner's to say; every change is in the site's trail."""

    list_display = ("site", "four_eyes", "max_minutes", "cool_down_minutes", "sleep_wave", "wake_wave", "frozen_until")
    list_select_related = ("site",)
    fields = ("site", "four_eyes", *LIMITS)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[SitePolicy]":
        user = actor(request)
        rows = SitePolicy.objects.select_related("site")
        return rows if user.site_ids is None else rows.filter(site__in=user.site_ids)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = ("site",) if obj else ()
        return fixed if actor(request).may("curtailment:foureyes") else (*fixed, "four_eyes")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "site":
            kwargs["queryset"] = Site.objects.for_user(actor(request)).filter(curtailment_policy=None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: SitePolicy, form: Any, change: bool) -> None:
        """The limits are written here, the second person by its own service, which asks again and tells everybody."""
        wanted = obj.four_eyes
        limits = [name for name in LIMITS if name in form.changed_data]
        if not change:
            obj.four_eyes = True
            obj.save()
        elif limits:
            obj.save(update_fields=limits)
        if limits:
            told = {name: str(form.cleaned_data[name]) for name in limits}
            note("policy changed", site=obj.site_id, detail=", ".join(limits), data=told, by=actor(request))
        if "four_eyes" not in form.changed_data:
            return
        try:
            set_four_eyes(obj.site, on=wanted, reason="set in the admin", by=actor(request))
        except REFUSED as refusal:
            messages.error(request, str(refusal))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it would switch the second person on or a freeze off without a trail


@admin.register(MinerTier)
class MinerTierAdmin(FarmAdmin):
    list_display = ("whose", "tier_shown", "reason", "created_at")
    list_filter = (("tier", ChoicesDropdownFilter),)
    list_select_related = ("client", "miner")
    search_fields = ("client__name", "client__email", "miner__serial_number")
    search_help_text = "Client or serial"
    autocomplete_fields = ("miner",)
    fields = ("client", "miner", "tier", "reason")

    @column("client or machine")
    def whose(self, tier: MinerTier) -> str:
        return str(tier.miner or tier.client)

    @column("tier", ordering="tier", label={"protected": "success", "vip": "info", "standard": "default"})
    def tier_shown(self, tier: MinerTier) -> tuple[str, str]:
        return tier.tier, tier.get_tier_display()

    def get_queryset(self, request: HttpRequest) -> "QuerySet[MinerTier]":
        user = actor(request)
        rows = MinerTier.objects.select_related("client", "miner")
        return rows if user.site_ids is None else rows.filter(miner__in=Miner.objects.for_user(user))
