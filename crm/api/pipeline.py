"""What the doors to leads, deals and activities have in common."""

from typing import Any

from accounts.models import User, UserStatus
from accounts.roles import STAFF_ROLES
from hosting.api import rows
from hosting.api.serializers import TEXT_LENGTH

OWNERS = User.objects.filter(role__in=STAFF_ROLES, status=UserStatus.ACTIVE)
STAFF_ONLY = "Staff alone; customers know nothing of the pipeline."
KW: dict[str, Any] = {"max_digits": 12, "decimal_places": 3, "min_value": 0, "allow_null": True, "required": False}
USD: dict[str, Any] = {"max_digits": 12, "decimal_places": 2, "min_value": 0, "allow_null": True, "required": False}
TEXT: dict[str, Any] = {"max_length": TEXT_LENGTH, "allow_null": True, "required": False}


def plain(flat: rows.Flat) -> dict[str, Any]:
    return {key.removesuffix("__email"): value for key, value in flat.items()}
