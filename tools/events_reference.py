"""Write docs/reference/events.md from the catalogue. Run: python tools/events_reference.py"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from events.catalogue import reference  # noqa: E402  the checkout must be on the path first

if __name__ == "__main__":
    (ROOT / "docs" / "reference" / "events.md").write_text(reference())
