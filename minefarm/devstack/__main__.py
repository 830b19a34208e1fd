"""`python -m minefarm.devstack status|destroy`: look at the embedded servers, or stop and delete them."""

import argparse
import json
import sys

from minefarm.devstack import DevstackError, destroy, status
from minefarm.devstack.paths import PROFILES


def main() -> int:
    """0 done, 1 refused or failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m minefarm.devstack",
        description="Look at the embedded PostgreSQL and Valkey of this checkout, or stop them and delete their data.",
        epilog="example: python -m minefarm.devstack destroy --profile test",
    )
    parser.add_argument("action", choices=("status", "destroy"))
    parser.add_argument("--profile", choices=PROFILES, help="one profile only (default: all)")
    options = parser.parse_args()
    profiles = [options.profile] if options.profile else list(PROFILES)
    try:
        if options.action == "status":
            sys.stdout.write(json.dumps([status(profile) for profile in profiles], indent=2) + "\n")
        else:
            for profile in profiles:
                destroy(profile)
    except DevstackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
