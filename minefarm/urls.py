from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from minefarm import views

urlpatterns = [
    path("", views.home, name="home"),
    path("", include("hosting.urls")),
    path("accounts/tokens/", include("accounts.token_urls")),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("minefarm.api")),
    path("favicon.ico", RedirectView.as_view(url="/static/img/favicon.svg", permanent=True)),
    path("livez", views.livez, name="livez"),
    path("readyz", views.readyz, name="readyz"),
]
