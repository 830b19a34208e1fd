from django.urls import path

from crm import billing_views

app_name = "billing"

urlpatterns = [
    path("", billing_views.billing, name="billing"),
    path("runs/", billing_views.start_run, name="start"),
    path("runs/<int:pk>/", billing_views.run_page, name="run"),
    path("contracts/<int:pk>/", billing_views.contract_month, name="contract"),
    path("held/<int:pk>/", billing_views.let_out, name="let_out"),
]
