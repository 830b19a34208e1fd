"""The market and its indicators, to look at: collections, imports and calculations write them."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import RangeDateTimeFilter

from accounts.access import actor
from analytics.models import MarketSnapshot, PowerContract, PriceKind, TariffBand, TechnicalIndicator
from analytics.power import expand_tariff
from analytics.tariff import BadTariff, week_of
from minefarm.lib.records import UNKNOWN, FarmAdmin, GrowingRecordAdmin, column

ORIGINS = {"live": "success", "imported": "info", "generated": "warning"}
SIGNALS = {"BUY": "success", "SELL": "danger", "NEUTRAL": "info"}


@admin.register(MarketSnapshot)
class MarketSnapshotAdmin(GrowingRecordAdmin):
    list_display = ("bucket", "price", "hashprice", "difficulty", "block_height", "fees_btc", "came_from")
    list_filter = (("bucket", RangeDateTimeFilter), "origin")
    list_filter_submit = True
    ordering = ("-bucket",)
    fields = (
        *("bucket", "created_at", "origin", "btc_price", "volume_24h", "network_difficulty", "network_hashrate"),
        *("block_height", "block_reward", "fees_btc", "next_retarget_at", "retarget_percent"),
        *("hashprice_usd_per_ph_day", "hashprice_sat_per_th_day", "who_was_asked"),
    )
    readonly_fields = ("who_was_asked",)

    @column("price, $", ordering="btc_price")
    def price(self, row: MarketSnapshot) -> str:
        return UNKNOWN if row.btc_price is None else f"{row.btc_price:,.2f}"

    @column("$/PH/day", ordering="hashprice_usd_per_ph_day")
    def hashprice(self, row: MarketSnapshot) -> str:
        return UNKNOWN if row.hashprice_usd_per_ph_day is None else f"{row.hashprice_usd_per_ph_day:,.2f}"

    @column("difficulty, T", ordering="network_difficulty")
    def difficulty(self, row: MarketSnapshot) -> str:
        return UNKNOWN if row.network_difficulty is None else f"{row.network_difficulty / 10**12:,.2f}"

    @column("origin", label=ORIGINS)
    def came_from(self, row: MarketSnapshot) -> tuple[str, str]:
        return row.origin, row.origin

    @column("sources")
    def who_was_asked(self, row: MarketSnapshot) -> SafeString | str:
        return format_html_join("", "<p>{}: {}, {} ms {}</p>", (source_line(one) for one in row.sources)) or UNKNOWN


def source_line(source: dict[str, Any]) -> tuple[object, ...]:
    """Name, outcome, latency and what it said, of a record as `Told.record()` makes it."""
    said = source.get("price_usd") or source.get("difficulty") or source.get("detail") or ""
    return source.get("name"), source.get("outcome"), source.get("latency_ms"), said


@admin.register(TechnicalIndicator)
class TechnicalIndicatorAdmin(GrowingRecordAdmin):
    list_display = ("at", "close", "rsi", "macd", "macd_signal", "bb_lower", "bb_upper", "advice", "run_length")
    list_filter = (("analytics__bucket", RangeDateTimeFilter), "signal")
    list_filter_submit = True
    list_select_related = ("analytics",)
    ordering = ("-analytics__bucket",)
    exclude = ("state",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("state", "analytics__sources")

    @column("at", ordering="analytics__bucket")
    def at(self, row: TechnicalIndicator) -> str:
        return f"{row.analytics.bucket:%Y-%m-%d %H:%M}"

    @column("close, $")
    def close(self, row: TechnicalIndicator) -> str:
        return f"{row.analytics.btc_price:,.2f}"

    @column("signal", label=SIGNALS)
    def advice(self, row: TechnicalIndicator) -> tuple[str, str] | str:
        return (row.signal, row.signal) if row.signal else UNKNOWN


# --- electricity --------------------------------------------------------------------------------------------------------


class BandFormSet(BaseInlineFormSet):  # type: ignore[type-arg]  # Django takes no parameters here at run time
    """Every hour of the week belongs to one band at most."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        kept = [
            form.instance.read() for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")
        ]
        try:
            week_of(kept, self.instance.price_per_kwh)
        except BadTariff as bad:
            raise ValidationError(str(bad)) from None


class TariffBandInline(TabularInline):
    model = TariffBand
    formset = BandFormSet
    extra = 1


@admin.register(PowerContract)
class PowerContractAdmin(FarmAdmin):
    list_display = ("site", "kind", "zone", "price_per_kwh", "currency", "starts_on")
    list_select_related = ("site",)
    inlines = (TariffBandInline,)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[PowerContract]":
        return PowerContract.objects.for_user(actor(request))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """A tariff counts from its first day at once; a market is asked by the next run."""
        super().save_related(request, form, formsets, change)
        contract = PowerContract.objects.select_related("site").get(pk=form.instance.pk)
        if contract.kind == PriceKind.TARIFF:
            done = expand_tariff(contract, since=contract.starts_at())
            messages.info(request, f"{done.rows} prices written." if done.changed else "The prices stay as they are.")
        else:
            messages.info(request, "Prices come with the next run; `manage.py collect_power_prices` asks at once.")
