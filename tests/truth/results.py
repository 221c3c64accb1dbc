"""What was found so far, on disk: a run that was interrupted goes on where it stopped, unless the code has changed."""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict
from pathlib import Path

from tests.truth.judging import Row

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "truth"
SOURCES = ("kubectl_vxtrace", "tests/cluster", "tests/datapath", "tests/lab", "tests/truth")


def fingerprint() -> str:
    """Of the plugin, the lab and this runner: results of other code do not count."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".sh") and path.is_file():
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def add(worker: str, code: str, rows: Iterable[Row]) -> None:
    """Keep the rows of one case; each worker has a file of its own."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{worker}.jsonl").open("a") as file:
        file.write(json.dumps({"code": code, "rows": [asdict(row) for row in rows]}) + "\n")


def known(code: str) -> dict[str, tuple[Row, ...]]:
    """The rows by case, of this code; a line that was cut by an interruption is passed over."""
    found: dict[str, tuple[Row, ...]] = {}
    for path in sorted(FOLDER.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
                rows = tuple(_row(row) for row in entry["rows"])
            except (ValueError, KeyError, TypeError):
                continue
            if entry["code"] == code and rows:
                found[rows[0].case] = rows
    return found


def forget(names: Collection[str] | None = None) -> None:
    """Throw away the results of these cases, or all."""
    for path in FOLDER.glob("*.jsonl"):
        lines = [] if names is None else [line for line in path.read_text().splitlines() if _case_of(line) not in (None, *names)]
        path.write_text("".join(f"{line}\n" for line in lines))


def _case_of(line: str) -> str | None:
    """The case of a line; None for one that was cut."""
    try:
        return str(json.loads(line)["rows"][0]["case"])
    except (ValueError, LookupError, TypeError):
        return None


def _row(data: dict[str, object]) -> Row:
    return Row(**{**data, "evidence": tuple(data["evidence"]), "wrong_certain": tuple(data["wrong_certain"])})  # type: ignore[arg-type]
