from django.urls import path

from crm import contract_views, invoice_views

app_name = "invoices"

urlpatterns = [
    path("", invoice_views.invoice_list, name="invoices"),
    path("contracts/", contract_views.contract_list, name="contracts"),
    path("contracts/<int:pk>/", contract_views.contract_detail, name="contract"),
    path("<int:pk>/", invoice_views.invoice_detail, name="invoice"),
    path("<int:pk>/pdf/", invoice_views.invoice_pdf, name="pdf"),
    path("<int:pk>/usage.csv", invoice_views.invoice_usage, name="usage"),
]
