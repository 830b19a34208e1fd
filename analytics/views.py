"""Pages of the market, for staff and customers alike."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import actor, permission_required
from analytics import series
from analytics.indicators import MAX_MISSING
from analytics.models import STALE_AFTER, MarketSnapshot, Origin, TechnicalIndicator
from minefarm.lib.records import age

CHART_RANGES = ((24, "24 h"), (168, "7 d"), (720, "30 d"), (2160, "90 d"), (8784, "1 y"))
TERA = 10**12
MAX_HOURS = 20 * 366 * 24


@require_safe
@permission_required("marketsnapshot:view")
def market(request: HttpRequest) -> HttpResponse:
    return render(request, "analytics/market.html", page(request, timezone.now()))


@require_safe
@permission_required("marketsnapshot:view")
def market_chart(request: HttpRequest) -> JsonResponse:
    """What market.js draws."""
    grid = series.grid_of(until=timezone.now(), hours=charted_hours(request))
    return JsonResponse(series.market_chart(grid).as_json())


def page(request: HttpRequest, now: datetime) -> dict[str, Any]:
    """The newest price, the newest state of the network (they may be of different moments), and how old they are."""
    user = actor(request)
    snapshots = MarketSnapshot.objects.for_user(user)
    newest = snapshots.newest()
    chain = snapshots.filter(network_difficulty__isnull=False).order_by("-bucket").first()
    indicators = TechnicalIndicator.objects.for_user(user).filter(analytics=newest).first() if newest else None
    stale_after_min = int(STALE_AFTER.total_seconds() // 60)
    return {
        "nav": "market",
        "newest": newest,
        "chain": chain,
        "difficulty_t": chain and chain.network_difficulty and chain.network_difficulty / TERA,
        "indicators": indicators,
        "stale": newest is None or newest.is_stale(now),
        "chain_stale": chain is not None and chain.is_stale(now),
        "stale_after_min": stale_after_min,
        "price_age": age(newest.created_at if newest else None, now),
        "chain_age": age(chain.created_at if chain else None, now),
        "generated": Origin.GENERATED in {row.origin for row in (newest, chain) if row},
        "sources": newest.sources if newest and user.is_staff else [],
        "max_missing": MAX_MISSING,
        "chart_url": reverse("analytics:market_chart"),
        "chart_ranges": CHART_RANGES,
    }


def charted_hours(request: HttpRequest) -> int:
    """`hours` of the address, one to twenty years of them; a day when it is left out or makes no sense."""
    asked = request.GET.get("hours", "")
    return min(max(int(asked), 1), MAX_HOURS) if asked.isascii() and asked.isdecimal() and len(asked) < 8 else 24
