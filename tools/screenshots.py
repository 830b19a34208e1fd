"""Screenshots of the running demo into docs/images, at desktop and phone width. Run `make demo` first, then
`.venv/bin/python tools/screenshots.py http://127.0.0.1:8000` (needs the browser group and Debian's chromium)."""

import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

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
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        for size, (width, height) in SIZES.items():
            for person, pages in PEOPLE.items():
                shoot(browser, base, target, person, pages, size, width, height)
        browser.close()


def shoot(browser: Browser, base: str, target: Path, person: str, pages: dict[str, str], size: str, width: int, height: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(f"{base}/accounts/login/")
    if person == "client-a":
        page.screenshot(path=target / f"login-{size}.png")
    page.fill("[name=login]", f"{person}@demo.minefarm.example")
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")
    for name, path in pages.items():
        open_page(page, base, path)
        page.wait_for_timeout(1200)
        page.screenshot(path=target / f"{name}-{size}.png")
        if name == "portal":
            page.click("td.farm-wide a >> nth=0")
            page.wait_for_timeout(1200)
            page.screenshot(path=target / f"miner-{size}.png")
    page.close()


def open_page(page: Page, base: str, path: str) -> None:
    first, _, rest = path.partition("first:")
    page.goto(base + (rest or first))
    if rest:
        page.click("td.farm-wide a >> nth=0")


if __name__ == "__main__":
    main()
