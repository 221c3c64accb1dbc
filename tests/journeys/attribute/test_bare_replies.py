"""Replies to a client in its node's network: by the tunnel, or bare where they have the node's own address."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as FilePath

import pytest

from kubectl_vxtrace.journeys.attribute.bare_replies import with_bare_replies
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction, Role, Tap
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.packets import read_pcap
from tests.journeys.build import flow_of, paths_of, record
from tests.wire import frames
from tests.wire import simulator as wire
from tests.wire.places import PODS, TUNNEL, UNDERLAY

SERVER, NODE_ADDRESS = wire.FIRST, UNDERLAY[wire.CLIENT_NODE]
OWN = Tap(node="ada-ec-2", interface=PODS[SERVER])
BARE = [Role.POD, Role.UNDERLAY, Role.UNDERLAY]
PLANNED = [Role.POD, Role.VXLAN, Role.UNDERLAY, Role.UNDERLAY, Role.VXLAN]


def asked_from_node() -> Recording:
    """A trace of a client in its node's network: its paths begin and end at the VXLAN device."""
    recording = record(wire.Simulator(), protocol="UDP")
    flow = flow_of(1, SERVER, protocol="UDP", port=53)
    flow = replace(flow, client=replace(flow.client, address=NODE_ADDRESS, host_network=True))
    vteps = tuple(replace(vtep, address=TUNNEL) if vtep.node == wire.CLIENT_NODE else vtep for vtep in recording.overlay.vteps)
    request, reply = paths_of(1, SERVER)
    paths = (replace(request, hops=request.hops[1:]), replace(reply, hops=reply.hops[:-1]))
    return replace(recording, flows=(flow,), paths=paths, overlay=replace(recording.overlay, vteps=vteps))


def seen(folder: FilePath, destinations: Sequence[str], *, port: int = 53) -> dict[Tap, PacketTable]:
    """What the server's own interface saw of its answers."""
    path = folder / "pod.pcap"
    udp = frames.udp(b"answer", source=port, destination=40_000)
    sent = [frames.ethernet(frames.ipv4(udp, source=SERVER, destination=each, protocol=17)) for each in destinations]
    path.write_bytes(frames.pcap_header() + b"".join(frames.pcap_record(wire.EPOCH, frame) for frame in sent))
    return {OWN: read_pcap(path)}


@pytest.mark.parametrize(
    ("destinations", "roles"),
    [
        pytest.param([NODE_ADDRESS, NODE_ADDRESS], BARE, id="to the node's own address"),
        pytest.param([TUNNEL], PLANNED, id="to the VXLAN device's address"),
        pytest.param([NODE_ADDRESS, TUNNEL], PLANNED, id="to both"),
        pytest.param([wire.CLIENT], PLANNED, id="to somebody else"),
        pytest.param([], PLANNED, id="nothing was seen"),
    ],
)
def test_the_way_of_the_reply_is_that_of_its_address(destinations: Sequence[str], roles: Sequence[Role], tmp_path: FilePath) -> None:
    request, reply = with_bare_replies(asked_from_node(), seen(tmp_path, destinations)).paths
    assert [hop.role for hop in reply.hops] == roles
    assert [hop.hop for hop in reply.hops] == list(range(1, len(roles) + 1))
    assert (request.direction, len(request.hops)) == (Direction.REQUEST, 5)


def test_what_another_port_answered_says_nothing(tmp_path: FilePath) -> None:
    recording = asked_from_node()
    assert with_bare_replies(recording, seen(tmp_path, [NODE_ADDRESS], port=54)) is recording


def test_a_pod_s_replies_are_left_alone(tmp_path: FilePath) -> None:
    recording = asked_from_node()
    flows = tuple(replace(flow, client=replace(flow.client, host_network=False)) for flow in recording.flows)
    recording = replace(recording, flows=flows)
    assert with_bare_replies(recording, seen(tmp_path, [NODE_ADDRESS])) is recording
