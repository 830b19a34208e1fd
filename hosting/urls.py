from django.urls import path

from hosting import rack_views, views
from hosting.alerts import pages as alert_pages
from hosting.fleet import pages as fleet_pages

app_name = "hosting"

urlpatterns = [
    path("miners/", views.miner_list, name="miners"),
    path("miners/chart.json", views.client_chart, name="client_chart"),
    path("miners/<int:pk>/", views.miner_detail, name="miner"),
    path("miners/<int:pk>/chart.json", views.miner_chart, name="miner_chart"),
    path("fleet/", fleet_pages.fleet, name="fleet"),
    path("fleet/act/", fleet_pages.act, name="fleet_act"),
    path("fleet/views/", fleet_pages.keep_view, name="keep_view"),
    path("fleet/views/<int:pk>/delete/", fleet_pages.drop_view, name="drop_view"),
    path("alerts/", alert_pages.alert_list, name="alerts"),
    path("alerts/<int:pk>/acknowledge/", alert_pages.acknowledge, name="acknowledge"),
    path("fleet/racks/", rack_views.racks, name="racks"),
    path("tickets/", rack_views.ticket_list, name="tickets"),
    path("tickets/<int:pk>/", rack_views.ticket_detail, name="ticket"),
    path("sites/<int:pk>/racks/", rack_views.site_racks, name="site_racks"),
    path("sites/", views.site_list, name="sites"),
    path("sites/<int:pk>/", views.site_detail, name="site"),
    path("sites/<int:pk>/chart.json", views.site_chart, name="site_chart"),
]
