"""`make dist`: everything of a release that does not depend on the platform, into dist/. Needs the extra `dist`.

Usage: python -m tests.dist PYTHON, of an environment into which the wheel is installed to see what it needs.
"""

import subprocess
import sys
from pathlib import Path

from tests.dist import building

DIST = building.ROOT / "dist"


def main(python: Path) -> None:
    for path in DIST.glob("kubectl_vxtrace-*"):
        path.unlink()
    building.build(DIST)
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", DIST / building.WHEEL, DIST / building.SOURCES], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", DIST / building.WHEEL], check=True)
    building.describe(DIST, python)
    building.add_sums(DIST)
    sys.stdout.write((DIST / building.SUMS).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
