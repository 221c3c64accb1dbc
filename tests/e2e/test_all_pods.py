"""All pods of a workload at once: which of them loses what."""

from pathlib import Path

import pytest

from tests.e2e.place import CLIENT, SERVICE, Lab

pytestmark = [pytest.mark.lab, pytest.mark.one_backend]

WORKLOAD, TARGET = "deploy/kube-system/coredns", "kotsadm/slackernews"
"""A pod each on ada-ec-2 and ada-ec-3; one on ada-ec-2."""


def test_the_pods_that_lose_packets_are_told_from_those_that_do_not(place: Lab, tmp_path: Path) -> None:
    place.fault("host-firewall")
    run = place.vxtrace("pod", WORKLOAD, "--all-pods", "--to", TARGET, "--probe", "tcp", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["cause"]) == (3, "host-firewall"), run.report["summary"]
    verdicts = {
        (flow["client"]["node"], flow["server"]["node"]): way["verdict"]
        for flow in run.report["flows"]
        for way in flow["directions"]
        if way["direction"] == "request"
    }
    assert verdicts.pop(("ada-ec-3", "ada-ec-2")) in ("lost", "dropped")
    assert verdicts == {("ada-ec-2", "ada-ec-2"): "delivered"}


def test_one_pod_is_not_all_of_them(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--all-pods", "--to", SERVICE, "--bundle", "none", cwd=tmp_path)
    assert run.code == 2
    assert "--all-pods: one pod is named" in run.stderr
