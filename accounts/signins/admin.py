"""The trail and the live sessions in the admin: to look at; a session can be ended."""

import allauth.mfa.admin
import allauth.usersessions.admin  # noqa: F401  registers what is unregistered below
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter

from accounts.models import LoginRecord, Outcome
from accounts.signins.places import location_of
from minefarm.lib.browsers import device_name
from minefarm.lib.records import UNKNOWN, GrowingRecordAdmin, RecordAdmin, age_with_moment, column

admin.site.unregister(Authenticator)  # sealed seeds: nothing to look at; `reset_second_factor` forgets one
admin.site.unregister(UserSession)

OUTCOME_LABELS = {
    Outcome.OK: "success",
    Outcome.SECOND_FACTOR_ASKED: "info",
    Outcome.BAD_PASSWORD: "warning",
    Outcome.SECOND_FACTOR_FAILED: "warning",
    Outcome.NOT_CONFIRMED: "warning",
    Outcome.THROTTLED: "danger",
    Outcome.SECOND_FACTOR_THROTTLED: "danger",
} | dict.fromkeys((Outcome.UNKNOWN_USER, Outcome.DISABLED, Outcome.EXPIRED_ACCESS, Outcome.MALFORMED), "default")


@admin.register(LoginRecord)
class LoginRecordAdmin(GrowingRecordAdmin):
    list_display = ("login_time", "outcome_label", "email", "user", "ip_address", "location", "device")
    list_filter = (("outcome", ChoicesDropdownFilter), ("login_time", RangeDateTimeFilter))
    list_filter_submit = True
    list_select_related = ("user",)
    search_fields = ("email", "ip_address", "session_ref")
    search_help_text = "E-mail, address or session"

    @column("outcome", ordering="outcome", label=OUTCOME_LABELS)
    def outcome_label(self, record: LoginRecord) -> tuple[str, str]:
        return record.outcome, record.get_outcome_display()


@admin.register(UserSession)
class UserSessionAdmin(RecordAdmin):
    list_display = ("user", "device", "ip", "location", "created_at", "seen")
    list_select_related = ("user",)
    search_fields = ("user__email", "ip")
    search_help_text = "E-mail or address"
    ordering = ("-last_seen_at",)
    fields = ("user", "device", "ip", "location", "user_agent", "created_at", "last_seen_at")
    actions = ("end_sessions",)

    @admin.action(description="End these sessions")
    def end_sessions(self, request: HttpRequest, sessions: QuerySet[UserSession]) -> None:
        count = 0
        for session in sessions:
            session.end()
            count += 1
        self.message_user(request, f"{count} session(s) ended.")

    @column("device")
    def device(self, session: UserSession) -> str:
        return device_name(session.user_agent)

    @column("location")
    def location(self, session: UserSession) -> str:
        return location_of(session.ip) or UNKNOWN

    @column("last seen", ordering="last_seen_at")
    def seen(self, session: UserSession) -> str:
        return age_with_moment(session.last_seen_at, timezone.now())
