"""The matched packets against an independent reading of the same captures by tshark."""

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import Lab
from tests.unpacking import unpacked

pytestmark = [pytest.mark.lab]

Identity = tuple[str, str, str]
FIELDS = ["frame.number", "ip.id", "dns.id", "udp.port", "dns.flags.response"]


def test_matched_packets_are_those_that_tshark_matches(place: Lab, backend: str, tmp_path: Path) -> None:
    run = place.trace("--show", "1000", "--bundle", "ticket.zip", cwd=tmp_path)
    assert run.code == 0, run.stderr
    unpacked(tmp_path / "ticket.zip", tmp_path / "bundle")
    port = {"calico": 4789, "flannel": 8472}[backend]
    identities = {capture["id"]: _identities(tmp_path / "bundle" / capture["file"], port) for capture in run.report["captures"]}
    packets = run.report["packets"]
    assert len(packets) > 10
    for packet in packets:
        hops = _hops(run.report, packet)
        seen = [identities[hops[sighting["hop"]]["capture"]][sighting["frame"]] for sighting in packet["sightings"]]
        assert len(seen) == len(hops)
        assert len(set(seen)) == 1, f"packet {packet['id']} is not the same at all hops: {seen}"
        # and nowhere is there another copy of it that was left out
        for sighting in packet["sightings"]:
            at_hop = Counter(identities[hops[sighting["hop"]]["capture"]].values())
            assert at_hop[seen[0]] == 1
    _assert_none_left_out(run.report, identities)


def _assert_none_left_out(report: dict[str, Any], identities: dict[int, dict[int, Identity]]) -> None:
    """Every packet that tshark sees at all hops, between the first and the last counted one, is a counted one."""
    for flow in report["flows"]:
        for direction in flow["directions"]:
            matched = [p for p in report["packets"] if (p["flow"], p["direction"]) == (flow["id"], direction["direction"])]
            hops = [hop for hop in direction["hops"] if hop["expected"]]
            everywhere = set.intersection(*(set(identities[hop["capture"]].values()) for hop in hops))
            first_hop = identities[hops[0]["capture"]]
            frames = sorted(packet["sightings"][0]["frame"] for packet in matched)
            # Replies pass the same taps the other way round.
            [is_reply] = {first_hop[frame][2] for frame in frames}
            between = {who for frame, who in first_hop.items() if frames[0] <= frame <= frames[-1] and who[2] == is_reply} & everywhere
            assert between == {first_hop[frame] for frame in frames}


def _hops(report: dict[str, Any], packet: dict[str, Any]) -> dict[int, dict[str, Any]]:
    flow = next(flow for flow in report["flows"] if flow["id"] == packet["flow"])
    direction = next(each for each in flow["directions"] if each["direction"] == packet["direction"])
    return {hop["hop"]: hop for hop in direction["hops"] if hop["expected"]}


def _identities(path: Path, vxlan_port: int) -> dict[int, Identity]:
    """Frame -> (innermost IP ID, DNS id, is a reply), as tshark reads it."""
    command = ["tshark", "-n", "-r", str(path), "-d", f"udp.port=={vxlan_port},vxlan", "-Y", "dns", "-T", "fields"]
    for field in FIELDS:
        command += ["-e", field]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = {}
    for line in lines:
        frame, ip_ids, dns_id, _, response = line.split("\t")
        found[int(frame)] = (ip_ids.split(",")[-1], dns_id, response)
    return found
