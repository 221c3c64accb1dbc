"""What was found so far, on disk: a run that was interrupted goes on where it stopped, unless the code has changed."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "truth.md"
FOLDER = ROOT / "build" / "truth"
SOURCES = ("kubectl_vxtrace", "tests/cluster", "tests/datapath", "tests/lab", "tests/truth")


def fingerprint(folders: Sequence[str] = SOURCES) -> str:
    """Of the plugin, the lab and this runner, or of these folders: results of other code do not count."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".sh") and path.is_file():
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def add(worker: str, code: str, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep the rows of one case; each worker has a file of its own."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{worker}.jsonl").open("a") as file:
        file.write(json.dumps({"code": code, "case": name, "rows": rows}) + "\n")


def known(code: str) -> dict[str, list[dict[str, Any]]]:
    """The rows by case, of this code; a line that was cut by an interruption is passed over."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(FOLDER.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            entry = _entry(line)
            if entry is not None and entry["code"] == code and entry["rows"]:
                found[entry["case"]] = entry["rows"]
    return found


def forget(names: Collection[str] | None = None) -> None:
    """Throw away the results of these cases, or all."""
    for path in FOLDER.glob("*.jsonl"):
        entries = [] if names is None else [(line, _entry(line)) for line in path.read_text().splitlines()]
        path.write_text("".join(f"{line}\n" for line, entry in entries if entry is not None and entry["case"] not in (names or ())))


def _entry(line: str) -> dict[str, Any] | None:
    """A line's entry; None for one that was cut."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"code", "case", "rows"} <= entry.keys() else None
