from accounts.models.people import User, UserAccounts, UserStatus
from accounts.models.signins import LoginRecord, Outcome

__all__ = ["LoginRecord", "Outcome", "User", "UserAccounts", "UserStatus"]
