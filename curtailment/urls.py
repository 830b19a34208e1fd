from django.urls import path

from curtailment import plan_views

app_name = "curtailment"

urlpatterns = [
    path("plan/", plan_views.plan_new, name="plan_new"),
]
