from django.urls import path

from accounts import token_pages

urlpatterns = [
    path("", token_pages.token_list, name="tokens"),
    path("<int:pk>/revoke/", token_pages.token_revoke, name="token_revoke"),
]
