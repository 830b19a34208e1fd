from django.urls import path

from analytics import profit_views, views

app_name = "analytics"

urlpatterns = [
    path("market/", views.market, name="market"),
    path("market/chart.json", views.market_chart, name="market_chart"),
    path("profit/", profit_views.profit_page, name="profit"),
    path("profit/merit.json", profit_views.merit_chart, name="merit_chart"),
    path("earnings/", profit_views.earnings, name="earnings"),
    path("what-if/", profit_views.what_if, name="what_if"),
]
