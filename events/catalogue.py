"""Every event that MineFarm publishes: when, and what its payload holds.

A payload only ever gains optional fields under the same version; anything else is a new version of the type.
docs/reference/events.md is written from here by `tools/events_reference.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

MAX_PAYLOAD_BYTES = 20_000

Schema = Mapping[str, Any]

FORMATS = FormatChecker(formats=("uuid", "email"))


@FORMATS.checks("date-time", raises=ValueError)
def has_a_time_zone(value: object) -> bool:
    """ISO 8601 with an offset; jsonschema by itself checks no times."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


class UnfitEvent(ValueError):
    """The event is not in the catalogue, or its payload is not what the catalogue says."""


@dataclass(frozen=True)
class EventType:
    """One kind of event; `fields` are JSON Schemas of the payload's keys, each with a description for people."""

    name: str
    when: str
    fields: Mapping[str, Schema]
    example: Mapping[str, Any]
    version: int = 1
    optional: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The payload's JSON Schema, draft 2020-12."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": f"{self.name} v{self.version}",
            "description": self.when,
            "type": "object",
            "additionalProperties": False,
            "required": [name for name in self.fields if name not in self.optional],
            "properties": dict(self.fields),
            "examples": [dict(self.example)],
        }

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(self.schema, format_checker=FORMATS)

    def problem(self, payload: Mapping[str, Any]) -> str | None:
        """What is wrong with the payload, or None."""
        if self._validator.is_valid(payload):
            return None
        error = best_match(self._validator.iter_errors(payload))
        where = "".join(f"[{step!r}]" for step in error.absolute_path)
        return f"payload{where}: {error.message}"


def payload_bytes(payload: Mapping[str, Any]) -> int:
    """Size of the payload as PostgreSQL writes it out."""
    return len(json.dumps(payload, ensure_ascii=False).encode())


MINER: dict[str, Schema] = {
    "miner_id": {"type": "integer", "description": "the machine's id"},
    "serial_number": {"type": "string", "description": "what is printed on it"},
    "site_id": {"type": "integer", "description": "where it stands"},
    "at": {"type": "string", "format": "date-time", "description": "minute of the sweep"},
    "last_reading_at": {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "last good reading; null when there was none",
    },
}
MINER_EXAMPLE = {
    "miner_id": 17,
    "serial_number": "SMTTYRHBDJAAI0123",
    "site_id": 1,
    "at": "2026-11-23T04:21:00+00:00",
    "last_reading_at": "2026-11-23T04:15:00+00:00",
}
COMMANDED: dict[str, Schema] = {name: MINER[name] for name in ("miner_id", "serial_number", "site_id")}
COMMANDED_EXAMPLE = {name: MINER_EXAMPLE[name] for name in COMMANDED}
PLAN: dict[str, Schema] = {
    "plan_id": {"type": "integer", "description": "the curtailment plan"},
    "site_id": {"type": "integer", "description": "where its machines stand"},
}
PLAN_EXAMPLE = {"plan_id": 7, "site_id": 1}
TICKET: dict[str, Schema] = {
    "ticket_id": {"type": "integer", "description": "the ticket"},
    "miner_id": {"type": "integer", "description": "the machine"},
    "title": {"type": "string", "description": "what is wrong, for people"},
    "status": {"type": "string", "description": "`open` or `closed`"},
    "fault": {"type": "string", "description": "`unknown`, `farm`, `client` or `vendor`"},
    "starts_at": {"type": "string", "format": "date-time", "description": "from when on the machine did not work"},
    "ends_at": {"type": ["string", "null"], "format": "date-time", "description": "until when; null while it lasts"},
}
TICKET_EXAMPLE = {
    "ticket_id": 12,
    "miner_id": 17,
    "title": "Board 2 is missing",
    "status": "open",
    "fault": "vendor",
    "starts_at": "2026-11-23T04:21:00+00:00",
    "ends_at": None,
}

PLANNED: dict[str, Schema] = {
    "plan_id": {"type": "integer", "description": "the curtailment plan"},
    "site_id": {"type": "integer", "description": "where"},
    "machines": {"type": "integer", "description": "how many are to stop"},
    "planned_kw": {"type": "number", "description": "sum of their baselines"},
    "scheduled_time": {"type": "string", "format": "date-time", "description": "when they are to stop"},
    "recovery_time": {"type": "string", "format": "date-time", "description": "when they are to come back"},
    "by_id": {"type": ["string", "null"], "description": "who; null for a rule or the command line"},
}
PLANNED_EXAMPLE = {
    "plan_id": 17,
    "site_id": 1,
    "machines": 614,
    "planned_kw": 2001.4,
    "scheduled_time": "2026-11-23T16:00:00+00:00",
    "recovery_time": "2026-11-23T18:00:00+00:00",
    "by_id": "0192f0c1-7b5e-7c3a-9d1e-2f4b6a8c0e11",
}

PLAN_ACT: dict[str, Schema] = {name: PLANNED[name] for name in ("plan_id", "site_id", "by_id")}
PLAN_ACT_EXAMPLE = {name: PLANNED_EXAMPLE[name] for name in PLAN_ACT}
SITE_ACT: dict[str, Schema] = {name: PLANNED[name] for name in ("site_id", "by_id")}
SITE_ACT_EXAMPLE = {name: PLANNED_EXAMPLE[name] for name in SITE_ACT}
REASON: Schema = {"type": "string", "description": "why, for people"}
UNTIL: Schema = {"type": "string", "format": "date-time", "description": "until when"}

ALERT: dict[str, Schema] = {
    "alert_id": {"type": "integer", "description": "the alert"},
    "kind": {"type": "string", "description": "what is wrong, e.g. `offline`"},
    "severity": {"type": "string", "description": "`critical`, `warning` or `info`"},
    "site_id": {"type": "integer", "description": "where"},
    "site": {"type": "string", "description": "its name"},
    "miner_id": {"type": ["integer", "null"], "description": "the machine; null when it is many of the site"},
    "serial_number": {"type": ["string", "null"], "description": "what is printed on it"},
    "machines": {"type": "integer", "description": "how many are in it; 0 when it is over"},
    "evidence": {"type": "string", "description": "what was read, for people"},
    "at": {"type": "string", "format": "date-time", "description": "since when, or when it was over"},
}
ALERT_EXAMPLE = {
    "alert_id": 31,
    "kind": "offline",
    "severity": "critical",
    "site_id": 1,
    "site": "North",
    "miner_id": None,
    "serial_number": None,
    "machines": 412,
    "evidence": "412 of 3000 machines",
    "at": "2026-11-23T04:21:00+00:00",
}
SITE: dict[str, Schema] = {
    "site_id": {"type": "integer", "description": "the site's id"},
    "name": {"type": "string", "description": "the site's name"},
    "at": {"type": "string", "format": "date-time", "description": "when it was found out"},
}
SITE_EXAMPLE = {"site_id": 1, "name": "North", "at": "2026-11-23T04:21:00+00:00"}

INVOICE: dict[str, Schema] = {
    "invoice_id": {"type": "integer", "description": "the invoice's id"},
    "invoice_number": {"type": "string", "description": "its number"},
    "amount": {"type": "string", "description": "what it asks for in all, tax included; below zero: a credit note"},
    "currency": {"type": "string", "description": "such as USD"},
    "due_date": {"type": ["string", "null"], "description": "last day to pay"},
}
INVOICE_EXAMPLE = {
    "invoice_id": 7,
    "invoice_number": "INV-2026-00007",
    "amount": "1250.40",
    "currency": "USD",
    "due_date": "2026-12-07",
}
BALANCE: Schema = {"type": "string", "description": "what is open after it"}
SIGNAL_SOURCE: dict[str, Schema] = {
    "source_id": {"type": "string", "format": "uuid", "description": "the source of signals"},
    "name": {"type": "string", "description": "what the farm calls it"},
    "site_id": {"type": "integer", "description": "the site that follows it"},
    "at": {"type": "string", "format": "date-time", "description": "when it was noticed"},
}
SIGNAL_SOURCE_EXAMPLE = {
    "source_id": "0b7a4b9e-6a58-4d3c-9d0a-3a6c1f0e8b11",
    "name": "ERCOT programme",
    "site_id": 1,
    "at": "2026-11-23T17:04:00+00:00",
}

CATALOGUE: dict[str, EventType] = {
    event.name: event
    for event in (
        EventType(
            "access.expiring",
            "somebody's access to the farm ends within a week, and again within a day",
            {
                "user_id": {"type": "string", "format": "uuid", "description": "the person"},
                "ends_at": {"type": "string", "format": "date-time", "description": "first moment without access"},
                "days": {"type": "integer", "description": "7 or 1"},
            },
            {"user_id": "019364f2-7a1c-7c3e-9a57-2f6d1f0c8e11", "ends_at": "2026-11-30T12:00:00+00:00", "days": 7},
        ),
        EventType(
            "lead.converted",
            "a lead becomes a deal and a client's account",
            {
                "lead_id": {"type": "integer", "description": "the lead"},
                "deal_id": {"type": "integer", "description": "the deal that it became"},
                "client_account_id": {"type": "string", "format": "uuid", "description": "the client's account"},
                "invited": {
                    "type": "boolean",
                    "description": "whether the account is new and its owner is mailed where to choose a password",
                },
            },
            {
                "lead_id": 12,
                "deal_id": 7,
                "client_account_id": "0192f0c1-7b5e-7c3a-9d1e-2f4b6a8c0e11",
                "invited": True,
            },
            optional=frozenset({"invited"}),
        ),
        EventType(
            "deal.stage_changed",
            "a deal moves on the board",
            {
                "deal_id": {"type": "integer", "description": "the deal"},
                "from_stage": {"type": "string", "description": "where it was"},
                "to_stage": {
                    "type": "string",
                    "description": "`discovery`, `proposal`, `negotiation`, `closed_won` or `closed_lost`",
                },
            },
            {"deal_id": 7, "from_stage": "proposal", "to_stage": "negotiation"},
        ),
        EventType(
            "alert.opened",
            "something is wrong with a machine, or with many of a site at once, and lasts",
            ALERT,
            ALERT_EXAMPLE,
        ),
        EventType(
            "alert.resolved",
            "an alert that was told is over",
            ALERT,
            ALERT_EXAMPLE | {"machines": 0},
        ),
        EventType(
            "invoice.credited",
            "a credit note was issued for an invoice",
            INVOICE
            | {
                "credit_note_id": {"type": "integer", "description": "the credit note's id"},
                "credit_note": {"type": "string", "description": "its number"},
                "credited": {"type": "string", "description": "what it takes off"},
                "balance": BALANCE,
            },
            INVOICE_EXAMPLE
            | {"credit_note_id": 9, "credit_note": "CN-2026-00001", "credited": "50.00", "balance": "1200.40"},
        ),
        EventType(
            "invoice.issued",
            "an invoice or a credit note got its number",
            INVOICE | {"kind": {"type": "string", "description": "`invoice` or `credit_note`"}},
            INVOICE_EXAMPLE | {"kind": "invoice"},
        ),
        EventType(
            "invoice.mail_wanted",
            "somebody asked to mail an invoice again",
            INVOICE,
            INVOICE_EXAMPLE,
        ),
        EventType("invoice.overdue", "an invoice was not paid by its due date", INVOICE, INVOICE_EXAMPLE),
        EventType("invoice.paid", "nothing of an invoice is open any more", INVOICE, INVOICE_EXAMPLE),
        EventType(
            "invoice.reminder",
            "a reminder of an invoice is due",
            INVOICE
            | {
                "step": {"type": "integer", "description": "days from the due date, below zero before it"},
                "balance": BALANCE,
            },
            INVOICE_EXAMPLE | {"step": -3, "balance": "1250.40"},
        ),
        EventType(
            "miner.command_failed",
            "a command to a machine ended without being done; `miner.commands_finished` tells of the whole batch",
            COMMANDED
            | {
                "batch_id": {"type": "integer", "description": "the batch that it belongs to"},
                "order": {"type": "string", "description": "`sleep`, `wake`, `reboot`, `set_power_limit` or `locate`"},
                "detail": {"type": "string", "description": "what happened, for people"},
            },
            COMMANDED_EXAMPLE | {"batch_id": 41, "order": "sleep", "detail": "it does not answer"},
        ),
        EventType(
            "miner.commands_finished",
            "every machine of a batch of commands has a result",
            {
                "batch_id": {"type": "integer", "description": "the batch"},
                "order": {"type": "string", "description": "`sleep`, `wake`, `reboot`, `set_power_limit` or `locate`"},
                "machines": {"type": "integer", "description": "how many machines it was given to"},
                "results": {"type": "object", "description": "number of machines by status"},
            },
            {"batch_id": 41, "order": "sleep", "machines": 1000, "results": {"confirmed": 950, "failed": 50}},
        ),
        EventType(
            "miner.identity_mismatch",
            "another machine answers at a machine's address; it is not commanded until that is put right",
            COMMANDED | {"found": {"type": "string", "description": "what the machine there says it is"}},
            COMMANDED_EXAMPLE | {"found": "serial number SMTTYRHBDJAAI0999, MAC 02:00:00:00:00:01"},
        ),
        EventType(
            "curtailment.plan_started",
            "an approved plan begins to stop machines",
            PLAN
            | {
                "machines": {"type": "integer", "description": "how many it is to stop"},
                "until": {"type": "string", "format": "date-time", "description": "when they come back"},
                "reason": {"type": "string", "description": "why, for people"},
            },
            PLAN_EXAMPLE | {"machines": 600, "until": "2026-11-23T18:00:00+00:00", "reason": "the grid asked for it"},
        ),
        EventType(
            "curtailment.plan_executed",
            "every machine of a plan was measured to be off, or given up for now",
            PLAN
            | {
                "off": {"type": "integer", "description": "machines that were measured to be off"},
                "unreachable": {"type": "integer", "description": "machines that did not stop; they are tried again"},
                "power_reduced_mw": {"type": ["number", "null"], "description": "measured; null without any meter"},
                "power_estimated_mw": {"type": "number", "description": "of machines that are off and have no meter"},
                "shortfall_mw": {"type": "number", "description": "what is missing of the target"},
            },
            PLAN_EXAMPLE
            | {
                "off": 570,
                "unreachable": 30,
                "power_reduced_mw": 1.72,
                "power_estimated_mw": 0.0,
                "shortfall_mw": 0.03,
            },
        ),
        EventType(
            "curtailment.plan_recovering",
            "a plan is over and its machines are brought back",
            PLAN
            | {
                "machines": {"type": "integer", "description": "how many were ordered to stop"},
                "requested": {"type": "boolean", "description": "whether somebody asked for it before the end"},
            },
            PLAN_EXAMPLE | {"machines": 600, "requested": False},
        ),
        EventType(
            "curtailment.plan_recovered",
            "every machine of a plan hashes again as measured, or was released",
            PLAN | {"done": {"type": "integer", "description": "machines that were measured to hash again"}},
            PLAN_EXAMPLE | {"done": 570},
        ),
        EventType(
            "curtailment.recovery_late",
            "machines of a plan are not back ten minutes after they should be; they are tried for ever",
            PLAN | {"open": {"type": "integer", "description": "machines that are not back"}},
            PLAN_EXAMPLE | {"open": 30},
        ),
        EventType(
            "curtailment.miner_drifted",
            "a machine that was off hashes again by itself; it is stopped again",
            PLAN
            | {
                "miner_id": {"type": "integer", "description": "the machine"},
                "drifts": {"type": "integer", "description": "how often in this plan"},
            },
            PLAN_EXAMPLE | {"miner_id": 17, "drifts": 1},
        ),
        EventType(
            "market.stale",
            "a collection found no price: no source answered, or those that did disagree; once until there is a price again",
            {
                "at": {"type": "string", "format": "date-time", "description": "when nothing was found"},
                "last_price_at": {
                    "type": ["string", "null"],
                    "format": "date-time",
                    "description": "newest price there is; null when there never was one",
                },
                "sources": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "description": "each source that was asked, and what came of it, e.g. `timeout`",
                },
            },
            {
                "at": "2026-11-23T04:30:02+00:00",
                "last_price_at": "2026-11-23T04:15:01+00:00",
                "sources": {"coinbase": "timeout", "kraken": "unreachable", "mempool": "http_error"},
            },
        ),
        EventType(
            "curtailment.settled",
            "a plan that is over has been settled from its readings",
            {
                "plan_id": {"type": "integer", "description": "the plan"},
                "site_id": {"type": "integer", "description": "where"},
                "settlement_id": {"type": "integer", "description": "the settlement"},
                "kwh_avoided": {
                    "type": ["string", "null"],
                    "description": "energy that was measured to be avoided, as a decimal; null when nothing was read",
                },
                "coverage": {"type": "string", "description": "share of the time off that was measured, 0 to 1"},
                "content_hash": {"type": "string", "description": "SHA-256 of the settlement"},
            },
            {
                "plan_id": 17,
                "site_id": 2,
                "settlement_id": 9,
                "kwh_avoided": "4120.250000",
                "coverage": "0.998200",
                "content_hash": "3b7e41c8a9d0f25e6c1b8a7d4f90e2c3b5a6978812cd34ef56ab78cd90ef1234",
            },
        ),
        EventType(
            "miner.offline",
            "no good reading of a machine for five minutes",
            MINER | {"error": {"type": "string", "description": "why the last attempt failed, e.g. `timeout`"}},
            MINER_EXAMPLE | {"error": "timeout"},
        ),
        EventType(
            "miner.online",
            "a machine that was offline gives a good reading",
            MINER | {"error": {"type": ["string", "null"], "description": "null"}},
            MINER_EXAMPLE | {"error": None},
        ),
        EventType(
            "curtailment.plan_created",
            "somebody plans to stop machines; it waits for approval",
            PLANNED,
            PLANNED_EXAMPLE,
        ),
        EventType(
            "curtailment.plan_edited",
            "a plan is changed before it begins, and has to be approved anew",
            PLANNED,
            PLANNED_EXAMPLE,
        ),
        EventType(
            "curtailment.plan_approved",
            "a plan may run: somebody else than its maker, the rule that made it, or a break-glass approval lets it",
            PLAN_ACT
            | {
                "kind": {
                    "type": "string",
                    "description": "`approval`, `alone` (one-person farm), `break_glass` or `rule`",
                },
                "machines": {"type": "integer", "description": "how many are to stop"},
                "scheduled_time": PLANNED["scheduled_time"],
                "recovery_time": PLANNED["recovery_time"],
            },
            PLAN_ACT_EXAMPLE
            | {"kind": "approval", "machines": 614}
            | {name: PLANNED_EXAMPLE[name] for name in ("scheduled_time", "recovery_time")},
        ),
        EventType(
            "curtailment.plan_cancelled",
            "somebody cancels a plan; machines that it stopped come back",
            PLAN_ACT
            | {"reason": REASON, "was": {"type": "string", "description": "its status before, e.g. `executing`"}},
            PLAN_ACT_EXAMPLE | {"reason": "the grid operator called it off", "was": "approved"},
        ),
        EventType(
            "curtailment.plan_extended",
            "a second person lets a plan's machines stay off until later",
            PLAN_ACT | {"reason": REASON, "until": UNTIL},
            PLAN_ACT_EXAMPLE | {"reason": "the grid asks for another hour", "until": "2026-11-23T19:00:00+00:00"},
        ),
        EventType(
            "curtailment.break_glass",
            "one person alone lets an emergency plan run; every owner and admin gets a mail",
            PLAN_ACT | {"reason": REASON, "until": UNTIL},
            PLAN_ACT_EXAMPLE | {"reason": "the transformer is on fire", "until": "2026-11-23T17:00:00+00:00"},
        ),
        EventType(
            "curtailment.restore_requested",
            "somebody wants all machines of a plan back before its end",
            PLAN_ACT | {"reason": REASON},
            PLAN_ACT_EXAMPLE | {"reason": "the price fell"},
        ),
        EventType(
            "curtailment.miner_handed_over",
            "a machine did not come back, and a person took it over: its plan orders nothing of it any more",
            PLAN_ACT
            | {
                "miner_id": {"type": "integer", "description": "the machine"},
                "ticket_id": {"type": "integer", "description": "the ticket that it is in"},
                "reason": REASON,
            },
            PLAN_ACT_EXAMPLE | {"miner_id": 17, "ticket_id": 4, "reason": "its power supply is dead"},
        ),
        EventType(
            "curtailment.site_restored",
            "somebody wants back all that plans stopped at a site; plans that had not begun are cancelled",
            SITE_ACT | {"reason": REASON, "plans": {"type": "integer", "description": "how many running ones restore"}},
            SITE_ACT_EXAMPLE | {"reason": "false alarm", "plans": 2},
        ),
        EventType(
            "curtailment.site_frozen",
            "no order of a plan leaves for a site, neither to stop nor to wake, until the freeze ends",
            SITE_ACT | {"reason": REASON, "until": UNTIL},
            SITE_ACT_EXAMPLE | {"reason": "people work at the switchgear", "until": "2026-11-23T17:00:00+00:00"},
        ),
        EventType(
            "curtailment.site_unfrozen",
            "somebody ends a freeze before its time; one that runs out is not told",
            SITE_ACT | {"reason": REASON},
            SITE_ACT_EXAMPLE | {"reason": ""},
        ),
        EventType(
            "curtailment.four_eyes_changed",
            "the owner says whether plans of a site need a second person",
            SITE_ACT | {"reason": REASON, "on": {"type": "boolean", "description": "whether they do from now on"}},
            SITE_ACT_EXAMPLE | {"reason": "one person runs this farm", "on": False},
        ),
        EventType(
            "ticket.closed", "a maintenance ticket is closed for good", TICKET, TICKET_EXAMPLE | {"status": "closed"}
        ),
        EventType(
            "curtailment.rule_acted",
            "an armed rule stops machines, or brings back those that it stopped",
            {
                "rule_id": {"type": "integer", "description": "the rule"},
                "site_id": {"type": "integer", "description": "its site"},
                "kind": {
                    "type": "string",
                    "description": "`schedule`, `price`, `power_cap`, `temperature` or `signal`",
                },
                "act": {"type": "string", "description": "`start` or `stop`"},
                "why": {"type": "string", "description": "what it saw, for people"},
                "plan_ids": {
                    "type": "array",
                    "items": {"type": "integer"},
                    "description": "plans that it made or ended",
                },
                "at": {"type": "string", "format": "date-time", "description": "when it was evaluated"},
            },
            {
                "rule_id": 4,
                "site_id": 1,
                "kind": "price",
                "act": "start",
                "why": "182.40 $/MWh is above break-even 69.44 $/MWh",
                "plan_ids": [31],
                "at": "2026-11-23T17:05:00+00:00",
            },
        ),
        EventType(
            "curtailment.source_silent",
            "a source of signals that promised a heartbeat is silent for too long; its fail-safe holds",
            SIGNAL_SOURCE
            | {
                "silent_s": {"type": "integer", "description": "seconds since it was heard"},
                "fail_safe": {"type": "string", "description": "what holds meanwhile: `hold`, `restore` or `curtail`"},
            },
            SIGNAL_SOURCE_EXAMPLE | {"silent_s": 301, "fail_safe": "hold"},
        ),
        EventType(
            "curtailment.source_heard",
            "a source that was silent is heard again",
            SIGNAL_SOURCE,
            SIGNAL_SOURCE_EXAMPLE,
        ),
        EventType("ticket.opened", "somebody opens a maintenance ticket", TICKET, TICKET_EXAMPLE),
        EventType(
            "payment.recorded",
            "money for an invoice came, or was taken back",
            INVOICE
            | {
                "payment_id": {"type": "integer", "description": "the payment's id"},
                "paid": {"type": "string", "description": "how much; below zero: taken back"},
                "received_on": {"type": "string", "description": "when it came"},
                "balance": BALANCE,
            },
            INVOICE_EXAMPLE | {"payment_id": 3, "paid": "1250.40", "received_on": "2026-12-01", "balance": "0.00"},
        ),
        EventType(
            "site.agent_back",
            "a site's agent that was silent reports again",
            SITE
            | {
                "silent_since": {
                    "type": "string",
                    "format": "date-time",
                    "description": "when it was found to be silent",
                }
            },
            SITE_EXAMPLE | {"silent_since": "2026-11-23T04:21:00+00:00", "at": "2026-11-23T05:02:31+00:00"},
        ),
        EventType(
            "site.agent_silent",
            "a site's agent has reported no minute for five minutes",
            SITE
            | {
                "newest_minute": {
                    "type": ["string", "null"],
                    "format": "date-time",
                    "description": "the last that it reported; null when there was none",
                }
            },
            SITE_EXAMPLE | {"newest_minute": "2026-11-23T04:15:00+00:00"},
        ),
        EventType(
            "webhook.disabled",
            "an endpoint is switched off: it is gone, or has failed for days",
            {
                "endpoint_id": {"type": "integer", "description": "the endpoint"},
                "owner_id": {"type": "string", "format": "uuid", "description": "the person it belongs to"},
                "reason": {"type": "string", "description": "why, for people"},
            },
            {
                "endpoint_id": 4,
                "owner_id": "019364f2-7a1c-7c3e-9a57-2f6d1f0c8e11",
                "reason": "answered 410 Gone",
            },
        ),
        EventType(
            "webhook.test",
            "the owner of an endpoint asks for a test",
            {"message": {"type": "string", "description": "a greeting"}},
            {"message": "Hello from MineFarm"},
        ),
    )
}


def reference() -> str:
    """docs/reference/events.md as it must be."""
    parts = [INTRODUCTION]
    for event in sorted(CATALOGUE.values(), key=lambda event: event.name):
        rows = [
            f"| `{name}` | {words(schema)} | {note(event, name, schema)} |" for name, schema in event.fields.items()
        ]
        parts.append(
            "\n".join(
                [
                    f"## `{event.name}`, version {event.version}",
                    "",
                    f"When: {event.when}.",
                    "",
                    "| field | type | meaning |",
                    "|---|---|---|",
                    *rows,
                    "",
                    "```json",
                    json.dumps(event.example, ensure_ascii=False),
                    "```",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def words(schema: Schema) -> str:
    """The type of a field for people: `string (date-time) or null`."""
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else list(schema.get("type", ["any"]))
    form = f" ({schema['format']})" if "format" in schema else ""
    return " or ".join(kind + (form if kind == "string" else "") for kind in kinds)


def note(event: EventType, name: str, schema: Schema) -> str:
    text = str(schema.get("description", ""))
    return f"{text}; may be missing" if name in event.optional else text


INTRODUCTION = """\
# Events

An event is a row of `outbox_events`, written in the transaction that made it happen. `event_uuid` is its identity: it stays the
same over repeats, so a receiver that remembers it applies each event once. `aggregate_key` names what it happened to
(`miner:17`), and `aggregate_seq` counts the events of that thing from 1 in the order of their commits. A payload has at most
20,000 bytes. Within a version a payload only gains optional fields.

This page is written from `events/catalogue.py` by `tools/events_reference.py`."""
