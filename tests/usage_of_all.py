"""Run as a program: each named command with an option that it does not have, in a fork of one started Django; prints JSON."""

import json
import os
import sys
import tempfile

import django
from django.core.management import execute_from_command_line


def wrong_usage(name: str) -> dict[str, object]:
    """What the command prints and how it exits, as in a process of its own but for the second that imports take."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            code = 0
            try:
                execute_from_command_line(["manage.py", name, "--no-such-option"])
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "stdout": out.read().decode(),
            "stderr": err.read().decode(),
        }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "minefarm.settings")
    django.setup()
    print(json.dumps({name: wrong_usage(name) for name in sys.argv[1:]}))
