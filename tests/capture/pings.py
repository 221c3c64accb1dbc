"""What the tests of sessions capture: a ping between two nodes."""

from kubectl_vxtrace.capture.plan import plan_captures
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Path, Role, Tap
from kubectl_vxtrace.model.recording import CapturePlan
from kubectl_vxtrace.model.request import Limits

LEFT, RIGHT = "fc-left", "fc-right"


def plan(*taps: tuple[Role, str, str], limits: Limits | None = None, user_filter: str | None = None) -> CapturePlan:
    """Captures of a ping from LEFT to RIGHT, by default at both ends."""
    steps = taps or ((Role.POD, LEFT, "eth0"), (Role.POD, RIGHT, "eth0"))
    hops = tuple(
        Hop(hop=number, role=role, tap=Tap(node=node, interface=interface)) for number, (role, node, interface) in enumerate(steps, 1)
    )
    flow = Flow(id=1, protocol="ICMP", client=Endpoint(address="10.9.0.1", node=LEFT), server=Endpoint(address="10.9.0.2", node=RIGHT))
    return plan_captures(
        limits=limits or Limits(duration_s=0.3),
        user_filter=user_filter,
        flows=(flow,),
        paths=(Path(flow=1, direction=Direction.REQUEST, hops=hops),),
        watch=(),
        overlay=Overlay(),
        facts=(),
    )
