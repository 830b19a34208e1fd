from django.urls import path

from analytics import views

app_name = "analytics"

urlpatterns = [
    path("market/", views.market, name="market"),
    path("market/chart.json", views.market_chart, name="market_chart"),
]
