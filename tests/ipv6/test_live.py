"""Traces where pods, Services and nodes have IPv6 alone: by name, by address, of echoes and probes, healthy and broken."""

import ipaddress
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.datapath import records, servers
from tests.datapath.fault_table import BASIC
from tests.e2e.place import CLIENT, Lab, named_wrongly

pytestmark = [pytest.mark.root, pytest.mark.lab]

FAULTS = {*(fault.name for fault in BASIC), "route-missing", "policy-route", "ip-forward-off"}
"""Beside the first ones those whose evidence the kernel keeps apart for IPv6: routes, rules, settings."""


def addresses(report: dict[str, Any]) -> set[str]:
    ends = [flow[end] for flow in report["flows"] for end in ("client", "server", "service") if flow.get(end)]
    return {end["address"] for end in ends}


def errors(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in report["findings"] if finding["severity"] == "error"]


def test_a_healthy_network_is_seen_whole(place: Lab, tmp_path: Path) -> None:
    run = place.trace("--bundle", "none", cwd=tmp_path)
    assert (run.code, run.report["verdict"], errors(run.report)) == (0, "delivered", []), run.stderr
    assert run.report["completeness"]["complete"] is True
    assert {ipaddress.ip_address(each).version for each in addresses(run.report)} == {6}
    assert {device["mtu"] for device in run.report["overlay"]["devices"]} == {1390}


@pytest.mark.one_backend
def test_its_captures_alone_say_the_same(place: Lab, tmp_path: Path) -> None:
    assert place.trace("--bundle", "whole/", cwd=tmp_path).code == 0
    (tmp_path / "alone").mkdir()
    for file in (tmp_path / "whole").rglob("*.pcap"):
        shutil.copy(file, tmp_path / "alone")
    run = place.vxtrace("analyze", "alone", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr
    assert {flow["server"]["node"] for flow in run.report["flows"]} == place.dns_nodes()


@pytest.mark.one_backend
def test_by_its_address_in_brackets(place: Lab, tmp_path: Path) -> None:
    made = records.load()
    assert made is not None
    target = f"[{servers.dns_pods(made)[0].address}]:53/udp"
    run = place.trace("--bundle", "none", cwd=tmp_path, to=target)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


@pytest.mark.one_backend
def test_whom_a_pod_talks_to_is_heard(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--duration", "4s", "-o", "json", "--bundle", "none", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr
    assert {flow["service"]["name"] for flow in run.report["flows"] if flow["service"]} == {"kube-system/kube-dns"}


@pytest.mark.one_backend
def test_echoes_between_nodes(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("node", "ada-ec-1", "--to", "node/ada-ec-2", "-o", "json", "--bundle", "none", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


@pytest.mark.one_backend
def test_the_largest_packet_that_arrives(place: Lab, tmp_path: Path) -> None:
    run = place.trace("--mtu", "--bundle", "none", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr
    assert any("packets of up to 1390 bytes arrive" in note for note in run.report["completeness"]["notes"])


@pytest.mark.one_backend
def test_probes_where_nothing_is_heard(place: Lab, tmp_path: Path) -> None:
    run = place.trace("--probe", "tcp", "--bundle", "none", cwd=tmp_path, to="slackernews:3000")
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


def test_each_fault_is_named_with_its_leg(place: Lab, backend: str, tmp_path: Path) -> None:
    """All on the first shape, every fourth on the other."""
    lines = [line for line in place.faults() if line.name in FAULTS]
    assert named_wrongly(place, lines if backend == "calico" else lines[::4], tmp_path) == []
