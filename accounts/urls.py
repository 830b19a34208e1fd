from django.urls import path

from accounts import pages

urlpatterns = [
    path("invitations/<str:secret>/", pages.accept_invitation, name="accept_invitation"),
    path("view-as/stop/", pages.stop_viewing, name="stop_viewing"),
    path("view-as/<uuid:pk>/", pages.view_as, name="view_as"),
]
