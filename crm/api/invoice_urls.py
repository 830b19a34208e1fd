from rest_framework.routers import SimpleRouter

from crm.api.invoices import InvoiceView, PaymentView

router = SimpleRouter(use_regex_path=False)
router.register("crm/invoices", InvoiceView, basename="invoice")
router.register("crm/payments", PaymentView, basename="payment")

urlpatterns = router.urls
