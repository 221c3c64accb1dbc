"""All pods of a workload at once: which of them loses what."""

from pathlib import Path

import pytest

from tests.e2e.place import SERVICE, Lab

pytestmark = [pytest.mark.lab, pytest.mark.one_backend]

WORKLOAD = "ds/default/netshoot"


def test_the_pods_that_lose_packets_are_told_from_those_that_do_not(place: Lab, tmp_path: Path) -> None:
    place.fault("host-firewall")
    run = place.vxtrace("pod", WORKLOAD, "--all-pods", "--to", SERVICE, "--probe", "dns", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["cause"]) == (3, "host-firewall"), run.report["summary"]
    verdicts = {
        (flow["client"]["node"], flow["server"]["node"]): way["verdict"]
        for flow in run.report["flows"]
        if flow["server"] is not None
        for way in flow["directions"]
        if way["direction"] == "request"
    }
    assert {sender for sender, _ in verdicts} == {"ada-ec-1", "ada-ec-2", "ada-ec-3"}
    assert verdicts["ada-ec-1", "ada-ec-2"] in ("lost", "dropped")
    assert verdicts["ada-ec-1", "ada-ec-3"] == "delivered"


def test_one_pod_is_not_all_of_them(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", "default/netshoot-k2v8c", "--all-pods", "--to", SERVICE, "--bundle", "none", cwd=tmp_path)
    assert run.code == 2
    assert "--all-pods: one pod is named" in run.stderr
