"""Finding the person of a session."""

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend

from accounts.models import User


class FarmBackend(AuthenticationBackend):
    def user_can_authenticate(self, user: Any) -> bool:
        """The rule of accounts/signins/door.py, for whoever signs in past that door."""
        return bool(user.is_active and user.has_access)

    def get_user(self, user_id: Any) -> User | None:
        """The session's person with their standing, in one query. Access is for the AccessWindow middleware to refuse."""
        user = User.objects.find_with_standing(user_id)
        return user if user is not None and user.is_active else None
