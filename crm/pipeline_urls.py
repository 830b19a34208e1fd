from django.urls import path

from crm import client_views, exports, pipeline_views

urlpatterns = [
    path("leads/", pipeline_views.leads, name="leads"),
    path("leads.csv", exports.leads_csv, name="leads_csv"),
    path("leads/<int:pk>/", pipeline_views.lead_page, name="lead"),
    path("leads/<int:pk>/move/", pipeline_views.lead_move, name="lead_move"),
    path("leads/<int:pk>/assign/", pipeline_views.lead_assign, name="lead_assign"),
    path("leads/<int:pk>/convert/", pipeline_views.lead_convert, name="lead_convert"),
    path("leads/<int:pk>/activity/", pipeline_views.lead_activity, name="lead_activity"),
    path("deals/", pipeline_views.board, name="deals"),
    path("deals.csv", exports.deals_csv, name="deals_csv"),
    path("deals/<int:pk>/", pipeline_views.deal_page, name="deal"),
    path("deals/<int:pk>/move/", pipeline_views.deal_move, name="deal_move"),
    path("deals/<int:pk>/activity/", pipeline_views.deal_activity, name="deal_activity"),
    path("tasks/<int:pk>/done/", pipeline_views.task_done, name="task_done"),
    path("clients/", client_views.clients, name="clients"),
    path("clients/<uuid:pk>/", client_views.client, name="client"),
]
