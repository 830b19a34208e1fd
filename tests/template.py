"""A migrated database that every worker copies: all migrations take ten seconds, a copy of their result half a second.

It is kept in the server and named after what it was made from, so that a later session with the same code copies it too.
"""

import hashlib
import os
import subprocess
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

import psycopg
from psycopg import sql

from tests.farm import MANAGE, ROOT

PREFIX = "minefarm_template_"
ONE_AT_A_TIME = 7_201_833


def made_from() -> str:
    """Product code, libraries and the day: partitions of telemetry are made for the days around it."""
    print_of = hashlib.sha256(datetime.now(UTC).date().isoformat().encode())
    for line in sorted(f"{found.name} {found.version}" for found in distributions()):
        print_of.update(line.encode())
    for folder in sorted(path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"):
        for path in sorted(folder.rglob("*.py")):
            print_of.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return print_of.hexdigest()[:16]


def migrated_template(database_url: str) -> str:
    """The name of a database of that server with all migrations applied; made when it is missing, older ones go."""
    server, _, _ = database_url.rpartition("/")
    name = PREFIX + made_from()
    with psycopg.connect(f"{server}/postgres", autocommit=True) as direct:
        direct.execute("SELECT pg_advisory_lock(%s)", [ONE_AT_A_TIME])
        there = {found for (found,) in direct.execute("SELECT datname FROM pg_database")}
        if name not in there:
            for old in sorted(found for found in there if found.startswith(PREFIX)):
                direct.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(old)))
            unfinished = sql.Identifier(f"{PREFIX}unfinished")
            direct.execute(sql.SQL("CREATE DATABASE {}").format(unfinished))
            migrate(f"{server}/{PREFIX}unfinished")
            direct.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(unfinished, sql.Identifier(name)))
    return name


def migrate(database_url: str) -> None:
    environment = os.environ | {"DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "minefarm.settings"}
    done = subprocess.run(
        [*MANAGE, "migrate", "-v0"],
        env=environment,
        cwd=Path(ROOT),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
