from rest_framework.routers import SimpleRouter

from crm.api.pipeline import ActivityView, DealView, LeadView

router = SimpleRouter(use_regex_path=False)
router.register("crm/leads", LeadView, basename="lead")
router.register("crm/deals", DealView, basename="deal")
router.register("crm/activities", ActivityView, basename="activity")

urlpatterns = router.urls
