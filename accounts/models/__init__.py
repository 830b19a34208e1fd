from accounts.models.grants import SiteLimit, UserAccess
from accounts.models.invitations import Invitation
from accounts.models.people import Standing, User, UserAccounts, UserStatus
from accounts.models.signins import LoginRecord, Outcome
from accounts.models.tokens import ApiToken
from accounts.models.viewing import Impersonation

__all__ = [
    "ApiToken",
    "Impersonation",
    "Invitation",
    "LoginRecord",
    "Outcome",
    "SiteLimit",
    "Standing",
    "User",
    "UserAccess",
    "UserAccounts",
    "UserStatus",
]
