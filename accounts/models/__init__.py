from accounts.models.people import User, UserAccounts, UserStatus
from accounts.models.tokens import ApiToken

__all__ = ["ApiToken", "User", "UserAccounts", "UserStatus"]
