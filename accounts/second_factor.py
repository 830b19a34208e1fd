"""The second factor: seeds sealed at rest, codes good once, and who must have one."""

from typing import Any

from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from accounts.models import User
from accounts.roles import Role
from minefarm.lib.sealing import seal, unseal

PURPOSE = "second-factor"
MUST_HAVE_ONE = frozenset({Role.OWNER, Role.ADMIN})
# A code fits its own half minute and one on either side; it is remembered for longer than that.
REMEMBER_CODE_S = 180


class SecondFactorAdapter(DefaultMFAAdapter):
    def encrypt(self, text: str) -> str:
        return seal(text, purpose=PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text, purpose=PURPOSE)

    def get_totp_issuer(self) -> str:
        return "MineFarm"

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """Who must have a second factor replaces it through an owner on the host, see reset_second_factor."""
        return not must_have_one(authenticator.user)

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        get_account_adapter().send_notification_mail(*args, **kwargs)


def must_have_one(user: User) -> bool:
    return bool(settings.REQUIRE_SECOND_FACTOR) and user.role in MUST_HAVE_ONE


def has_one(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists())


def take_code(user: User, code: str, authenticator: Authenticator) -> str:
    """Mark a right code as used; raises ValidationError when it was used before.

    Recovery codes are crossed out in the database by allauth itself.
    """
    if authenticator.type != Authenticator.Type.TOTP:
        return code
    digits = "".join(code.split())
    if not cache.add(f"second-factor:used:{user.pk}:{digits}", 1, REMEMBER_CODE_S):
        raise get_adapter().validation_error("incorrect_code")
    return code


@transaction.atomic
def reset_second_factor(user: User) -> int:
    """Forget a lost device and its recovery codes; returns how many of the two there were."""
    deleted, _ = Authenticator.objects.filter(user=user).delete()
    return int(deleted)
