"""A client's pod that sends a part of its questions with an address that is not its own."""

from pathlib import Path

import pytest

from tests.e2e.place import CLIENT, Lab, direction_of
from tests.e2e.test_by_hand import N1, Command, broken, errors, leg, where

pytestmark = [pytest.mark.lab, pytest.mark.one_backend, pytest.mark.calico_only]

FOREIGN, BEHIND = "192.168.7.20", "192.168.7.0/24"
RULE = f"meta l4proto udp udp dport 53 numgen inc mod 2 0 snat to {FOREIGN};"
CHAIN = f"table ip foreign {{ chain out {{ type nat hook postrouting priority 100; policy accept; {RULE} }}; }}"
SPOOF: tuple[Command, ...] = ((CLIENT, "nft", CHAIN),)
NO_SPOOF: tuple[Command, ...] = ((CLIENT, "nft", "delete table ip foreign"),)


def test_what_its_node_drops_is_found_beside_what_it_delivers(place: Lab, tmp_path: Path) -> None:
    with broken(place, SPOOF, NO_SPOOF):
        run = place.trace("--bundle", "none", cwd=tmp_path, duration="4s")
    assert (run.code, run.report["verdict"], run.report["cause"]) == (3, "dropped", "workload-anti-spoofing"), run.report["summary"]
    assert {where(run.report, finding) for finding in errors(run.report)} == leg("request", f"{N1}/pod", f"{N1}/vxlan")
    verdicts = {(flow["client"]["address"] == FOREIGN, direction_of(flow, "request")["verdict"]) for flow in run.report["flows"]}
    assert verdicts == {(True, "dropped"), (False, "delivered")}
    assert FOREIGN in run.report["summary"]


def test_a_gateway_whose_node_knows_the_way_is_healthy(place: Lab, tmp_path: Path) -> None:
    address = place.pod(CLIENT, "ip", "-4", "-o", "address", "show", "eth0").split()[3].partition("/")[0]
    device = place.node(N1, "ip", "-o", "route", "get", address).split(" dev ")[1].split()[0]
    way = ((N1, "ip", "route", "replace", BEHIND, "via", address, "dev", device, "onlink"),)
    with broken(place, way + SPOOF, (*NO_SPOOF, (N1, "ip", "route", "delete", BEHIND))):
        run = place.trace("--bundle", "none", cwd=tmp_path, duration="4s")
    assert (run.code, run.report["verdict"], run.report["findings"]) == (0, "delivered", []), run.report["summary"]
    assert not any(flow["client"]["address"] == FOREIGN for flow in run.report["flows"])
