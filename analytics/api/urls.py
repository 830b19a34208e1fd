from django.urls import path

from analytics.api.profit import ProfitView
from analytics.api.views import IndicatorView, LatestMarketView, MarketView

urlpatterns = [
    path("market/", MarketView.as_view(), name="market"),
    path("market/latest/", LatestMarketView.as_view(), name="market-latest"),
    path("indicators/", IndicatorView.as_view(), name="indicators"),
    path("profit/", ProfitView.as_view(), name="profit"),
]
