"""`python -m tests.truth.freshness`: whether docs/truth.md was written by the code that is here. Exit status 1 where it was not.

Of the plugin only the rooms count that reach a verdict: CI says what this says, a release refuses.
"""

import re
import sys

from tests.truth import results

ROOMS = ("diagnosis", "journeys", "topology")


def fingerprints() -> dict[str, str]:
    """Of each room, as it is."""
    return {room: results.fingerprint([f"kubectl_vxtrace/{room}"]) for room in ROOMS}


def written() -> str:
    """What the page says of the code that answered."""
    rooms = ", ".join(f"{room} `{digest}`" for room, digest in fingerprints().items())
    return f"Code that answered: `{results.fingerprint()}`; of it {rooms}."


def changed(page: str) -> list[str]:
    """Rooms that are not those which answered on the page; all of them where it does not say."""
    return [room for room, digest in fingerprints().items() if not re.search(rf"\b{room} `{digest}`", page)]


def main() -> int:
    """Say it."""
    rooms = changed(results.PAGE.read_text())
    if rooms:
        folders = ", ".join(f"kubectl_vxtrace/{room}" for room in rooms)
        print(f"docs/truth.md is older than {folders}: what it says was said by other code. `make truth` writes it anew.")
    return 1 if rooms else 0


if __name__ == "__main__":
    sys.exit(main())
