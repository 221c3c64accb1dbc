"""The bundle, and the same verdict from it."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import Lab, direction_of, place_of

pytestmark = [pytest.mark.lab]


@pytest.fixture
def broken(place: Lab, tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """The report of a broken path and its bundle."""
    place.fault("host-firewall")
    run = place.trace("--bundle", "ticket.zip", cwd=tmp_path)
    assert run.code == 3, run.stderr
    return run.report, tmp_path / "ticket.zip"


def test_manifest_names_every_file(broken: tuple[dict[str, Any], Path]) -> None:
    report, path = broken
    with zipfile.ZipFile(path) as bundle:
        manifest = json.loads(bundle.read("manifest.json"))
        assert {entry["file"] for entry in manifest} == set(bundle.namelist()) - {"manifest.json"}
        for entry in manifest:
            content = bundle.read(entry["file"])
            assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
        assert json.loads(bundle.read("result.json")) == report
        assert "VERDICT" in bundle.read("summary.md").decode()
        for capture in report["captures"]:
            assert hashlib.sha256(bundle.read(capture["file"])).hexdigest() == capture["sha256"]


def test_pcaps_have_the_names_of_the_procedure(broken: tuple[dict[str, Any], Path], backend: str) -> None:
    device = {"calico": "calico", "flannel": "flannel-1"}[backend]
    with zipfile.ZipFile(broken[1]) as bundle:
        names = set(bundle.namelist())
    for node in ("ada-ec-1", "ada-ec-2", "ada-ec-3"):
        assert {f"{node}-pod.pcap", f"{node}-vxlan-{device}.pcap", f"{node}-primary-interface.pcap"} <= names


def test_analyze_gives_the_same_report(place: Lab, broken: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    report, path = broken
    run = place.vxtrace("analyze", str(path), "-o", "json", cwd=tmp_path)
    assert run.code == 3, run.stderr
    assert run.report == report


def test_pcaps_alone_give_the_same_leg(place: Lab, broken: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    report, path = broken
    loose = tmp_path / "loose"
    with zipfile.ZipFile(path) as bundle:
        for name in bundle.namelist():
            if name.endswith(".pcap"):
                bundle.extract(name, loose)
    run = place.vxtrace("analyze", str(loose), "-o", "json", cwd=tmp_path)
    assert run.code == 3, run.stderr
    assert _lost_legs(run.report) == _lost_legs(report)
    assert {finding["confidence"] for finding in run.report["findings"]} <= {"likely", "possible"}
    assert any("only capture files were given" in blind["reason"] for blind in run.report["completeness"]["blind"])


def _lost_legs(report: dict[str, Any]) -> set[tuple[str, str | None, str | None]]:
    return {
        (direction["direction"], place_of(direction, leg["from"]), place_of(direction, leg["to"]))
        for flow in report["flows"]
        for direction in (direction_of(flow, name) for name in ("request", "reply"))
        for leg in direction["legs"]
        if leg["lost"]
    }
