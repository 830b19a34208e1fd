"""How pages write numbers and times: unknown is a dash, never zero."""

from decimal import Decimal

from django import template
from django.db import DatabaseError

from accounts.models import User
from hosting.alerts.services import open_count

register = template.Library()
UNKNOWN = "–"


@register.filter
def num(value: Decimal | float | str | None, decimals: int = 0) -> str:
    """With thousands separators and so many decimals."""
    # A variable that a template does not find is ''.
    return UNKNOWN if value is None or isinstance(value, str) else f"{value:,.{decimals}f}"


@register.filter
def kilo(value: Decimal | float | str | None, decimals: int = 1) -> str:
    """A thousandth: W as kW."""
    return num(value if value is None or isinstance(value, str) else float(value) / 1000, decimals)


@register.filter
def percent(share: Decimal | float | str | None, decimals: int = 0) -> str:
    """A share of 0 to 1 as per cent."""
    return num(share if share is None or isinstance(share, str) else float(share) * 100, decimals)


@register.filter
def known(value: object) -> object:
    return UNKNOWN if value is None or value == "" else value


@register.filter
def uptime(seconds: int | str | None) -> str:
    """Days and hours, or hours and minutes of a younger machine."""
    if seconds is None or seconds == "":
        return UNKNOWN
    days, rest = divmod(int(seconds), 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"


@register.simple_tag
def open_alerts(user: User) -> int:
    """Open alerts that nobody has taken on; 0 while the database does not tell."""
    try:
        return open_count(user)
    except DatabaseError:
        return 0
