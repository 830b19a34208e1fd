"""Who may what: every route and method, asked by everybody, against one reviewed table.

The table is `who_may_what.txt`. After a deliberate change, `MATRIX_WRITE=1 make test ARGS="-n0 tests/access"` writes what was
seen; review the difference line by line before it is committed.
"""

import os
from pathlib import Path

import pytest
from django.db import transaction
from django.test import Client

from tests.access.actors import ACTORS
from tests.access.routes import fill, methods, parameters, routes

pytestmark = pytest.mark.django_db
TABLE = Path(__file__).with_name("who_may_what.txt")
WRITE = bool(os.environ.get("MATRIX_WRITE"))
HEAD = """\
# Who may what: the answer to every route and method, for each actor, by test_matrix.py. Reviewed by hand.
# 302 leads to sign-in (or, after a form, on); 404 hides what is not theirs; 403 is what a role may not; 405 is no such method.
# Objects in paths belong to client_a, and the tokens are client_a's. Bodies are empty: 400, or 200 on POST, is a form that asks.
"""


def read_table() -> dict[tuple[str, str], dict[str, int]]:
    table = {}
    lines = [line for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    actors = lines[0].split()[2:]
    for line in lines[1:]:
        route, method, *answers = line.split()
        table[route, method] = dict(zip(actors, map(int, answers), strict=True))
    return table


def write_table(seen: dict[tuple[str, str], dict[str, int]]) -> None:
    actors = list(ACTORS)
    width = max(len(route) for route, _ in seen) + 2
    lines = [HEAD, f"{'route':{width}}{'method':8}" + " ".join(f"{actor:>13}" for actor in actors)]
    for (route, method), answers in sorted(seen.items()):
        lines.append(f"{route:{width}}{method:8}" + " ".join(f"{answers.get(actor, 0):>13}" for actor in actors))
    TABLE.write_text("\n".join(lines) + "\n")


def ask(client: Client, method: str, path: str) -> int:
    """Status of one request whose effects are undone, in the database and in the client."""
    cookies = client.cookies.copy()
    with transaction.atomic():
        kind = "application/json" if path.startswith("/api/") else "application/x-www-form-urlencoded"
        reply = client.generic(method, path, content_type=kind)
        if getattr(reply, "streaming", False):
            b"".join(reply.streaming_content)
        transaction.set_rollback(True)
    client.cookies = cookies
    return int(reply.status_code)


def test_every_route_is_in_the_table_and_nothing_else():
    wanted = {(route, method) for route in routes() for method in methods(route)}
    told = set(read_table())
    assert wanted - told == set(), "routes without a reviewed line: see this file's docstring"
    assert told - wanted == set(), "lines without a route"


# A thousand routes take seconds for each actor: those that differ from another one by their access alone are storms.
SLOW = ("client_b", "not_yet", "expired", "revoked", "disabled", "viewing", "old_token", "admin", "owner")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.storm) if name in SLOW and not WRITE else name for name in ACTORS]
)
def test_answers_are_as_reviewed(name, sign_in, path_values):
    client = sign_in(ACTORS[name])
    client.raise_request_exception = False
    seen = {}
    for route in routes():
        path = fill(route, path_values(route)) if parameters(route) else route
        for method in methods(route):
            seen[route, method] = ask(client, method, path)
    if WRITE:
        table = read_table() if TABLE.exists() else {}
        write_table({key: {**table.get(key, {}), name: answer} for key, answer in seen.items()})
        return
    table = read_table()
    wrong = {
        f"{method} {route}": f"{answer}, reviewed {table[route, method][name]}"
        for (route, method), answer in seen.items()
        if (route, method) in table and answer != table[route, method][name]
    }
    assert wrong == {}
