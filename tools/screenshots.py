"""Screenshots of the running demo into docs/images, at desktop and phone width. Run `make demo` first, then
`.venv/bin/python tools/screenshots.py http://127.0.0.1:8000` (needs the browser group and Debian's chromium)."""

import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
PASSWORD = "minefarm-demo"
PEOPLE = {
    "client-a": {"portal": "/miners/"},
    "operator": {"sites": "/sites/", "site": "first:/sites/"},
    "owner": {"admin": "/admin/", "admin-miners": "/admin/hosting/miner/"},
}


def main() -> None:
    base = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else IMAGES
    target.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for size, (width, height) in SIZES.items():
            for person, pages in PEOPLE.items():
                page = browser.new_page(viewport={"width": width, "height": height}, base_url=base)
                shoot(page, person, pages, lambda name, size=size: target / f"{name}-{size}.png")
                page.close()
        browser.close()


def shoot(page: Page, person: str, pages: dict[str, str], image: Callable[[str], Path]) -> None:
    page.goto("/accounts/login/")
    if person == "client-a":
        page.screenshot(path=image("login"))
    page.fill("[name=login]", f"{person}@demo.minefarm.example")
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")
    for name, path in pages.items():
        first, _, rest = path.partition("first:")
        page.goto(rest or first)
        if rest:
            page.click("td.farm-wide a >> nth=0")
        page.wait_for_timeout(1200)
        page.screenshot(path=image(name))
        if name == "portal":
            page.click("td.farm-wide a >> nth=0")
            page.wait_for_timeout(1200)
            page.screenshot(path=image("miner"))


if __name__ == "__main__":
    main()
