from django.urls import path

from curtailment import hooks, rule_views, source_views

app_name = "rules"

urlpatterns = [
    path("rules/", rule_views.rule_list, name="rules"),
    path("rules/add/", rule_views.add_rule, name="add"),
    path("rules/<int:pk>/", rule_views.rule_detail, name="rule"),
    path("rules/<int:pk>/edit/", rule_views.edit_rule, name="edit"),
    path("rules/<int:pk>/try/", rule_views.try_rule, name="try"),
    path("rules/<int:pk>/arm/", rule_views.arm_rule, name="arm"),
    path("rules/<int:pk>/disarm/", rule_views.disarm_rule, name="disarm"),
    path("rules/sources/add/", source_views.add_source, name="add_source"),
    path("rules/sources/<uuid:pk>/", source_views.source_detail, name="source"),
    path("rules/sources/<uuid:pk>/token/", source_views.make_token, name="source_token"),
    path("rules/sources/<uuid:pk>/secret/", source_views.make_secret, name="source_secret"),
    path("rules/sources/<uuid:pk>/override/", source_views.override_source, name="source_override"),
    path("rules/sources/<uuid:pk>/disable/", source_views.disable_source, name="source_disable"),
    path("signals/<uuid:source_id>/", hooks.signal_hook, name="signal_hook"),
]
