"""`--mtu`: echoes of many sizes, and the largest that passes each leg."""

from pathlib import Path
from typing import Any

import pytest

from tests.datapath.shape import NODE_MTU_BYTES, OVERHEAD_BYTES
from tests.datapath.wire_faults import WIRE_MTU_BYTES
from tests.e2e.place import CLIENT, SERVICE, Lab

pytestmark = [pytest.mark.lab]

FITS = NODE_MTU_BYTES - OVERHEAD_BYTES
"""What a pod may send on either network."""


def _sized(place: Lab, folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    run = place.vxtrace(*arguments, "--mtu", "--bundle", "none", "-o", "json", cwd=folder)
    return run.code, run.report


def _ends(report: dict[str, Any], direction: str) -> set[tuple[int | None, int | None]]:
    """Of each flow what came to the last hop of a direction, and the least that was lost on any leg."""
    found = set()
    for flow in {leg["flow"] for leg in report["leg_sizes"]}:
        legs = [leg for leg in report["leg_sizes"] if (leg["flow"], leg["direction"]) == (flow, direction)]
        lost = [leg["smallest_lost_bytes"] for leg in legs if leg["smallest_lost_bytes"] is not None]
        found.add((legs[-1]["largest_passed_bytes"], min(lost, default=None)))
    return found


def test_on_a_healthy_network_all_that_fits_a_pod_arrives(place: Lab, tmp_path: Path) -> None:
    code, report = _sized(place, tmp_path, "pod", CLIENT, "--to", SERVICE)
    assert (code, report["verdict"]) == (0, "delivered"), report["summary"]
    assert {flow["protocol"] for flow in report["flows"]} == {"ICMP"}
    assert _ends(report, "request") == _ends(report, "reply") == {(FITS, None)}
    assert any(f"packets of up to {FITS} bytes arrive" in note for note in report["completeness"]["notes"])
    assert str(report["summary"]).endswith(f"all of it probes that this trace sent, the largest of {FITS} bytes")
    assert report["metadata"]["duration_s"] < 12  # it ends when the echoes were answered, and not after 15 s


@pytest.mark.lab_only
def test_a_link_that_takes_less_than_the_tunnel_sends(place: Lab, tmp_path: Path) -> None:
    place.fault("underlay-mtu")
    code, report = _sized(place, tmp_path, "pod", CLIENT, "--to", SERVICE)
    assert (code, report["verdict"], report["cause"]) == (3, "lost", "underlay-mtu"), report["summary"]
    broken = [leg for leg in report["leg_sizes"] if leg["smallest_lost_bytes"] is not None]
    fits = WIRE_MTU_BYTES - OVERHEAD_BYTES
    assert broken
    for leg in broken:
        assert leg["largest_passed_bytes"] <= fits < leg["smallest_lost_bytes"]
        assert leg["smallest_lost_bytes"] - leg["largest_passed_bytes"] <= 20
    assert any("and more vanish between" in note for note in report["completeness"]["notes"])


@pytest.mark.lab_only
def test_pods_that_may_send_more_than_the_tunnel_takes(place: Lab, tmp_path: Path) -> None:
    place.fault("pod-mtu")
    code, report = _sized(place, tmp_path, "pod", CLIENT, "--to", SERVICE)
    assert (code, report["cause"]) == (3, "pod-mtu"), report["summary"]
    assert (FITS, FITS + 1) in _ends(report, "request")


@pytest.mark.one_backend
def test_between_nodes(place: Lab, tmp_path: Path) -> None:
    code, report = _sized(place, tmp_path, "node", "ada-ec-1", "--to", "node/ada-ec-2")
    assert (code, report["verdict"]) == (0, "delivered"), report["summary"]
    assert _ends(report, "request") == _ends(report, "reply") == {(FITS, None)}


@pytest.mark.one_backend
def test_whom_to_send_echoes_to_must_be_named(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--mtu", "--bundle", "none", cwd=tmp_path)
    assert run.code == 2
    assert "whom the pod talks to is not named" in run.stderr


@pytest.mark.one_backend
def test_a_profile_without_the_right_says_so(place: Lab, tmp_path: Path) -> None:
    code, report = _sized(place, tmp_path, "pod", CLIENT, "--to", SERVICE, "--profile", "netraw")
    assert code == 4, report["summary"]
    said = report["completeness"]["notes"]
    assert any("may not enter the client's network namespace" in note for note in said)
    assert any(note.endswith("no echoes could be sent") for note in said)
