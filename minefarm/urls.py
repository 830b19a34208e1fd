from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from minefarm import views

urlpatterns = [
    path("", views.home, name="home"),
    path("", include("hosting.urls")),
    path("", include("analytics.urls")),
    path("crm/billing/", include("crm.billing_urls")),
    path("invoices/", include("crm.invoice_urls")),
    path("curtailment/", include("curtailment.urls")),
    path("curtailment/", include("curtailment.rule_urls")),
    path("", include("crm.urls")),
    path("webhooks/", include("events.urls")),
    path("account/", include("accounts.signins.urls")),
    # One address per account, which staff set: allauth's page for more of them is not offered.
    path("accounts/email/", RedirectView.as_view(pattern_name="account_security")),
    path("accounts/tokens/", include("accounts.token_urls")),
    path("", include("accounts.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("accounts/2fa/", RedirectView.as_view(pattern_name="account_security")),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("minefarm.api")),
    path("favicon.ico", RedirectView.as_view(url="/static/img/favicon.svg", permanent=True)),
    path("livez", views.livez, name="livez"),
    path("readyz", views.readyz, name="readyz"),
]

handler429 = "minefarm.views.too_many"  # allauth's name for it
