from django.urls import path
from rest_framework.routers import SimpleRouter

from hosting.api.ledger import MinerChartView, MinerEnergyView, SiteChartView, SiteEnergyView
from hosting.api.places import BuildingView, CircuitView, RackView
from hosting.api.telemetry import MinerTelemetryView, SiteTelemetryView, TelemetryView
from hosting.api.tickets import TicketView
from hosting.api.views import MinerModelView, MinerView, SiteView

router = SimpleRouter(use_regex_path=False)
router.register("sites", SiteView, basename="site")
router.register("models", MinerModelView, basename="model")
router.register("miners", MinerView, basename="miner")
router.register("buildings", BuildingView, basename="building")
router.register("racks", RackView, basename="rack")
router.register("circuits", CircuitView, basename="circuit")
router.register("tickets", TicketView, basename="ticket")

urlpatterns = [
    *router.urls,
    path("telemetry/", TelemetryView.as_view(), name="telemetry"),
    path("miners/<int:pk>/telemetry/", MinerTelemetryView.as_view(), name="miner-telemetry"),
    path("sites/<int:pk>/telemetry/", SiteTelemetryView.as_view(), name="site-telemetry"),
    path("miners/<int:pk>/chart/", MinerChartView.as_view(), name="miner-chart"),
    path("miners/<int:pk>/energy/", MinerEnergyView.as_view(), name="miner-energy"),
    path("sites/<int:pk>/chart/", SiteChartView.as_view(), name="site-chart"),
    path("sites/<int:pk>/energy/", SiteEnergyView.as_view(), name="site-energy"),
]
