from django.urls import path

from events import views

app_name = "events"

urlpatterns = [
    path("", views.endpoint_list, name="endpoints"),
    path("add/", views.add_endpoint, name="add"),
    path("<int:pk>/", views.endpoint_detail, name="endpoint"),
    path("<int:pk>/edit/", views.edit_endpoint, name="edit"),
    path("<int:pk>/test/", views.send_test, name="test"),
    path("<int:pk>/pause/", views.pause, name="pause"),
    path("<int:pk>/resume/", views.resume, name="resume"),
    path("<int:pk>/rotate/", views.rotate_secret, name="rotate"),
    path("<int:pk>/delete/", views.delete_endpoint, name="delete"),
    path("deliveries/<int:pk>/result/", views.test_result, name="result"),
    path("deliveries/<int:pk>/redeliver/", views.redeliver, name="redeliver"),
]
