from django.urls import path
from rest_framework.routers import SimpleRouter

from hosting.api.telemetry import MinerTelemetryView, SiteTelemetryView, TelemetryView
from hosting.api.views import MinerModelView, MinerView, SiteView

router = SimpleRouter(use_regex_path=False)
router.register("sites", SiteView, basename="site")
router.register("models", MinerModelView, basename="model")
router.register("miners", MinerView, basename="miner")

urlpatterns = [
    *router.urls,
    path("telemetry/", TelemetryView.as_view(), name="telemetry"),
    path("miners/<int:pk>/telemetry/", MinerTelemetryView.as_view(), name="miner-telemetry"),
    path("sites/<int:pk>/telemetry/", SiteTelemetryView.as_view(), name="site-telemetry"),
]
