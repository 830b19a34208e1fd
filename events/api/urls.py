from rest_framework.routers import SimpleRouter

from events.api.views import DeliveryView, EndpointView

router = SimpleRouter(use_regex_path=False)
router.register("endpoints", EndpointView, basename="endpoint")
router.register("deliveries", DeliveryView, basename="delivery")

urlpatterns = router.urls
