"""Traces between nodes: the trace itself sends the packets, from VXLAN device to VXLAN device."""

from pathlib import Path

import pytest

from tests.e2e.place import Lab

pytestmark = [pytest.mark.lab]

NODES = ("ada-ec-1", "ada-ec-2", "ada-ec-3")


def test_two_healthy_nodes_both_ways(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("node", "ada-ec-1", "--to", "node/ada-ec-2", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.report["summary"]
    assert {(flow["client"]["node"], flow["server"]["node"]) for flow in run.report["flows"]} == {NODES[:2], NODES[1::-1]}
    for flow in run.report["flows"]:
        for way in flow["directions"]:
            assert [hop["role"] for hop in way["hops"]] == ["vxlan", "underlay", "underlay", "vxlan"]
            assert {hop["packets"] for hop in way["hops"]} == {12}  # of two sizes
    assert any("24 echo requests were sent by this trace" in note for note in run.report["completeness"]["notes"])


def test_a_mesh_names_the_node_that_is_broken(place: Lab, tmp_path: Path) -> None:
    place.fault("host-firewall")
    run = place.vxtrace("mesh", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["cause"]) == (3, "host-firewall")
    assert len(run.report["flows"]) == 6
    lost = {
        (flow["client"]["node"], flow["server"]["node"])
        for flow in run.report["flows"]
        for way in flow["directions"]
        if way["direction"] == "request" and way["verdict"] in ("lost", "dropped")
    }
    assert lost == {("ada-ec-1", "ada-ec-2"), ("ada-ec-3", "ada-ec-2")}
    table = place.vxtrace("mesh", "--bundle", "none", cwd=tmp_path).stdout
    assert "from / to" in table
    assert "all 2 broken pairs are those to ada-ec-2" in table


@pytest.mark.lab_only
@pytest.mark.one_backend
def test_of_ten_nodes_the_broken_one_is_named(place: Lab, tmp_path: Path) -> None:
    place.rebuild("calico", nodes=10)
    try:
        place.fault("host-firewall", "--node", "ada-ec-7")
        run = place.vxtrace("mesh", "--bundle", "none", cwd=tmp_path)
    finally:
        place.rebuild("calico")
    assert run.code == 3
    assert "all 9 broken pairs are those to ada-ec-7" in run.stdout
    assert "cause: host-firewall, certain" in run.stdout
    assert "the same on " in run.stdout


@pytest.mark.lab_only
@pytest.mark.one_backend
def test_a_node_that_cannot_be_looked_at_is_said_and_the_others_are_traced(place: Lab, tmp_path: Path) -> None:
    place.state("control.json", {"node_not_ready": ["ada-ec-3"]})
    try:
        run = place.vxtrace("mesh", "--bundle", "none", "-o", "json", cwd=tmp_path)
    finally:
        place.state("control.json", None)
    assert (run.code, run.report["verdict"]) == (4, "delivered"), run.report["summary"]
    pairs = {(flow["client"]["node"], flow["server"]["node"]) for flow in run.report["flows"]}
    assert {NODES[:2], NODES[1::-1]} <= pairs
    assert any(each["node"] == "ada-ec-3" and "not ready" in each["reason"] for each in run.report["completeness"]["blind"])


@pytest.mark.lab_only
@pytest.mark.one_backend
def test_what_is_too_large_for_the_underlay_is_told_from_what_is_not(place: Lab, tmp_path: Path) -> None:
    place.fault("underlay-mtu")
    run = place.vxtrace("node", "ada-ec-1", "--to", "node/ada-ec-2", "--bundle", "none", "-o", "json", cwd=tmp_path)
    assert (run.code, run.report["cause"], run.report["impact"]) == (3, "underlay-mtu", "partial"), run.report["summary"]


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("node", "ada-ec-1"), "the other node is not named"),
        (("node", "ada-ec-1", "--to", "node/ada-ec-1"), "both ends are the same node"),
        (("node", "ada-ec-1", "--to", "node/ada-ec-77"), "ada-ec-77"),
        (("node", "ada-ec-1", "--to", "svc/kube-dns"), "is no node"),
        (("mesh", "-l", "pool=none"), "0 nodes are meant"),
        (("mesh", "--max-nodes", "2"), "more than the 2 that --max-nodes allows"),
    ],
)
def test_ends_that_are_none_are_refused(place: Lab, arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    run = place.vxtrace(*arguments, "--bundle", "none", cwd=tmp_path)
    assert run.code == 2
    assert words in run.stderr
