from django.urls import path

from hosting import views

app_name = "hosting"

urlpatterns = [
    path("miners/", views.miner_list, name="miners"),
    path("miners/chart.json", views.client_chart, name="client_chart"),
    path("miners/<int:pk>/", views.miner_detail, name="miner"),
    path("miners/<int:pk>/chart.json", views.miner_chart, name="miner_chart"),
    path("sites/", views.site_list, name="sites"),
    path("sites/<int:pk>/", views.site_detail, name="site"),
    path("sites/<int:pk>/chart.json", views.site_chart, name="site_chart"),
]
