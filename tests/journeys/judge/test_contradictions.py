"""What passes a bridge from port to port is not missed by the bridge device's tap."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.journeys.judge.contradictions import bridged_locally, contradicted
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.journeys.records import HopFrames, PathFrames
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Path, Role, ServiceRef, Tap
from tests.diagnosis.frames import Frame, table
from tests.diagnosis.places import CLIENT, SERVER, SERVICE, A, B

NAMES = ("veth0", "cni0", "veth1")
FLOW = Flow(
    id=1,
    protocol="TCP",
    client=Endpoint(address=CLIENT, node=A),
    service=ServiceRef(address=SERVICE, port=4001),
    server=Endpoint(address=SERVER, port=4001, node=A),
)
# A SYN to the Service, an RST to the backend itself, and another SYN.
FRAMES = tuple(
    Frame(source=CLIENT, destination=end, protocol=6, source_port=40000, destination_port=4001) for end in (SERVICE, SERVER, SERVICE)
)


def trajectories(*, direction: Direction = Direction.REQUEST, last: str = A) -> Trajectories:
    """Three journeys over a client's port, a bridge and a server's port; the first was routed by the bridge."""
    taps = [Tap(node=last if place == 2 else A, interface=name) for place, name in enumerate(NAMES)]
    roles = (Role.POD, Role.BRIDGE, Role.POD)
    hops = tuple(Hop(hop=number, role=role, tap=tap) for number, (role, tap) in enumerate(zip(roles, taps, strict=True), 1))
    zeros = np.zeros(3, dtype=np.int32)
    frames = tuple(
        HopFrames(table=table(tap, FRAMES), row=np.arange(3, dtype=np.int32), client_port=zeros, payload_bytes=zeros, count=zeros + 1)
        for tap in taps
    )
    path_frames = PathFrames(
        path=Path(flow=1, direction=direction, hops=hops), hops=frames, packets=(), tcp=True, largest_bytes=1370, comparable=True
    )
    seen = np.array([[0, 0, 0], [1, -1, 1], [2, -1, 2]], dtype=np.int32)
    return Trajectories(
        frames=path_frames,
        frame=seen,
        first=zeros,
        time_ns=zeros.astype(np.int64),
        client_port=zeros,
        payload_bytes=seen,
        flags=zeros.astype(np.uint16),
        ip_id=zeros.astype(np.uint16),
        identity=zeros.astype(np.int64),
        weight=zeros + 1,
        undecided=zeros.astype(np.bool_),
    )


def test_only_what_goes_to_the_backend_itself_is_bridged_locally() -> None:
    one = trajectories()
    passed = bridged_locally(one, FLOW)
    assert passed.tolist() == [[False] * 3, [False, True, False], [False] * 3]
    assert contradicted(one.seen, np.zeros(len(one.seen), dtype=np.int32), [True] * 3) == (0, 2, 0)
    assert contradicted(one.seen | passed, np.zeros(len(one.seen | passed), dtype=np.int32), [True] * 3) == (0, 1, 0), (
        "the bridge did miss a question to the Service"
    )


@pytest.mark.parametrize(
    ("one", "flow"),
    [
        pytest.param(trajectories(direction=Direction.REPLY), FLOW, id="a reply"),
        pytest.param(trajectories(last=B), FLOW, id="over two nodes"),
        pytest.param(trajectories(), replace(FLOW, service=None), id="asked directly: the path has no bridge then"),
        pytest.param(trajectories(), replace(FLOW, server=None), id="nobody knows the backend"),
    ],
)
def test_elsewhere_nothing_is_bridged_locally(one: Trajectories, flow: Flow) -> None:
    assert not bridged_locally(one, flow).any()


def test_a_journey_that_began_later_is_not_known_to_be_bridged_locally() -> None:
    one = trajectories()
    later = replace(one, frame=np.where(np.arange(3) == 0, -1, one.frame).astype(np.int32))
    assert not bridged_locally(later, FLOW).any()
