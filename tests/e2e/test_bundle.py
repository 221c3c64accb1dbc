"""The bundle, and the same verdict from it."""

import gzip
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubectl_vxtrace.packets import read_pcap
from tests.e2e.place import Lab, Run, direction_of, place_of
from tests.unpacking import contents, unpacked

pytestmark = [pytest.mark.lab]


@dataclass(frozen=True)
class Broken:
    """A trace of a broken path: what it said, and its bundle."""

    run: Run
    bundle: Path

    def loose(self, folder: Path) -> Path:
        """The captures alone, unpacked into `folder`."""
        return unpacked(self.bundle, folder, suffix=".pcap")


@pytest.fixture(scope="module")
def broken(lab_of_backend: Lab, tmp_path_factory: pytest.TempPathFactory) -> Broken:
    """One trace of a broken path, which all tests of this file look at."""
    folder = tmp_path_factory.mktemp("broken")
    lab_of_backend.heal()
    lab_of_backend.fault("host-firewall")
    try:
        run = lab_of_backend.trace("--bundle", "ticket.zip", cwd=folder)
    finally:
        lab_of_backend.heal()
    assert run.code == 3, run.stderr
    return Broken(run, folder / "ticket.zip")


def test_manifest_names_every_file(broken: Broken) -> None:
    files = contents(broken.bundle)
    manifest = json.loads(files["manifest.json"])
    assert {entry["file"] for entry in manifest} == set(files) - {"manifest.json"}
    for entry in manifest:
        content = files[entry["file"]]
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert files["result.json"].decode() == broken.run.stdout
    assert "VERDICT" in files["summary.md"].decode()
    for capture in broken.run.report["captures"]:
        assert hashlib.sha256(files[capture["file"]]).hexdigest() == capture["sha256"]


def test_the_audit_names_every_node_and_what_was_made_and_removed(broken: Broken) -> None:
    events = [json.loads(line) for line in contents(broken.bundle)["audit.jsonl"].splitlines()]
    assert {event["node"] for event in events if event["kind"] == "command"} == {"ada-ec-1", "ada-ec-2", "ada-ec-3"}
    requests = [(event["method"], event["path"].partition("?")[0]) for event in events if event["kind"] == "request"]
    made = [path for method, path in requests if method == "POST" and path.endswith("/pods")]
    removed = [path for method, path in requests if method == "DELETE"]
    assert len(made) >= len(removed) == 3
    upgrades = sum(path.endswith("/exec") for _, path in requests)
    assert upgrades >= sum(event["kind"] == "command" for event in events) > 10
    assert all("time" in event and "duration_ms" in event for event in events)


def test_what_was_lost_inside_a_node_is_no_matter_for_the_network(lab_of_backend: Lab, broken: Broken, tmp_path: Path) -> None:
    assert "handoff.md" not in contents(broken.bundle)
    run = lab_of_backend.vxtrace("analyze", str(broken.bundle), "-o", "handoff", cwd=tmp_path)
    assert run.code == 3, run.stderr
    assert "tcpdump" not in run.stdout


def test_what_was_lost_on_the_wire_has_a_page_for_the_network(lab_of_backend: Lab, tmp_path: Path) -> None:
    """And a bundle that is a folder, and each request and command on stderr."""
    lab_of_backend.fault("underlay-udp-blocked")
    try:
        run = lab_of_backend.trace("--bundle", "to/", "-v", cwd=tmp_path)
    finally:
        lab_of_backend.heal()
    assert run.code == 3, run.stderr
    [folder] = (tmp_path / "to").iterdir()
    page = (folder / "handoff.md").read_text()
    assert page.startswith("# Packets are lost between ada-ec-1 and ada-ec-2")
    assert "let through from 10.128.0.72 to 10.128.0.95" in page
    assert " POST /api/v1/namespaces/" in run.stderr
    assert "ada-ec-2" in run.stderr
    again = lab_of_backend.vxtrace("analyze", str(folder), "-o", "json", cwd=tmp_path)
    assert again.stdout == run.stdout


def test_pcaps_have_the_names_of_the_procedure(broken: Broken, backend: str) -> None:
    device = {"calico": "calico", "flannel": "flannel-1"}[backend]
    names = set(contents(broken.bundle))
    for node in ("ada-ec-1", "ada-ec-2", "ada-ec-3"):
        assert {f"{node}-pod.pcap", f"{node}-vxlan-{device}.pcap", f"{node}-primary-interface.pcap"} <= names


def test_analyze_gives_the_same_report_to_the_byte(lab_of_backend: Lab, broken: Broken, tmp_path: Path) -> None:
    run = lab_of_backend.vxtrace("analyze", str(broken.bundle), "-o", "json", cwd=tmp_path)
    assert run.code == 3, run.stderr
    assert run.stdout == broken.run.stdout


def test_analyze_of_a_folder_in_every_form(lab_of_backend: Lab, broken: Broken, tmp_path: Path) -> None:
    unpacked(broken.bundle, tmp_path / "folder")
    forms = {form: lab_of_backend.vxtrace("analyze", "folder", "-o", form, cwd=tmp_path) for form in ("yaml", "markdown", "table", "html")}
    assert {run.code for run in forms.values()} == {3}
    assert yaml.safe_load(forms["yaml"].stdout) == broken.run.report
    assert (tmp_path / "folder" / "summary.md").read_text() == forms["markdown"].stdout
    assert (tmp_path / "folder" / "report.html").read_text() == forms["html"].stdout
    assert forms["table"].stdout.splitlines()[-1].startswith("CLEANUP")


def test_the_merged_capture_holds_every_packet(lab_of_backend: Lab, broken: Broken, tmp_path: Path) -> None:
    run = lab_of_backend.vxtrace("analyze", str(broken.bundle), "--pcap", "all.pcapng", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (3, broken.run.report["verdict"])
    assert (tmp_path / "all.pcapng").read_bytes() == contents(broken.bundle)["merged.pcapng"]
    table = read_pcap(tmp_path / "all.pcapng")
    assert table.whole
    assert len(table) == sum(capture["captured"] for capture in broken.run.report["captures"])
    assert len(table.interfaces) == len(broken.run.report["captures"])


def test_bundle_and_merged_capture_beside_each_other(lab_of_backend: Lab, broken: Broken, tmp_path: Path) -> None:
    """Who unpacks a bundle and hands over its captures hands over each packet twice."""
    loose = broken.loose(tmp_path / "loose")
    alone = lab_of_backend.vxtrace("analyze", "loose", "-o", "json", cwd=tmp_path)
    unpacked(broken.bundle, loose, suffix="merged.pcapng")
    both = lab_of_backend.vxtrace("analyze", "loose", "-o", "json", cwd=tmp_path)
    assert both.code == alone.code, both.stderr
    assert both.report["flows"] == alone.report["flows"]


def test_exit_zero(lab_of_backend: Lab, broken: Broken, tmp_path: Path) -> None:
    assert lab_of_backend.vxtrace("analyze", str(broken.bundle), "--exit-zero", "--strict", cwd=tmp_path).code == 0


def test_pcaps_alone_give_the_same_leg(lab_of_backend: Lab, broken: Broken, tmp_path: Path) -> None:
    loose = broken.loose(tmp_path / "loose")
    run = lab_of_backend.vxtrace("analyze", str(loose), "-o", "json", cwd=tmp_path)
    assert run.code == 3, run.stderr
    assert _worst_leg(run.report) == _worst_leg(broken.run.report)
    assert run.report["cleanup"] is None
    assert all(hop["interface"] is None for flow in run.report["flows"] for each in flow["directions"] for hop in each["hops"])
    assert " ada-ec-1 " not in run.report["summary"]


def test_files_of_several_kinds_are_one_recording(lab_of_backend: Lab, broken: Broken, tmp_path: Path) -> None:
    """Compressed files, files in two places, and files that are something else, which are passed over."""
    loose = broken.loose(tmp_path / "loose")
    plain = lab_of_backend.vxtrace("analyze", "loose", "-o", "json", cwd=tmp_path)
    (tmp_path / "more").mkdir()
    for path in sorted(loose.glob("ada-ec-2-*.pcap")):
        with gzip.open(tmp_path / "more" / f"{path.name}.gz", "wb") as packed:
            packed.write(path.read_bytes())
        path.unlink()
    moved = loose / "ada-ec-3-pod.pcap"
    shutil.move(moved, tmp_path / moved.name)
    (loose / "notes.txt").write_text("not a capture")
    (loose / "eth0.pcap").write_bytes(b"")
    mixed = lab_of_backend.vxtrace("analyze", "loose", "more", moved.name, "-o", "json", cwd=tmp_path)
    assert mixed.code == 3, mixed.stderr
    assert [_counts(flow) for flow in mixed.report["flows"]] == [_counts(flow) for flow in plain.report["flows"]]
    said = [blind["reason"] for blind in mixed.report["completeness"]["blind"]]
    assert [text for text in said if "eth0.pcap" in text]
    assert not [text for text in said if "notes.txt" in text]


@pytest.mark.parametrize("paths", [["{bundle}", "{bundle}"], ["{bundle}", "loose"]])
def test_a_bundle_is_analysed_alone(lab_of_backend: Lab, broken: Broken, paths: list[str], tmp_path: Path) -> None:
    broken.loose(tmp_path / "loose")
    run = lab_of_backend.vxtrace("analyze", *[path.format(bundle=broken.bundle) for path in paths], cwd=tmp_path)
    assert (run.code, run.stdout) == (2, "")
    assert "ticket.zip" in run.stderr


def test_a_cut_bundle(lab_of_backend: Lab, broken: Broken, tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(broken.bundle.read_bytes()[:5000])
    run = lab_of_backend.vxtrace("analyze", "cut.zip", cwd=tmp_path)
    assert (run.code, run.stdout) == (1, "")
    assert "cut.zip" in run.stderr


def test_a_bundle_of_a_newer_format(lab_of_backend: Lab, broken: Broken, tmp_path: Path) -> None:
    """What else a newer format has changed does not matter: it is named before anything is read."""
    unpacked(broken.bundle, tmp_path / "folder")
    (tmp_path / "folder" / "recording.json").write_text('{"format": 99, "version": "9.0", "captures": "elsewhere"}')
    run = lab_of_backend.vxtrace("analyze", "folder", cwd=tmp_path)
    assert (run.code, run.stdout) == (1, "")
    assert "format 99" in run.stderr
    assert "9.0" in run.stderr


@pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"not a capture at all", "not a capture")])
def test_nothing_but_an_unreadable_capture(lab_of_backend: Lab, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "ada-ec-1-pod.pcap").write_bytes(content)
    run = lab_of_backend.vxtrace("analyze", "ada-ec-1-pod.pcap", cwd=tmp_path)
    assert (run.code, run.stdout) == (1, "")
    assert "ada-ec-1-pod.pcap" in run.stderr
    assert said in run.stderr


def _counts(flow: Mapping[str, Any]) -> list[list[int]]:
    return [[hop["packets"] for hop in direction["hops"]] for direction in flow["directions"]]


def _worst_leg(report: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """Where most packets were lost. Captures that were stopped one after the other lose a few more at the end, if nothing says when."""
    lost = {
        (direction["direction"], place_of(direction, leg["from"]), place_of(direction, leg["to"])): leg["lost"]
        for flow in report["flows"]
        for direction in (direction_of(flow, name) for name in ("request", "reply"))
        for leg in direction["legs"]
        if leg["lost"]
    }
    return max(lost, key=lambda place: lost[place])
