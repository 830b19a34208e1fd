"""A setting, command or event without documentation fails here."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from events.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
OURS = {"minefarm", "crm", "curtailment", "analytics", "hosting", "accounts", "events"}


def names_of_settings() -> set[str]:
    source = (ROOT / "minefarm" / "settings.py").read_text()
    return set(re.findall(r"env(?:_secret|\.\w+)\(\s*[\"']([A-Z_]+)[\"']", source))


def names_of_commands() -> set[str]:
    return {name for name, app in get_commands().items() if app in OURS}


def names_of_events() -> set[str]:
    found = set()
    for app in OURS:
        for path in (ROOT / app).rglob("*.py"):
            found |= set(re.findall(r"publish(?:_many)?\(\s*\"([a-z_.]+)\"", path.read_text()))
    return found | set(CATALOGUE)


def test_every_setting_is_in_the_reference():
    names = names_of_settings()
    assert {"DATABASE_URL", "SECRET_KEY", "TELEMETRY_POLL_TIMEOUT_S"} <= names
    text = (REFERENCE / "settings.md").read_text()
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_every_command_is_in_the_reference_and_has_an_example():
    names = names_of_commands()
    assert {"poll_miner", "collect_telemetry", "simulate_fleet", "maintain_partitions", "demo", "doctor"} <= names
    text = (REFERENCE / "commands.md").read_text()
    assert {name for name in names if f"`{name}" not in text} == set()


def test_every_event_is_in_the_reference():
    text = (REFERENCE / "events.md").read_text()
    assert {name for name in names_of_events() if f"`{name}`" not in text} == set()


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name
)
def test_every_link_of_the_documentation_leads_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text())
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []
