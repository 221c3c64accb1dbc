"""The first faults of the lab: the right leg, the right cause, exit 3; after healing everything is delivered again.

`make truth` does the same with all of them.
"""

from pathlib import Path

import pytest

from tests.datapath.fault_table import BASIC
from tests.e2e.place import Lab, direction_of, named_wrongly, place_of

pytestmark = [pytest.mark.lab]

FIRST = {fault.name for fault in BASIC}


@pytest.mark.one_backend
def test_the_table_has_the_first_faults(place: Lab) -> None:
    assert {line.name for line in place.faults()} >= FIRST


def test_each_fault_is_named_with_its_leg(place: Lab, backend: str, tmp_path: Path) -> None:
    """All on the lab's first backend, every third elsewhere: `make truth` makes all of them everywhere."""
    lines = [line for line in place.faults() if line.name in FIRST]
    chosen = lines if (place.command, backend) == ("tests.lab", "calico") else lines[::3]
    assert named_wrongly(place, chosen, tmp_path) == []


@pytest.mark.one_backend
def test_healed_it_is_delivered_again(place: Lab, tmp_path: Path) -> None:
    place.fault("host-firewall")
    assert place.trace("--bundle", "none", cwd=tmp_path).code == 3
    place.heal()
    run = place.trace("--bundle", "none", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered")


@pytest.mark.parametrize(
    ("command", "verdict", "leg"),
    [
        (["iptables", "-I", "INPUT", "-p", "udp", "-m", "udp", "-j", "DROP"], "dropped", ("underlay", "vxlan")),
        (["iptables", "-I", "FORWARD", "-p", "udp", "--dport", "53", "-j", "DROP"], "dropped", ("vxlan", "pod")),
    ],
)
def test_what_somebody_breaks_by_hand_is_found(
    place: Lab, backend: str, command: list[str], verdict: str, leg: tuple[str, str], tmp_path: Path
) -> None:
    place.node("ada-ec-2", *command)
    try:
        run = place.trace("--bundle", "none", cwd=tmp_path)
    finally:
        place.node("ada-ec-2", *[{"-I": "-D"}.get(word, word) for word in command])
    assert run.code == 3, run.stderr
    assert run.report["verdict"] == verdict
    finding = run.report["findings"][0]
    flow = next(flow for flow in run.report["flows"] if flow["id"] == finding["flow"])
    direction = direction_of(flow, finding["direction"])
    ends = (place_of(direction, finding["leg"]["from"]), place_of(direction, finding["leg"]["to"]))
    # With a bridge the packet is seen once more before the pod's interface, but not after a drop in FORWARD.
    last = "bridge" if backend == "flannel" and leg[1] == "pod" else leg[1]
    assert ends == (f"ada-ec-2/{leg[0]}", f"ada-ec-2/{last}")
