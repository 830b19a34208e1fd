from django.urls import path

from curtailment import acts, plan_views, views

app_name = "curtailment"

urlpatterns = [
    path("", views.plans, name="plans"),
    path("plan/", plan_views.plan_new, name="plan_new"),
    path("<int:pk>/", views.plan, name="plan"),
    path("<int:pk>/chart.json", views.chart, name="chart"),
    path("<int:pk>/settlement/", views.settlement, name="settlement"),
    path("<int:pk>/approve/", acts.approve, name="approve"),
    path("<int:pk>/cancel/", acts.cancel, name="cancel"),
    path("<int:pk>/restore/", acts.restore, name="restore"),
    path("<int:pk>/extend/", acts.extend, name="extend"),
    path("<int:pk>/machines/<int:target>/release/", acts.release, name="release"),
    path("<int:pk>/machines/<int:target>/hand-over/", acts.hand_over, name="hand_over"),
    path("sites/<int:pk>/freeze/", acts.freeze, name="freeze"),
    path("sites/<int:pk>/unfreeze/", acts.unfreeze, name="unfreeze"),
    path("sites/<int:pk>/restore/", acts.restore_site, name="restore_site"),
]
