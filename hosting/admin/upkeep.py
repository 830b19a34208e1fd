"""What staff decide about time and money of records: holds against retention, and prices of electricity."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline

from accounts.access import actor
from hosting.models import ElectricityPrice, RetentionHold
from minefarm.lib.records import FarmAdmin


class ElectricityPriceInline(TabularInline):
    model = ElectricityPrice
    extra = 0
    verbose_name_plural = "electricity prices"


@admin.register(RetentionHold)
class RetentionHoldAdmin(FarmAdmin):
    list_display = ("table", "starts_at", "ends_at", "reason", "placed_by", "placed_at", "released_at")
    readonly_fields = ("placed_by", "placed_at")
    fields = ("table", "starts_at", "ends_at", "reason", "placed_by", "placed_at", "released_at")

    def save_model(self, request: HttpRequest, obj: RetentionHold, form: Any, change: bool) -> None:
        if not change:
            obj.placed_by = actor(request)
        super().save_model(request, obj, form, change)
