from django.urls import path
from rest_framework.routers import SimpleRouter

from accounts.rls import outside_the_wall
from curtailment.api.rules import RuleView
from curtailment.api.signals import SignalView

router = SimpleRouter(use_regex_path=False)
router.register("curtailment/rules", RuleView, basename="curtailment-rule")

# Whoever's session comes along: the token alone decides.
by_sources = outside_the_wall("a source of signals acts for itself, not for a person")

urlpatterns = [
    path("curtailment/signals/", by_sources(SignalView.as_view()), name="curtailment-signals"),
    *router.urls,
]
