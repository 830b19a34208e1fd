"""What each role may do, as one table of `resource:action`.

A resource is a model's name in lower case or a thing of the trade; an action is one of view, add, change, delete, or a verb of
that resource: `own` is to have some of one's own, whatever else one may see. Staff roles reach the admin; a client or guest
never does. Which rows somebody sees is not said here but by `for_user()`: clients see what is theirs; guests, and staff of
role user, may be limited to sites.
"""

from django.db import models


class Role(models.TextChoices):
    """Highest first: nobody makes, changes or invites anybody above themselves."""

    OWNER = "owner"
    ADMIN = "admin"
    USER = "user"
    CLIENT = "client"
    GUEST = "guest"


STAFF_ROLES = frozenset({Role.OWNER, Role.ADMIN, Role.USER})
VIEWABLE_ROLES = frozenset({Role.CLIENT, Role.GUEST})
# For whom rows of user_sites count. A guest without a row sees no site, staff of role user see all.
LIMITABLE_ROLES = frozenset({Role.USER, Role.GUEST})

# Who may: o owner, a admin, u user, c client, g guest. What stands in no line is for owners and admins.
TABLE: dict[str, str] = {
    # the farm
    "site:view": "oaucg",
    "site:add": "oa",
    "site:change": "oa",
    "site:delete": "oa",
    "minermodel:view": "oaucg",
    "minermodel:add": "oa",
    "minermodel:change": "oa",
    "minermodel:delete": "oa",
    "miner:view": "oaucg",
    "miner:add": "oau",
    "miner:change": "oau",
    "miner:delete": "oa",
    "miner:command": "oau",
    "commandbatch:view": "oau",
    "commandbatch:add": "oau",
    "minercommand:view": "oau",
    "discoveredminer:view": "oau",
    "discoveredminer:adopt": "oau",
    "building:view": "oau",
    "rack:view": "oau",
    "circuit:view": "oau",
    # repairs; tickets are closed, never deleted
    "maintenanceticket:view": "oauc",
    "maintenanceticket:add": "oau",
    "maintenanceticket:change": "oau",
    "maintenanceticket:delete": "",
    "ticketcomment:view": "oau",
    "ticketcomment:add": "oau",
    "ticketcomment:change": "",
    "ticketcomment:delete": "",
    "ticketpart:view": "oau",
    "ticketpart:add": "oau",
    "ticketpart:change": "oau",
    "ticketpart:delete": "oau",
    "minercredential:view": "oa",
    "minercredential:add": "oa",
    "minercredential:change": "oa",
    "minercredential:delete": "oa",
    # what is measured and done
    "telemetry:view": "oaucg",
    "telemetry:export": "oauc",
    "minerlatest:view": "oaucg",
    "telemetrysweep:view": "oau",
    "operationlog:view": "oaucg",
    "alert:view": "oauc",
    "alert:acknowledge": "oau",
    "alertrule:view": "oau",
    "alertrule:add": "oa",
    "alertrule:change": "oa",
    "alertrule:delete": "oa",
    "maintenancewindow:view": "oau",
    "maintenancewindow:add": "oau",
    "maintenancewindow:change": "oau",
    "maintenancewindow:delete": "oa",
    # the market: public figures, which nobody writes by hand
    "marketsnapshot:view": "oaucg",
    "marketsnapshot:add": "",
    "marketsnapshot:change": "",
    "marketsnapshot:delete": "",
    "technicalindicator:view": "oaucg",
    "technicalindicator:add": "",
    "technicalindicator:change": "",
    "technicalindicator:delete": "",
    # what it earns: staff of the farm, a customer of their own machines
    "profit:view": "oauc",
    "powercontract:view": "oau",
    # curtailment: who plans need not be who approves
    "curtailment:view": "oauc",
    "curtailment:plan": "oau",
    "curtailment:approve": "oa",
    "curtailment:execute": "oa",
    "curtailment:stop": "oau",
    "curtailment:override": "oa",
    "curtailmentplan:view": "oauc",
    "curtailmentplan:add": "",
    "curtailmentplan:change": "",
    "curtailmentplan:delete": "",
    "sitepolicy:view": "oau",
    "sitepolicy:delete": "",
    "minertier:view": "oau",
    "settlement:view": "oau",
    "settlement:add": "",
    "settlement:change": "",
    "settlement:delete": "",
    "curtailment:foureyes": "o",
    "curtailmentrule:view": "oau",
    "curtailmentrule:add": "",
    "curtailmentrule:change": "",
    "curtailmentrule:delete": "",
    "signalsource:view": "oau",
    "signalsource:add": "",
    "signalsource:change": "",
    "signalsource:delete": "",
    "signal:view": "oau",
    "signal:add": "",
    "signal:change": "",
    "signal:delete": "",
    # customers and money
    "lead:view": "oau",
    "lead:add": "oau",
    "lead:change": "oau",
    "lead:delete": "oa",
    "deal:view": "oau",
    "deal:add": "oau",
    "deal:change": "oau",
    "deal:delete": "oa",
    "contract:view": "oac",
    "usagesnapshot:add": "",
    "usagesnapshot:change": "",
    "usagesnapshot:delete": "",
    "activity:view": "oau",
    "activity:add": "oau",
    "activity:change": "oau",
    "activity:delete": "oa",
    "dealstagechange:view": "oau",
    "dealstagechange:add": "",
    "dealstagechange:change": "",
    "dealstagechange:delete": "",
    "invoice:view": "oac",
    "invoice:add": "oa",
    "invoice:change": "oa",
    "invoice:issue": "oa",
    "invoice:void": "oa",
    "payment:view": "oac",
    "payment:add": "oa",
    # events
    "endpoint:view": "oauc",
    "endpoint:add": "oauc",
    "endpoint:change": "oauc",
    "endpoint:delete": "oauc",
    "eventendpoint:own": "oauc",
    "outboxevent:view": "oa",
    "outboxevent:replay": "oa",
    "outboxevent:cancel": "oa",
    # programs that act for somebody
    "token:view": "oaucg",
    "token:add": "oaucg",
    "token:revoke": "oaucg",
    # people; owners are above admins, see may_manage()
    "user:view": "oa",
    "user:add": "oa",
    "user:change": "oa",
    "user:delete": "",
    "user:disable": "oa",
    "user:invite": "oa",
    "user:viewas": "oa",
    "user:makeowner": "o",
    "useraccess:view": "oa",
    "useraccess:add": "oa",
    "useraccess:change": "oa",
    "useraccess:delete": "",
    "invitation:view": "oa",
    "invitation:add": "oa",
    "invitation:change": "oa",
    "invitation:delete": "",
    "impersonation:view": "oa",
}
LETTERS = {Role.OWNER: "o", Role.ADMIN: "a", Role.USER: "u", Role.CLIENT: "c", Role.GUEST: "g"}
UNNAMED = "oa"
RANKS = {role.value: rank for rank, role in enumerate(reversed(Role))}


def allows(role: str, resource: str, action: str) -> bool:
    """Whether the role may do the action on the resource; unknown roles may do nothing."""
    return role in Role.values and LETTERS[Role(role)] in TABLE.get(f"{resource}:{action}", UNNAMED)


def may_manage(manager: str, role: str) -> bool:
    """Whether somebody of the first role may change, disable, invite or grant access to somebody of the second."""
    if role not in RANKS or not allows(manager, "user", "change"):
        return False
    if role == Role.OWNER:
        return allows(manager, "user", "makeowner")
    return RANKS[role] <= RANKS[manager]


def manageable_by(manager: str) -> list[Role]:
    """Roles that somebody of this role may give and take."""
    return [role for role in Role if may_manage(manager, role)]
