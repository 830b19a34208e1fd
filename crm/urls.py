from django.urls import include, path

app_name = "crm"

urlpatterns = [
    path("crm/", include("crm.pipeline_urls")),
]
