"""Echoes in place of what was asked for."""

import pytest

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.path import Endpoint, Flow, ServiceRef
from kubectl_vxtrace.topology.echoes import echo_flows

CLIENT = Endpoint(address="10.1.0.2", pod="shop/web", node="node-a")
SERVICE = ServiceRef(address="10.96.0.10", port=53, name="kube-system/kube-dns")


def _server(address: str, node: str | None) -> Endpoint:
    return Endpoint(address=address, port=53, node=node)


def _asked(*servers: Endpoint) -> list[Flow]:
    return [
        Flow(id=number, protocol="UDP", client=CLIENT, service=SERVICE, server=server) for number, server in enumerate(servers, start=1)
    ]


def test_one_backend_of_each_node_gets_echoes_and_no_service() -> None:
    found = echo_flows(_asked(_server("10.1.1.2", "node-b"), _server("10.1.1.3", "node-b"), _server("10.1.2.2", "node-c")))
    assert [(flow.id, flow.protocol, flow.service) for flow in found] == [(1, "ICMP", None), (2, "ICMP", None)]
    assert [(flow.server.address, flow.server.port) for flow in found if flow.server is not None] == [
        ("10.1.1.2", None),
        ("10.1.2.2", None),
    ]


def test_addresses_outside_are_each_their_own() -> None:
    assert len(echo_flows(_asked(_server("192.0.2.1", None), _server("192.0.2.2", None)))) == 2


def test_backends_that_may_be_meant_are_taken() -> None:
    flow = Flow(
        id=1, protocol="TCP", client=CLIENT, service=SERVICE, candidates=(_server("10.1.1.2", "node-b"), _server("10.1.2.2", "node-c"))
    )
    assert len(echo_flows([flow])) == 2


def test_nobody_to_send_echoes_to() -> None:
    with pytest.raises(UsageError, match="no address is known"):
        echo_flows([Flow(id=1, protocol="TCP", client=CLIENT, service=SERVICE)])
