"""Settlements in the admin, to look at: the database keeps them as they were written."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import RangeDateTimeFilter

from accounts.access import actor
from curtailment.models import Settlement
from hosting.admin.filters import SiteFilter
from minefarm.lib.records import RecordAdmin, column


@admin.register(Settlement)
class SettlementAdmin(RecordAdmin):
    list_display = (
        *("page", "site", "starts_at", "ends_at", "requested_w", "delivered_w", "confirmed", "failed"),
        *("kwh_avoided", "coverage", "created_at"),
    )
    list_filter = (("plan__site", SiteFilter), ("starts_at", RangeDateTimeFilter))
    list_filter_submit = True
    list_select_related = ("plan__site",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Settlement]":
        return Settlement.objects.for_user(actor(request)).select_related("plan__site")

    @column("settlement", ordering="pk")
    def page(self, settlement: Settlement) -> str:
        path = reverse("curtailment:settlement", args=[settlement.plan_id])
        return format_html('<a href="{}">Plan {}: look</a>', path, settlement.plan_id)

    @column("site", ordering="plan__site__name")
    def site(self, settlement: Settlement) -> str:
        return str(settlement.plan.site)
