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
    licence = next(package.glob("LICENSE*"), None)
    text = (
        licence.read_text()
        if licence
        else f"Licence of {facts['name']}: {facts['license']}. See {facts['homepage']}.\n"
    )
    (VENDOR / Path(next(iter(files.values()))).parent / "LICENSE.txt").write_text(
        f"{facts['name']} {facts['version']}\n\n{text}"
    )


if __name__ == "__main__":
    main()
