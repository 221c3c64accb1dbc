"""Bundles that nobody recorded: one of the lab's with numbers, names, records and captures changed, and damaged archives."""

import hashlib
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

from kubectl_vxtrace.analysis import examine
from kubectl_vxtrace.bundle import source
from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.model.report import TraceReport
from kubectl_vxtrace.packets.cut import excerpt
from kubectl_vxtrace.report import document, table
from kubectl_vxtrace.scratch import folder as scratch_folder
from tests.bench import oddities, seed
from tests.laws import case
from tests.laws import document as document_laws

_RECORDING = "recording.json"


class Bundles:
    """Hostile bundles, drawn from `number`."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)

    def draw(self) -> bytes:
        """A zip file."""
        members = {name: raw for name, raw in seed.files().items() if not name.endswith(".txt")}
        for _ in range(self._random.choice((1, 1, 2, 4))):
            name = self._name(sorted(members))
            if name.endswith(".pcap"):
                members[name] = oddities.changed_bytes(self._random, members[name])
                if self._random.random() < 0.9:
                    members[_RECORDING] = _with_hash(members[_RECORDING], name, members[name])
            elif self._random.random() < 0.03:
                members[name] = oddities.changed_bytes(self._random, members[name])
            else:
                members[name] = self._other_values(members[name])
        data = packed(members)
        return oddities.changed_bytes(self._random, data) if self._random.random() < 0.05 else data

    def _name(self, names: list[str]) -> str:
        """Of the file to change; every second time of the recording."""
        return _RECORDING if self._random.random() < 0.5 else self._random.choice(names)

    def _other_values(self, raw: bytes) -> bytes:
        try:
            found = json.loads(raw)
        except ValueError:
            return raw
        for _ in range(self._random.choice((1, 1, 1, 3, 10))):
            oddities.change(self._random, found)
        return json.dumps(found).encode()


def _with_hash(recording: bytes, name: str, content: bytes) -> bytes:
    """The recording that takes the file's content for what was recorded."""
    try:
        found = json.loads(recording)
        for capture in found["captures"]:
            if capture["file"] == name:
                capture["sha256"] = hashlib.sha256(content).hexdigest()
    except (ValueError, LookupError, TypeError):
        return recording
    return json.dumps(found).encode()


def packed(members: dict[str, bytes]) -> bytes:
    """A zip file of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name), raw)
    return file.getvalue()


def judge(folder: Path, data: bytes) -> str:
    """Analyse a bundle as `analyze` does; `error` or `report`. AssertionError where neither our error nor a report comes of it, or one that
    breaks a law: whatever was changed, the report must not contradict itself."""
    path = folder / "bundle.zip"
    path.write_bytes(data)
    with scratch_folder() as place:
        try:
            recording = source.open_recording([path], place)
        except VxtraceError as error:
            return _checked(error)
        examined = examine(recording)
        assert [*case.breaches(examined.case), *document_laws.breaches(document.to_builtins(examined.report))] == []
        _cut(examined)
    _check(examined.report)
    return "report"


def _checked(error: VxtraceError) -> str:
    """An error says what is wrong, on a line for each file."""
    assert error.message
    assert "\n" not in error.message.replace("\ncannot read", "")
    return "error"


def _check(report: TraceReport) -> None:
    """It can be written in every form, and its JSON is JSON."""
    assert json.loads(document.to_json(report))["verdict"] == report.verdict
    assert document.to_yaml(report)
    for text in (document.to_markdown(report), table.render(report, width=None, color=False, bundle=None)):
        assert "\x1b" not in text
        assert "\u202e" not in text


def _cut(examined: Any) -> None:
    """The packets that would be dissected can be cut out."""
    case = examined.case
    files = {capture.task.tap: capture.file for capture in case.recording.captures if capture.file is not None}
    for journey in examined.picked[:20]:
        _, tap, row = journey.sightings[0]
        assert excerpt(Path(case.recording.folder) / str(files[tap]), case.tables[tap], [row], snaplen_bytes=100)
