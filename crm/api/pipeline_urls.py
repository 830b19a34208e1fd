from rest_framework.routers import SimpleRouter

from crm.api.activities import ActivityView
from crm.api.deals import DealView
from crm.api.leads import LeadView

router = SimpleRouter(use_regex_path=False)
router.register("crm/leads", LeadView, basename="lead")
router.register("crm/deals", DealView, basename="deal")
router.register("crm/activities", ActivityView, basename="activity")

urlpatterns = router.urls
