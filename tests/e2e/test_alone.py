"""A pod without a target: what it says and hears on other nodes is found and followed."""

from pathlib import Path

import pytest

from tests.e2e.place import CLIENT, Lab

pytestmark = [pytest.mark.lab]

SILENT = "kotsadm/kotsadm-rqlite-0"


def test_whom_a_pod_talks_to_is_found_and_followed(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--duration", "4s", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered")
    asked = {(flow["protocol"], flow["service"]["name"]) for flow in run.report["flows"]}
    assert asked == {("UDP", "kube-system/kube-dns")}
    assert {flow["server"]["node"] for flow in run.report["flows"]} == place.dns_nodes()
    assert "to see who talks to whom" in run.stderr


@pytest.mark.one_backend
def test_a_fault_is_named_as_for_a_target(place: Lab, tmp_path: Path) -> None:
    place.fault("host-firewall")
    run = place.vxtrace("pod", CLIENT, "--duration", "4s", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["cause"]) == (3, "host-firewall")


@pytest.mark.one_backend
@pytest.mark.lab_only
def test_a_pod_that_says_nothing_has_no_traffic(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", SILENT, "--duration", "2s", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (4, "no-traffic")
    assert any("nothing was heard" in note for note in run.report["completeness"]["notes"])


def test_the_clients_of_a_service_are_found_and_followed(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("service", "kube-system/kube-dns", "--duration", "4s", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.report["summary"]
    assert {flow["client"]["pod"] for flow in run.report["flows"]} == {CLIENT}
    assert {flow["server"]["node"] for flow in run.report["flows"]} == place.dns_nodes()


@pytest.mark.one_backend
def test_where_a_service_loses_its_clients_packets_is_named(place: Lab, tmp_path: Path) -> None:
    place.fault("host-firewall@reply")
    run = place.vxtrace("service", "kube-dns.kube-system", "--duration", "4s", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["cause"]) == (3, "host-firewall")


@pytest.mark.one_backend
def test_a_service_that_nobody_asks_has_no_traffic(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("service", "kotsadm/slackernews", "--duration", "2s", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (4, "no-traffic")
    assert any("nothing was heard" in note for note in run.report["completeness"]["notes"])
