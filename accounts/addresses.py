"""Where a request comes from."""

from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address that connected to us."""
    return str(request.META.get("REMOTE_ADDR", ""))
