"""Copy the exact versions of the browser libraries into minefarm/static/vendor, with their licences and a list of SHA-256 sums.

Needs `npm` for the download only; what it writes is committed. Run: python tools/vendor_assets.py
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "minefarm" / "static" / "vendor"
PACKAGES = {
    "@tabler/core@1.6.1": {"dist/css/tabler.min.css": "tabler/tabler.min.css"},
    "uplot@1.6.32": {
        "dist/uPlot.iife.min.js": "uplot/uPlot.iife.min.js",
        "dist/uPlot.min.css": "uplot/uPlot.min.css",
    },
}

MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def main() -> None:
    shutil.rmtree(VENDOR, ignore_errors=True)
    for package, files in PACKAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
            )
            with tarfile.open(Path(folder) / done.stdout.split()[-1]) as archive:
                archive.extractall(folder, filter="data")
            copy(Path(folder) / "package", files)
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(VENDOR)}"
        for path in sorted(VENDOR.rglob("*.*"))
    ]
    (VENDOR / "SHA256SUMS").write_text("\n".join(sums) + "\n")


def copy(package: Path, files: dict[str, str]) -> None:
    facts = json.loads((package / "package.json").read_text())
    for source, target in files.items():
        path = VENDOR / target
        path.parent.mkdir(parents=True, exist_ok=True)
        # Source maps are not served, so that browsers must not ask for them.
        lines = (package / source).read_text().splitlines()
        path.write_text("\n".join(line for line in lines if "sourceMappingURL" not in line) + "\n")
    (VENDOR / Path(next(iter(files.values()))).parent / "LICENSE.txt").write_text(
        f"{facts['name']} {facts['version']}\n\n{licence(package, next(iter(files)))}"
    )


def licence(package: Path, source: str) -> str:
    """The package's licence file; where it ships none, the MIT text under the copyright lines of the file's banner."""
    if file := next(package.glob("LICENSE*"), None):
        return file.read_text()
    banner = (package / source).read_text().partition("*/")[0]
    if "MIT" not in banner:
        raise SystemExit(f"{package}: no licence file and no MIT banner; look up its licence before vendoring it.")
    holders = [line.strip(" *") for line in banner.splitlines() if "Copyright" in line]
    return "\n".join(["MIT License", "", *holders, "", MIT])


if __name__ == "__main__":
    main()
