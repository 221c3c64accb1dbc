"""A client's pod that sends with an address that is not its own, as a trace would have recorded it."""

from collections.abc import Sequence
from dataclasses import replace

from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node, Pod
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import Request, Target
from tests.journeys.build import record
from tests.wire import frames
from tests.wire import simulator as wire

FOREIGN = "10.244.250.9"
POD = "kotsadm/kotsadm-1"
FIRST_TAP = Tap(node=wire.CLIENT_NODE, interface=wire.PODS[wire.CLIENT])
BEHIND = Tap(node=wire.CLIENT_NODE, interface=wire.VXLAN)
AT_HOME = ("10.244.114.64/26", "10.128.0.72/32")
UDP = 17


def datagram(source: str, destination: str, number: int, *, port: int = 53) -> bytes:
    """A question from a port of its own."""
    question = frames.udp(b"q%03d" % number, source=41_000 + number, destination=port)
    return frames.ethernet(frames.ipv4(question, source=source, destination=destination, protocol=UDP, ident=number + 1))


def spoof(
    simulator: wire.Simulator,
    count: int,
    *,
    source: str = FOREIGN,
    target: str = wire.SERVICE,
    taps: Sequence[Tap] = (FIRST_TAP,),
    port: int = 53,
) -> None:
    """`count` questions from `source`, 10 ms apart; behind the first of the taps they are translated to a server."""
    for number in range(count):
        at = wire.EPOCH + number * 10_000_000
        for place, tap in enumerate(taps):
            asked = wire.FIRST if place and target == wire.SERVICE else target
            simulator.put((tap.node, tap.interface), at + place * 4_000, datagram(source, asked, number, port=port))


def recorded(
    simulator: wire.Simulator, *, addresses: tuple[str, ...] = (wire.CLIENT,), sources_but: tuple[str, ...] | None = AT_HOME
) -> Recording:
    """The recording; the VXLAN device behind the client catches what has another source, from all networks but `sources_but`."""
    made = record(simulator)
    captures = tuple(
        replace(one, task=replace(one.task, sources_but=sources_but)) if one.task.tap == BEHIND else one for one in made.captures
    )
    pod = Pod(namespace="kotsadm", name="kotsadm-1", labels={}, addresses=addresses, node=wire.CLIENT_NODE)
    nodes = tuple(Node(name=name, addresses=(address,), annotations={}) for name, address in wire.UNDERLAY.items())
    return replace(
        made,
        request=Request(command="pod", source=Target(name="kotsadm-1", namespace="kotsadm")),
        snapshot=ClusterSnapshot(pods=(pod,), nodes=nodes),
        flows=tuple(replace(flow, client=replace(flow.client, pod=POD)) for flow in made.flows),
        captures=captures,
    )
