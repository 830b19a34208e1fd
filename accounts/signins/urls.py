from django.urls import path

from accounts.signins import views

urlpatterns = [
    path("security/", views.security, name="account_security"),
    path("sessions/end-others/", views.end_others, name="account_end_others"),
    path("sessions/<int:pk>/end/", views.end_session, name="account_end_session"),
]
