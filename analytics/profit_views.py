"""Pages of profit: the farm's for its staff, a customer's own earnings, and what-if for both."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from accounts.access import actor, permission_required, staff_required
from accounts.models import User
from accounts.roles import Role
from analytics.merit import fleet
from analytics.models import MarketSnapshot
from analytics.profit import Profit, Scope, TooMany, profit
from analytics.whatif import Scenario, halving_after_days, halving_at, pay_back_months, project
from hosting.cells import harmless
from hosting.models import Site

STAFF_GROUPS = (("site", "sites"), ("client", "customers"), ("model", "models"), ("miner", "machines"))
OWN_GROUPS = (("site", "sites"), ("model", "models"), ("miner", "machines"))
PERIODS = (("total", "the whole time"), ("day", "days"), ("month", "months"))
DEFAULT_DAYS = 7
MAX_DAYS = 400
SHOWN = 1000
CSV_ROWS = 100_000
CSV_COLUMNS = (
    *("starts_at", "site", "client", "model", "miner", "ths_h", "kwh", "revenue_usd", "cost_usd", "profit_usd"),
    *("machine_hours", "counted_hours", "note"),
)


class RangeForm(forms.Form):
    """First and last day, what to add up, and what to tell apart."""

    since = forms.DateField(required=False)
    until = forms.DateField(required=False)
    per = forms.ChoiceField(choices=PERIODS, required=False)

    def __init__(self, asked: Any, groups: Sequence[tuple[str, str]], today: date) -> None:
        super().__init__(asked)
        self.today = today
        self.fields["by"] = forms.ChoiceField(choices=groups, required=False)

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        until = found.get("until") or self.today
        since = found.get("since") or until - timedelta(days=DEFAULT_DAYS - 1)
        if until < since:
            raise forms.ValidationError("The last day must not be before the first.")
        if (until - since).days >= MAX_DAYS:
            raise forms.ValidationError(f"Ask for at most {MAX_DAYS} days at a time.")
        return {**found, "since": since, "until": until}


def clock_of(user: User) -> ZoneInfo:
    """The clock of all sites that the person may see, where it is one; UTC otherwise."""
    zones = set(Site.objects.for_user(user).values_list("time_zone", flat=True))
    return ZoneInfo(zones.pop() if len(zones) == 1 else "UTC")


def midnight(day: date, clock: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), clock).astimezone(UTC)


def answer(
    request: HttpRequest, template: str, groups: Sequence[tuple[str, str]], more: dict[str, Any]
) -> HttpResponse:
    """The page of a range, or with `as=csv` its rows as a file."""
    user = actor(request)
    clock = clock_of(user)
    form = RangeForm(request.GET, groups, timezone.now().astimezone(clock).date())
    as_csv = request.GET.get("as") == "csv"
    rows: list[Profit] = []
    totals: list[Profit] = []
    if form.is_valid():
        asked = form.cleaned_data
        start, end = midnight(asked["since"], clock), midnight(asked["until"] + timedelta(days=1), clock)
        per, by = asked["per"] or "total", asked["by"] or groups[0][0]
        try:
            rows = profit(Scope.of(user), start, end, per=per, by=[by], limit=CSV_ROWS if as_csv else SHOWN)
            totals = profit(Scope.of(user), start, end)
        except TooMany as many:
            form.add_error(None, f"{many} The CSV file takes {CSV_ROWS:,}.")
        else:
            if as_csv:
                return as_file(rows, f"profit-{asked['since']}-{asked['until']}.csv")
    context = {
        **more,
        "form": form,
        "rows": rows,
        "total": totals[0] if totals else None,
        "clock": clock.key,
        "groups": groups,
        "periods": PERIODS,
        "asked": form.cleaned_data if form.is_valid() else {},
        "csv_query": f"{request.GET.urlencode()}&as=csv" if request.GET else "as=csv",
    }
    return render(request, template, context, status=200 if form.is_valid() else 400)


def as_file(rows: Sequence[Profit], name: str) -> HttpResponse:
    """Texts that a spreadsheet program would run as formulas get a quote before them; numbers are ours and stay numbers."""
    reply = HttpResponse(content_type="text/csv; charset=utf-8")
    reply["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    writer = csv.writer(reply, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        values = asdict(row) | {"note": row.note, "starts_at": row.starts_at and row.starts_at.isoformat()}
        cells = (values[column] for column in CSV_COLUMNS)
        writer.writerow(harmless(cell) if isinstance(cell, str) else cell for cell in cells)
    return reply


@require_safe
@staff_required
@permission_required("profit:view")
def profit_page(request: HttpRequest) -> HttpResponse:
    """Profit of the farm, and which machines pay at today's price."""
    more: dict[str, Any] = {"nav": "profit", "merit_url": reverse("analytics:merit_chart")}
    if request.GET.get("as") != "csv":
        more["fleet"] = fleet(Scope.of(actor(request)), timezone.now())
    return answer(request, "analytics/profit.html", STAFF_GROUPS, more)


@require_safe
@staff_required
@permission_required("profit:view")
def merit_chart(request: HttpRequest) -> JsonResponse:
    """What merit.js draws."""
    return JsonResponse(fleet(Scope.of(actor(request)), timezone.now()).chart())


@require_safe
@permission_required("profit:view")
def earnings(request: HttpRequest) -> HttpResponse:
    """A customer's own machines: what they earned and what their electricity cost, as an estimate."""
    if actor(request).role != Role.CLIENT:
        raise Http404
    return answer(request, "analytics/earnings.html", OWN_GROUPS, {"nav": "earnings"})


# --- what if ------------------------------------------------------------------------------------------------------------


class WhatIfForm(forms.Form):
    """A scenario; what is left out comes from the newest snapshot."""

    hashrate_ths = forms.DecimalField(label="Hashrate, TH/s", min_value=Decimal("0.01"), max_value=10**7, initial=110)
    power_w = forms.DecimalField(label="Power, W", min_value=1, max_value=10**9, initial=3250)
    machine_price_usd = forms.DecimalField(
        label="Price of the machine, $", min_value=0, max_value=10**10, required=False
    )
    power_price_usd_per_mwh = forms.DecimalField(
        label="Electricity, $/MWh", min_value=-1000, max_value=10**5, initial=60
    )
    btc_price_usd = forms.DecimalField(label="Bitcoin, $", min_value=Decimal("0.01"), max_value=10**9)
    difficulty_t = forms.DecimalField(label="Difficulty, T", min_value=Decimal("0.000001"), max_value=10**9)
    subsidy_btc = forms.DecimalField(label="Block reward, BTC", min_value=0, max_value=50, initial=Decimal("3.125"))
    fees_btc = forms.DecimalField(label="Fees of a block, BTC", min_value=0, max_value=1000, initial=0)
    difficulty_growth_percent = forms.DecimalField(
        label="Difficulty grows, % a month", min_value=-50, max_value=100, initial=Decimal("2.5")
    )
    pool_fee_percent = forms.DecimalField(label="Pool fee, %", min_value=0, max_value=99, initial=0)
    halving_after_days = forms.DecimalField(label="Halving in, days", min_value=0, max_value=10**5, required=False)
    months = forms.IntegerField(label="Months ahead", min_value=1, max_value=120, initial=36)
    idles_at_a_loss = forms.BooleanField(label="Switch off at a loss", required=False)

    def scenario(self) -> Scenario:
        found = self.cleaned_data
        return Scenario(
            btc_price_usd=found["btc_price_usd"],
            difficulty=found["difficulty_t"] * 10**12,
            subsidy_btc=found["subsidy_btc"],
            fees_btc=found["fees_btc"],
            hashrate_ths=found["hashrate_ths"],
            power_w=found["power_w"],
            power_price_usd_per_kwh=found["power_price_usd_per_mwh"] / 1000,
            pool_fee=found["pool_fee_percent"] / 100,
            difficulty_growth_percent=found["difficulty_growth_percent"],
            halving_after_days=found["halving_after_days"],
            machine_price_usd=found["machine_price_usd"],
            months=found["months"],
            idles_at_a_loss=found["idles_at_a_loss"],
        )


@require_safe
@permission_required("profit:view")
def what_if(request: HttpRequest) -> HttpResponse:
    """A form of suppositions, filled from the newest snapshot, and the months that follow from them."""
    now = timezone.now()
    given = starting_values(now)
    form = WhatIfForm(request.GET) if request.GET else WhatIfForm(initial=given)
    context: dict[str, Any] = {"nav": "whatif", "form": form, "halves_at": given.pop("halves_at", None)}
    if request.GET and form.is_valid():
        scenario = form.scenario()
        months = list(project(scenario))
        paid = pay_back_months(scenario)
        context |= {"months": months, "pay_back": paid, "scenario": scenario, "end": months[-1]}
    return render(request, "analytics/whatif.html", context, status=400 if form.errors else 200)


def starting_values(now: datetime) -> dict[str, Any]:
    """What the newest snapshots say, by the names of the form's fields."""
    found: dict[str, Any] = {"idles_at_a_loss": True}
    snapshots = MarketSnapshot.objects.all()
    priced = snapshots.newest()
    chain = snapshots.filter(network_difficulty__isnull=False).order_by("-bucket").first()
    if priced:
        found["btc_price_usd"] = priced.btc_price
    if chain and chain.network_difficulty:
        found["difficulty_t"] = (chain.network_difficulty / 10**12).quantize(Decimal("0.0001"))
        found |= {"subsidy_btc": chain.block_reward, "fees_btc": chain.fees_btc}
        if chain.block_height is not None:
            found["halving_after_days"] = halving_after_days(chain.block_height).quantize(Decimal("0.1"))
            found["halves_at"] = halving_at(chain.block_height, now)
    return {name: value for name, value in found.items() if value is not None}
