"""The path that two real Calico nodes' own tables give."""

from pathlib import Path

from kubectl_vxtrace.facts.links import read_addresses, read_links
from kubectl_vxtrace.facts.neighbours import read_fdb, read_neighbours
from kubectl_vxtrace.facts.routes import read_lookups, read_routes
from kubectl_vxtrace.model.facts import NodeFacts, RouteLookup
from kubectl_vxtrace.model.path import Endpoint, Flow, ServiceRef
from kubectl_vxtrace.topology.overlay import read_overlay
from kubectl_vxtrace.topology.path import plan_paths

_RECORDED = Path(__file__).parent / "recorded" / "facts"
_CLIENT = Endpoint(address="10.244.114.65", pod="kotsadm/kotsadm-9dcb75dbc-4ddtt", node="ada-ec-1")
_SERVER = Endpoint(address="10.244.56.129", port=53, node="ada-ec-2")


def _facts(node: str, *lookups: RouteLookup) -> NodeFacts:
    """The node's recorded tables; it was asked for one route, the others are given."""
    raw = {path.stem: path.read_bytes() for path in (_RECORDED / node).iterdir()}
    return NodeFacts(
        node=node,
        links=read_links(raw["ip-link"], prefixes=read_addresses(raw["ip-addr"])),
        routes=read_routes(raw["ip-route"]),
        lookups=(*read_lookups(b"route get 10.244.56.129\n", raw["route-get"], b""), *lookups),
        neighbours=read_neighbours(raw["ip-neigh"]),
        fdb=read_fdb(raw["bridge-fdb"]),
    )


def test_two_real_nodes_tables_give_the_six_hops_that_the_recording_shows() -> None:
    flow = Flow(id=1, protocol="UDP", client=_CLIENT, service=ServiceRef(address="10.96.0.10", port=53), server=_SERVER)
    facts = (
        _facts("ada-ec-1", RouteLookup(destination="10.128.0.95", device="ens4")),
        _facts(
            "ada-ec-2",
            RouteLookup(destination="10.244.114.65", gateway="10.244.114.64", device="vxlan.calico"),
            RouteLookup(destination="10.128.0.72", device="ens4"),
        ),
    )
    overlay = read_overlay(None, facts, (flow,))
    planned = plan_paths((flow,), overlay, facts, None)
    request, reply = planned.paths
    assert [(hop.tap.node, hop.tap.interface) for hop in request.hops] == [
        ("ada-ec-1", "cali6cda1270255"),
        ("ada-ec-1", "vxlan.calico"),
        ("ada-ec-1", "ens4"),
        ("ada-ec-2", "ens4"),
        ("ada-ec-2", "vxlan.calico"),
        ("ada-ec-2", "cali6daa6c388d5"),
    ]
    assert [hop.tap for hop in reply.hops] == [hop.tap for hop in request.hops][::-1]
    assert (request.outer_destination, reply.outer_destination) == ("10.128.0.95", "10.128.0.72")
    assert (request.note, reply.note, planned.watch, planned.gaps) == (None, None, (), ())
    assert planned.unknown_addresses == {"ada-ec-1": ("10.244.114.65",)}
    assert [(vtep.underlay_address, vtep.vni, vtep.port, vtep.mtu_bytes) for vtep in overlay.vteps] == [
        ("10.128.0.72", 4096, 4789, 1410),
        ("10.128.0.95", 4096, 4789, 1410),
    ]
