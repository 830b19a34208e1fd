from accounts.models.grants import SiteLimit, UserAccess
from accounts.models.people import Standing, User, UserAccounts, UserStatus
from accounts.models.signins import LoginRecord, Outcome
from accounts.models.tokens import ApiToken

__all__ = [
    "ApiToken",
    "LoginRecord",
    "Outcome",
    "SiteLimit",
    "Standing",
    "User",
    "UserAccess",
    "UserAccounts",
    "UserStatus",
]
