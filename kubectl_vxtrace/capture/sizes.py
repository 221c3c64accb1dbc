"""Which sizes of packets are tried to find the largest that passes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kubectl_vxtrace.capture.probes import ProbeTarget
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Path, Role
from kubectl_vxtrace.model.protocol import echo_headers_bytes, overhead_bytes
from kubectl_vxtrace.model.request import ProbeKind

SMALLEST_BYTES: Final = 576
"""What every host and every path of IPv4 has to take (RFC 791, 3.2)."""

_STEPS: Final = 48
"""Over an Ethernet's 1,500 bytes they are 18 bytes each: less than what any tunnel adds."""

_COUNT: Final = 2
"""Of each size: one that is lost for another reason is no limit."""

_USUAL_BYTES: Final = 1500  # IEEE 802.3, where the sender's interface is not known


def sizes_to_try(largest_bytes: int, mtus_bytes: Iterable[int]) -> tuple[int, ...]:
    """Sizes of IP packets, the smallest first: just at and just above each MTU that is known, and evenly in between.

    largest_bytes: what the sender's interface lets out.
    mtus_bytes: of interfaces on the way, less what the tunnel adds where it does.
    """
    span = max(largest_bytes - SMALLEST_BYTES, 0)
    even = {SMALLEST_BYTES + span * step // _STEPS for step in range(_STEPS + 1)}
    edges = {size for mtu in mtus_bytes for size in (mtu, mtu + 1)}
    return tuple(sorted(size for size in even | edges | {largest_bytes} if min(SMALLEST_BYTES, largest_bytes) <= size <= largest_bytes))


def size_targets(flows: Sequence[Flow], paths: Sequence[Path], facts: Sequence[NodeFacts]) -> tuple[ProbeTarget, ...]:
    """Echoes of all sizes for flows whose clients are on nodes, to go out the smaller ones first."""
    there = {path.flow: path for path in paths if path.direction is Direction.REQUEST}
    return tuple(target for flow in flows if flow.id in there for target in _of_flow(flow, there[flow.id], facts))


def _of_flow(flow: Flow, path: Path, facts: Sequence[NodeFacts]) -> Iterator[ProbeTarget]:
    if flow.client.node is None or flow.server is None:
        return
    mtus = [_mtu_bytes(hop, path, facts) for hop in path.hops]
    largest = (mtus[0] if mtus else None) or _USUAL_BYTES
    for size in sizes_to_try(largest, [mtu for mtu in mtus if mtu is not None]):
        yield ProbeTarget(
            node=flow.client.node,
            client=flow.client.address,
            kind=ProbeKind.ICMP,
            address=flow.server.address,
            port=0,
            count=_COUNT,
            payload_bytes=size - echo_headers_bytes(flow.server.address),
        )


def _mtu_bytes(hop: Hop, path: Path, facts: Sequence[NodeFacts]) -> int | None:
    """What fits through a hop's interface of a packet that is not encapsulated yet; None where it is not known."""
    links = (each.link(hop.tap.interface) for each in facts if each.node == hop.tap.node)
    mtu = next((link.mtu_bytes for link in links if link is not None), None)
    if mtu is None or hop.role is not Role.UNDERLAY:
        return mtu
    return mtu - overhead_bytes(path.outer_destination or "")
