"""Everybody's API tokens, to look at and to revoke; the secrets are nowhere."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RangeDateTimeFilter

from accounts.access import actor
from accounts.models import ApiToken
from accounts.tokens import revoke_token
from minefarm.lib.records import RecordAdmin, age_with_moment, column

STATE_LABELS = {"active": "success", "expired": "default", "revoked": "danger"}


@admin.register(ApiToken)
class ApiTokenAdmin(RecordAdmin):
    list_display = ("name", "user", "token_key", "state_label", "scopes_shown", "last_used", "expiry")
    list_filter = (("expiry", RangeDateTimeFilter),)
    list_filter_submit = True
    list_select_related = ("user",)
    search_fields = ("name", "user__email", "token_key")
    search_help_text = "Name, owner's e-mail, or the start of a token that was found somewhere"
    ordering = ("-id",)
    fields = (
        "name",
        "user",
        "token_key",
        "scopes_shown",
        "addresses",
        "created",
        "expiry",
        "last_used_at",
        "revoked_at",
        "revoked_by",
    )
    actions = ("revoke",)

    @column("state", label=STATE_LABELS)
    def state_label(self, token: ApiToken) -> tuple[str, str]:
        return token.state, token.state

    @column("may")
    def scopes_shown(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @column("last used", ordering="last_used_at")
    def last_used(self, token: ApiToken) -> SafeString | str:
        return age_with_moment(token.last_used_at, timezone.now())

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, tokens: "QuerySet[ApiToken]") -> None:
        revoked = sum(revoke_token(token, by=actor(request)) for token in tokens)
        self.message_user(
            request, f"{revoked} revoked; programs that use them are refused from now on.", messages.SUCCESS
        )

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return actor(request).has_perm("accounts.change_apitoken")
