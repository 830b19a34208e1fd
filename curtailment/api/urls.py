from django.urls import path
from rest_framework.routers import SimpleRouter

from curtailment.api.plans import PlanView
from curtailment.api.sites import FreezeView, RestoreSiteView

router = SimpleRouter(use_regex_path=False)
router.register("curtailment/plans", PlanView, basename="curtailment-plan")

urlpatterns = [
    *router.urls,
    path("curtailment/sites/<int:pk>/freeze/", FreezeView.as_view(), name="curtailment-freeze"),
    path("curtailment/sites/<int:pk>/restore/", RestoreSiteView.as_view(), name="curtailment-restore"),
]
