"""`--ab`: datagrams in variants between the nodes, and which of port, checksum, size and source port decides what arrives."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubectl_vxtrace.capture.port_comparison import OTHER_PORT, SOURCE_PORTS
from tests.datapath.shape import NODE_MTU_BYTES
from tests.datapath.wire_faults import WIRE_MTU_BYTES
from tests.e2e.place import CLIENT, SERVICE, Lab

pytestmark = [pytest.mark.lab, pytest.mark.one_backend]

BETWEEN = ("node", "ada-ec-1", "--to", "node/ada-ec-2")


def _compared(place: Lab, folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    run = place.vxtrace(*arguments, "--ab", "-o", "json", cwd=folder)
    return run.code, run.report


def _way(report: dict[str, Any], sender: str = "ada-ec-1", receiver: str = "ada-ec-2") -> dict[str, Any]:
    (found,) = (way for way in report["ab"] if (way["from"], way["to"]) == (sender, receiver))
    assert isinstance(found, dict)
    return found


def _arrived(way: dict[str, Any]) -> dict[tuple[int, bool, int], tuple[int, int, int]]:
    return {(each["port"], each["checksum"], each["bytes"]): (each["sent"], each["left"], each["arrived"]) for each in way["variants"]}


def _is_about(report: dict[str, Any], text: str) -> bool:
    return any(note.startswith("--ab: ada-ec-1 to ada-ec-2: ") and text in note for note in report["completeness"]["notes"])


def test_on_a_healthy_network_all_arrive_and_the_bundle_says_the_same(place: Lab, tmp_path: Path) -> None:
    code, report = _compared(place, tmp_path, *BETWEEN, "--bundle", "it.zip")
    assert (code, report["verdict"]) == (0, "delivered"), report["summary"]
    assert [(way["from"], way["to"], way["decides"]) for way in report["ab"]] == [
        ("ada-ec-1", "ada-ec-2", "nothing"),
        ("ada-ec-2", "ada-ec-1", "nothing"),
    ]
    way = _way(report)
    assert set(_arrived(way).values()) == {(32, 32, 32)}
    assert {size for _, _, size in _arrived(way)} == {128, NODE_MTU_BYTES}
    assert (way["other_port"], len(way["source_ports"])) == (OTHER_PORT, 2 * len(SOURCE_PORTS))
    assert {flow["protocol"] for flow in report["flows"]} == {"ICMP"}, "they are no flow"
    assert not any(finding["severity"] != "info" for finding in report["findings"])
    assert not any("-ab" in capture["file"] for capture in report["captures"])
    again = place.vxtrace("analyze", "it.zip", "-o", "json", cwd=tmp_path)
    assert again.report["ab"] == report["ab"]
    with zipfile.ZipFile(tmp_path / "it.zip") as bundle:
        files = {Path(name).name: name for name in bundle.namelist()}
        assert {"ada-ec-1-primary-interface-ab.pcap", "ada-ec-2-primary-interface-ab.pcap"} <= files.keys()
        audit = [json.loads(line) for line in bundle.read(files["audit.jsonl"]).splitlines()]
    assert sum('"vxtrace-ab"' in json.dumps(line) for line in audit) == 2


@pytest.mark.lab_only
def test_a_filter_of_vxlan_s_port(place: Lab, tmp_path: Path) -> None:
    place.fault("underlay-udp-blocked")
    code, report = _compared(place, tmp_path, "pod", CLIENT, "--to", SERVICE, "--bundle", "it.zip")
    assert (code, report["cause"]) == (3, "underlay-udp-blocked"), report["summary"]
    way = _way(report)
    assert way["decides"] == "port"
    port = way["vxlan_port"]
    assert all(counts == ((32, 32, 0) if kind[0] == port else (32, 32, 32)) for kind, counts in _arrived(way).items())
    assert _is_about(report, f"all 128 datagrams to port {port} are lost")
    assert _is_about(report, "what is lost leaves ada-ec-1's NIC and does not come to ada-ec-2's")
    assert _way(report, "ada-ec-2", "ada-ec-1")["decides"] == "nothing"
    table = [line.split() for line in place.vxtrace("analyze", "it.zip", cwd=tmp_path).stdout.splitlines()]
    assert ["ada-ec-1", "ada-ec-2", str(port), "with", "128", "32", "32", "0"] in table
    assert ["ada-ec-1", "ada-ec-2", str(OTHER_PORT), "without", str(NODE_MTU_BYTES), "32", "32", "32"] in table


@pytest.mark.lab_only
def test_a_link_that_takes_no_large_ones(place: Lab, tmp_path: Path) -> None:
    place.fault("underlay-mtu")
    _, report = _compared(place, tmp_path, *BETWEEN, "--bundle", "none")
    way = _way(report)
    assert way["decides"] == "size"
    assert all(counts == ((32, 32, 0) if kind[2] > WIRE_MTU_BYTES else (32, 32, 32)) for kind, counts in _arrived(way).items())
    assert _is_about(report, "the size decides")


@pytest.mark.lab_only
def test_one_of_several_paths(place: Lab, tmp_path: Path) -> None:
    place.fault("underlay-path-subset")
    _, report = _compared(place, tmp_path, *BETWEEN, "--bundle", "none")
    way = _way(report)
    assert way["decides"] == "source-port"
    lost = {each["source_port"] for each in way["source_ports"] if each["port"] == way["vxlan_port"] and each["arrived"] == 0}
    assert lost == {port for port in SOURCE_PORTS if port % 2}
    assert all(each["arrived"] == 8 for each in way["source_ports"] if each["source_port"] not in lost or each["port"] == OTHER_PORT)
    assert _is_about(report, "(8 of 16)")


@pytest.fixture
def _filtered(place: Lab) -> Iterator[None]:
    """The sender's own NIC lets no datagram out that has no checksum."""
    rule = "chain out { type filter hook egress device ens4 priority 0; udp checksum 0 drop; }"
    place.node("ada-ec-1", "nft", f"table netdev vxtrace_test {{ {rule}; }}")
    try:
        yield
    finally:
        place.node("ada-ec-1", "nft", "delete table netdev vxtrace_test")


@pytest.mark.lab_only
@pytest.mark.usefixtures("_filtered")
def test_what_has_no_checksum_does_not_leave(place: Lab, tmp_path: Path) -> None:
    _, report = _compared(place, tmp_path, *BETWEEN, "--bundle", "none")
    assert all(counts == ((32, 32, 32) if kind[1] else (32, 0, 0)) for kind, counts in _arrived(_way(report)).items())
    assert _way(report)["decides"] == "checksum"
    assert _is_about(report, "what is lost does not leave ada-ec-1's NIC")


@pytest.mark.lab_only
def test_under_pseudonyms_it_is_the_same(place: Lab, tmp_path: Path) -> None:
    place.fault("underlay-udp-blocked")
    _, report = _compared(place, tmp_path, *BETWEEN, "--anonymize", "--bundle", "it.zip")
    assert {way["decides"] for way in report["ab"]} == {"port", "nothing"}
    assert "ada-ec" not in json.dumps(report["ab"])
    assert "10.128.0" not in json.dumps(report["ab"])
    again = place.vxtrace("analyze", "it.zip", "-o", "json", cwd=tmp_path)
    assert again.report["ab"] == report["ab"]


def test_a_profile_with_fewer_rights_has_enough_of_them(place: Lab, tmp_path: Path) -> None:
    _, report = _compared(place, tmp_path, *BETWEEN, "--profile", "netraw", "--bundle", "none")
    assert {way["decides"] for way in report["ab"]} == {"nothing"}


def test_all_pairs_of_a_mesh(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("mesh", "--ab", "--bundle", "none", cwd=tmp_path)
    assert run.code == 0, run.stderr
    assert "--ab: on 6 of 6 ways between nodes all 1536 datagrams arrive" in " ".join(run.stdout.split())
    assert run.stderr.count("sending 256 UDP datagrams of 128 or 1460 bytes from") == 6


def test_a_dry_run_says_what_would_be_sent(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--to", SERVICE, "--ab", "--dry-run", "client", cwd=tmp_path)
    assert "# --ab: when these captures have ended, each node sends" in run.stdout


def test_the_two_ends_must_be_named(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--ab", "--bundle", "none", cwd=tmp_path)
    assert run.code == 2
    assert "whom the pod talks to is not named" in run.stderr
    assert place.vxtrace("service", SERVICE, "--ab", cwd=tmp_path).code == 2
