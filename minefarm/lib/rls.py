"""The wall: requests of customers run as a PostgreSQL role that sees their rows alone, whatever the query says.

`walled()` enters it for one transaction. Migrations say what the role may read with `portal_role()`, `protect()` and
`share()`; a table that no migration names does not exist for it. docs/why/decisions/0012-row-level-security.md says why.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db import DatabaseError, connection, migrations, transaction

ROLE = "minefarm_portal"
# The setting is '' once a transaction that set it has ended on this connection, not NULL.
ME = "(SELECT NULLIF(current_setting('app.user_id', true), '')::uuid)"

_reader: ContextVar[str] = ContextVar("minefarm_reader", default="")

# --- at run time --------------------------------------------------------------------------------------------------------


@contextmanager
def walled(user_id: UUID) -> Iterator[None]:
    """One transaction as the portal's role, reading for this person; it cannot be entered twice.

    Without a transaction around it, COMMIT and ROLLBACK leave the connection as it was. Inside of one (a test's), the role is
    given back by hand, for SET LOCAL outlives a savepoint.
    """
    if _reader.get():
        raise RuntimeError("Already behind the wall: leave it before entering it for somebody else.")
    nested = connection.in_atomic_block
    before = _reader.set(str(user_id))
    try:
        with transaction.atomic():
            _become(ROLE, str(user_id))
            yield
            if nested:
                _leave()
    finally:
        _reader.reset(before)


@contextmanager
def aside() -> Iterator[None]:
    """Step out of the wall for what a customer causes but may not write, such as an event; elsewhere this does nothing.

    A savepoint: after an exception PostgreSQL itself is back in the role.
    """
    reader = _reader.get()
    if not reader:
        yield
        return
    before = _reader.set("")
    try:
        with transaction.atomic():
            _become("none", "")
            yield
            _become(ROLE, reader)
    finally:
        _reader.reset(before)


def is_walled() -> bool:
    return bool(_reader.get())


def _become(role: str, user_id: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('role', %s, true), set_config('app.user_id', %s, true)", [role, user_id])


def _leave() -> None:
    if connection.needs_rollback:
        return  # the savepoint's rollback gives the role back
    try:
        _become("none", "")
    except DatabaseError:  # a statement failed and nobody said so
        transaction.set_rollback(True)


HEALTH = """
SELECT r.rolname IS NOT NULL, COALESCE(r.rolsuper OR r.rolbypassrls, false),
    r.oid IS NOT NULL AND pg_has_role(
        current_user, r.oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END
    ),
    (SELECT count(*) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        WHERE p.polname = 'portal' AND NOT pg_has_role(current_user, c.relowner, 'USAGE'))
FROM (SELECT 1) AS one LEFT JOIN pg_roles r ON r.rolname = %s
"""


def trouble() -> str:
    """What is wrong with the role on this server, or nothing."""
    with connection.cursor() as cursor:
        cursor.execute(HEALTH, [ROLE])
        exists, unsafe, enterable, foreign_tables = cursor.fetchone()
    if not exists:
        return f"there is no role {ROLE}: customers get errors"
    if unsafe:
        return f"the role {ROLE} passes by row security"
    if not enterable:
        return f"the database's user may not enter the role {ROLE}: customers get errors"
    if foreign_tables:
        return f"{foreign_tables} protected tables belong to somebody else: staff and workers see nothing of them"
    return ""


# --- in migrations ------------------------------------------------------------------------------------------------------

# Roles belong to the whole cluster, advisory locks to one database: databases that are made at the same time collide here,
# and whoever comes second finds the role made.
MAKE_ROLE = f"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        CREATE ROLE {ROLE} NOLOGIN NOINHERIT NOBYPASSRLS;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""
LET_IN = f"""
DO $$
DECLARE
    usable text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOR attempt IN 1..20 LOOP
        EXIT WHEN pg_has_role(current_user, '{ROLE}', usable);
        BEGIN
            -- From version 16 on, its maker may grant a role but not enter it.
            EXECUTE format('GRANT {ROLE} TO %I', current_user)
                || CASE usable WHEN 'SET' THEN ' WITH SET TRUE, INHERIT FALSE' ELSE '' END;
        EXCEPTION WHEN internal_error OR unique_violation THEN PERFORM pg_sleep(0.05);  -- another database's migration
        END;
    END LOOP;
    IF NOT has_schema_privilege('{ROLE}', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {ROLE}', current_schema());
    END IF;
END $$
"""
FACTS = """
SELECT current_user, r.rolname IS NOT NULL, COALESCE(r.rolsuper OR r.rolbypassrls, false)
FROM (SELECT 1) AS one LEFT JOIN pg_roles r ON r.rolname = %s
"""


GRANT_ALL_BUT = """
DO $$
BEGIN
    EXECUTE (
        SELECT format('GRANT SELECT (%s) ON {table} TO {role}', string_agg(quote_ident(attname), ', ' ORDER BY attnum))
        FROM pg_attribute
        WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ({hidden})
    );
END $$
"""


class PortalRoleMissing(CommandError):
    """The database's user may not make the role; `migrate` ends with the message, the SQL for an administrator."""


def make_role(schema_editor: Any) -> None:
    """Make the role and let the connecting user enter it; raises PortalRoleMissing with what an administrator must run."""
    with schema_editor.connection.cursor() as cursor:
        try:
            with transaction.atomic():
                cursor.execute(MAKE_ROLE)
                cursor.execute(LET_IN)
        except DatabaseError as error:
            cursor.execute("SELECT quote_ident(current_user)")
            raise PortalRoleMissing(by_hand(cursor.fetchone()[0])) from error
        cursor.execute(FACTS, [ROLE])
        user, exists, unsafe = cursor.fetchone()
        if not exists:
            raise PortalRoleMissing(by_hand(user))
        if unsafe:
            raise PortalRoleMissing(
                f"The role {ROLE} must not pass by row security. Let an administrator run:\n"
                f"    ALTER ROLE {ROLE} NOSUPERUSER NOBYPASSRLS;\nthen run migrate again."
            )


def by_hand(user: str) -> str:
    """What an administrator of the cluster must run; `user` as an SQL identifier."""
    return (
        f"The database's user {user} may not make the role {ROLE}, which customers' requests run as. Let an administrator"
        f" of PostgreSQL run (without the first line, where the role is there):\n"
        f"    CREATE ROLE {ROLE} NOLOGIN NOINHERIT NOBYPASSRLS;\n"
        f"    GRANT {ROLE} TO {user};\n"
        f"then run migrate again."
    )


def portal_role() -> migrations.RunPython:
    """First operation of every migration that names the role; the role itself is never dropped, others may use it."""
    return migrations.RunPython(lambda _apps, editor: make_role(editor), migrations.RunPython.noop)


def protect(
    table: str,
    *,
    using: str,
    hide: Sequence[str] = (),
    insert: Sequence[str] = (),
    update: Sequence[str] = (),
    delete: bool = False,
) -> migrations.RunSQL:
    """Let the portal's role read (and write) the rows of a table for which `using` holds; `{me}` is the person's id.

    Columns in `hide` cannot be read, nor can, in a table that hides some, those that a later migration adds. Nothing may be
    inserted, updated or deleted unless its columns are named. The owner of the table is not bound by any of it.
    """
    condition = using.format(me=ME)
    written = [
        f"{verb} ({', '.join(columns)})" for verb, columns in (("INSERT", insert), ("UPDATE", update)) if columns
    ]
    written += ["DELETE"] if delete else []
    return migrations.RunSQL(
        [
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY portal ON {table} TO {ROLE} USING ({condition}) WITH CHECK ({condition})",
            GRANT_ALL_BUT.format(table=table, role=ROLE, hidden=", ".join(f"'{column}'" for column in hide))
            if hide
            else f"GRANT SELECT ON {table} TO {ROLE}",
            *(f"GRANT {grant} ON {table} TO {ROLE}" for grant in written),
        ],
        [
            f"REVOKE ALL ON {table} FROM {ROLE}",
            f"DROP POLICY portal ON {table}",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ],
    )


def share(table: str) -> migrations.RunSQL:
    """Let the portal's role read a table that is the same for everybody."""
    return migrations.RunSQL(f"GRANT SELECT ON {table} TO {ROLE}", f"REVOKE ALL ON {table} FROM {ROLE}")
