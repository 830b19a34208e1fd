"""The API's root: which resources there are, and what an error looks like."""

app_name = "api"

urlpatterns: list[object] = []
