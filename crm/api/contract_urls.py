from rest_framework.routers import SimpleRouter

from crm.api.contracts import ContractView

router = SimpleRouter(use_regex_path=False)
router.register("crm/contracts", ContractView, basename="contract")

urlpatterns = router.urls
