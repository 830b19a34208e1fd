from rest_framework.routers import SimpleRouter

from accounts.api.tokens import TokenView

router = SimpleRouter(use_regex_path=False)
router.register("tokens", TokenView, basename="token")

urlpatterns = router.urls
