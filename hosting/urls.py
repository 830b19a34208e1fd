from django.urls import path

from hosting import rack_views, views

app_name = "hosting"

urlpatterns = [
    path("miners/", views.miner_list, name="miners"),
    path("miners/chart.json", views.client_chart, name="client_chart"),
    path("miners/<int:pk>/", views.miner_detail, name="miner"),
    path("miners/<int:pk>/chart.json", views.miner_chart, name="miner_chart"),
    path("fleet/racks/", rack_views.racks, name="racks"),
    path("tickets/", rack_views.ticket_list, name="tickets"),
    path("tickets/<int:pk>/", rack_views.ticket_detail, name="ticket"),
    path("sites/<int:pk>/racks/", rack_views.site_racks, name="site_racks"),
    path("sites/", views.site_list, name="sites"),
    path("sites/<int:pk>/", views.site_detail, name="site"),
    path("sites/<int:pk>/chart.json", views.site_chart, name="site_chart"),
]
