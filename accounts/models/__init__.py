from accounts.models.people import User, UserAccounts, UserStatus
from accounts.models.signins import LoginRecord, Outcome
from accounts.models.tokens import ApiToken

__all__ = ["ApiToken", "LoginRecord", "Outcome", "User", "UserAccounts", "UserStatus"]
