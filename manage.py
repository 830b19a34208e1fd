#!/usr/bin/env python3
"""Run a MineFarm command. Without DATABASE_URL and REDIS_URL, on the embedded servers of this checkout."""

import os
import sys

# These read no table, so they start no database.
NO_DATABASE = frozenset({"poll_miner", "makemigrations", "spectacular", "collectstatic"})
NO_STACK = frozenset({"", "help", "version", "--help", "--version", "-h"})


def main() -> int | None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "minefarm.settings")
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        from django.core.management import execute_from_command_line

        from minefarm.devstack import DevstackError, ensure_environment
    except ModuleNotFoundError as error:
        print(f"{error}. Run `make install` and use .venv/bin/python.", file=sys.stderr)
        return 1
    lease = None
    if command in NO_DATABASE or (command == "simulate_fleet" and "--register" not in " ".join(sys.argv)):
        os.environ["MINEFARM_NO_DATABASE"] = "1"
    elif command not in NO_STACK and not {"-h", "--help"} & set(sys.argv):
        try:
            lease = ensure_environment()
        except DevstackError as error:
            print(error, file=sys.stderr)
            return 1
    try:
        execute_from_command_line(sys.argv)
    finally:
        if lease is not None:
            lease.release()
    return None


if __name__ == "__main__":
    sys.exit(main())
