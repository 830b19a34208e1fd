#!/usr/bin/env python3
"""Run a MineFarm command; outside production, without DATABASE_URL and REDIS_URL, on the embedded servers of the checkout."""

import os
import sys

# These read no table, so they start no server.
NO_DATABASE = frozenset({"poll_miner", "edge_agent", "makemigrations", "spectacular", "collectstatic"})
WHOLE_MARKET = ("--btc-price", "--difficulty", "--subsidy", "--fees")  # with these, profitability looks nothing up
NO_STACK = frozenset({"", "help", "version", "--help", "--version"})


def needs_servers(arguments: list[str]) -> bool:
    """Whether the command reads or writes the database or the broker."""
    command = arguments[0] if arguments else ""
    asks_for_help = bool({"-h", "--help"} & set(arguments))
    writes_nothing = command == "simulate_fleet" and not any(one.startswith("--register") for one in arguments)
    asks_nothing = command == "profitability" and all(
        any(one == name or one.startswith(f"{name}=") for one in arguments) for name in WHOLE_MARKET
    )
    return not (command in NO_DATABASE | NO_STACK or asks_for_help or writes_nothing or asks_nothing)


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "minefarm.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line

        from minefarm.devstack import DevstackError, ensure_environment
    except ModuleNotFoundError as error:
        print(f"{error}. Run `make install` and use .venv/bin/python.", file=sys.stderr)
        return 1
    lease = None
    try:
        if not needs_servers(sys.argv[1:]):
            os.environ["MINEFARM_NO_DATABASE"] = "1"
        elif os.environ.get("MINEFARM_ENV") != "production":
            lease = ensure_environment()
        execute_from_command_line(sys.argv)
    except (DevstackError, ImproperlyConfigured) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if lease is not None:
            lease.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
