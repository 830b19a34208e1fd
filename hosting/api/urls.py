from django.urls import path
from rest_framework.routers import SimpleRouter

from accounts.rls import outside_the_wall
from hosting.api.agents import ReadingsView, TargetsView
from hosting.api.ledger import MinerChartView, MinerEnergyView, SiteChartView, SiteEnergyView
from hosting.api.telemetry import MinerTelemetryView, SiteTelemetryView, TelemetryView
from hosting.api.views import MinerModelView, MinerView, SiteView

router = SimpleRouter(use_regex_path=False)
router.register("sites", SiteView, basename="site")
router.register("models", MinerModelView, basename="model")
router.register("miners", MinerView, basename="miner")

# Whoever's session comes along: the token alone decides.
by_agents = outside_the_wall("an agent acts for its site, not for a person")

urlpatterns = [
    *router.urls,
    path("telemetry/", TelemetryView.as_view(), name="telemetry"),
    path("miners/<int:pk>/telemetry/", MinerTelemetryView.as_view(), name="miner-telemetry"),
    path("sites/<int:pk>/telemetry/", SiteTelemetryView.as_view(), name="site-telemetry"),
    path("miners/<int:pk>/chart/", MinerChartView.as_view(), name="miner-chart"),
    path("miners/<int:pk>/energy/", MinerEnergyView.as_view(), name="miner-energy"),
    path("sites/<int:pk>/chart/", SiteChartView.as_view(), name="site-chart"),
    path("agent/targets/", by_agents(TargetsView.as_view()), name="agent-targets"),
    path("agent/readings/", by_agents(ReadingsView.as_view()), name="agent-readings"),
    path("sites/<int:pk>/energy/", SiteEnergyView.as_view(), name="site-energy"),
]
