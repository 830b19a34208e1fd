from accounts.models.people import User, UserAccounts, UserStatus

__all__ = ["User", "UserAccounts", "UserStatus"]
