from dataclasses import replace

import pytest

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import Backend, ClusterSnapshot, Pod, Scope, Service, ServicePort, Workload
from kubectl_vxtrace.model.path import Flow, ServiceRef
from kubectl_vxtrace.model.request import Access, Request
from kubectl_vxtrace.topology.resolve import (
    NotFoundError,
    flow_nodes,
    other_version,
    parse_target,
    resolve,
    resolve_alone,
    resolve_backends,
    resolve_service,
)
from tests.topology.build import DNS, kube_dns, pod, snapshot

KOTSADM = "kotsadm/kotsadm-58f859745b-x4nh8"


def ask(source: str, target: str | None, cluster: ClusterSnapshot | None = None, namespace: str | None = None) -> tuple[Flow, ...]:
    request = Request(
        command="pod",
        source=parse_target(source),
        target=parse_target(target) if target is not None else None,
        access=Access(namespace=namespace),
    )
    return resolve(request, cluster or snapshot())


def servers(flows: tuple[Flow, ...]) -> list[tuple[str, str | None, int | None]]:
    return [(flow.protocol, flow.server.address if flow.server else None, flow.server.port if flow.server else None) for flow in flows]


def straight(flows: tuple[Flow, ...]) -> tuple[Flow, ...]:
    """Those without a Service."""
    return tuple(flow for flow in flows if flow.service is None)


def through(flows: tuple[Flow, ...]) -> tuple[Flow, ...]:
    """Those through a Service."""
    return tuple(flow for flow in flows if flow.service is not None)


def test_a_service_gives_a_flow_for_each_port_and_backend() -> None:
    flows = ask(KOTSADM, "kube-dns")
    assert [flow.id for flow in flows] == [1, 2, 3, 4, 5, 6]
    assert servers(flows)[:3] == [("UDP", "10.244.56.129", 53), ("UDP", "10.244.106.65", 53), ("TCP", "10.244.56.129", 53)]
    first = flows[0]
    assert first.service == ServiceRef(address=DNS, port=53, name="kube-system/kube-dns")
    assert (first.client.address, first.client.port, first.client.node, first.client.pod) == ("10.244.114.75", None, "ada-ec-1", KOTSADM)
    assert first.server is not None
    assert (first.server.node, first.server.pod) == ("ada-ec-2", "kube-system/coredns-86b5dd7f68-9zdn8")
    assert flow_nodes(flows) == ("ada-ec-1", "ada-ec-2", "ada-ec-3")


@pytest.mark.parametrize(
    ("target", "count"), [("kube-dns:53", 4), ("kube-dns:53/udp", 2), ("svc/kube-system/kube-dns:9153", 2), (DNS, 6), (f"{DNS}:53/tcp", 2)]
)
def test_port_and_protocol_choose_among_the_ports_of_a_service(target: str, count: int) -> None:
    assert len(ask(KOTSADM, target)) == count


@pytest.mark.parametrize("target", ["kube-dns:54", "kube-dns:9153/udp", f"{DNS}:80"])
def test_an_unknown_port_lists_the_ports(target: str) -> None:
    with pytest.raises(UsageError, match="has no port") as caught:
        ask(KOTSADM, target)
    assert "53/UDP (dns), 53/TCP (dns-tcp), 9153/TCP (metrics)" in caught.value.hint


def test_ready_backends_count_and_all_if_none_is() -> None:
    backends = kube_dns().backends
    one = replace(kube_dns(), backends=(replace(backends[0], ready=False), backends[1]))
    assert servers(ask(KOTSADM, "kube-dns:53/udp", snapshot(services=(one,)))) == [("UDP", "10.244.106.65", 53)]
    none = replace(kube_dns(), backends=tuple(replace(backend, ready=False) for backend in backends))
    assert len(ask(KOTSADM, "kube-dns:53/udp", snapshot(services=(none,)))) == 2


def test_a_service_without_endpoints_still_has_a_flow_for_each_port() -> None:
    flows = ask(KOTSADM, "kube-dns", snapshot(services=(kube_dns(backends=()),)))
    assert [(flow.protocol, flow.server, flow.candidates) for flow in flows] == [("UDP", None, ()), ("TCP", None, ()), ("TCP", None, ())]
    assert flow_nodes(flows) == ("ada-ec-1",)


def test_a_service_whose_endpoints_may_not_be_read_is_not_one_without_backends() -> None:
    """On a real cluster a healthy path was called lost, as nothing named its backends."""
    listed = snapshot(services=(kube_dns(backends=()),), missing=("endpointslices in namespace kube-system (forbidden)",))
    with pytest.raises(UsageError, match="endpointslices in namespace kube-system") as refused:
        ask(KOTSADM, "kube-dns", listed)
    assert "docs/rbac.yaml" in refused.value.hint


def test_the_order_of_endpoint_slices_does_not_matter() -> None:
    service = kube_dns()
    turned = replace(service, backends=service.backends[::-1])
    assert servers(ask(KOTSADM, "kube-dns", snapshot(services=(turned,)))) == servers(ask(KOTSADM, "kube-dns"))


def test_a_headless_service_has_no_address() -> None:
    flows = ask(KOTSADM, "kube-dns:53/udp", snapshot(services=(kube_dns(addresses=()),)))
    assert [flow.service for flow in flows] == [ServiceRef(address=None, port=53, name="kube-system/kube-dns")] * 2
    assert servers(flows)[0] == ("UDP", "10.244.56.129", 53)


def test_an_unnamed_port_joins_and_missing_parts_of_a_backend_come_from_the_pod() -> None:
    service = Service(
        namespace="kotsadm",
        name="postgres",
        addresses=("10.105.80.214",),
        ports=(ServicePort(port=5432),),
        selector={},
        backends=(Backend(address="10.244.56.129", port=15432, port_name=""), Backend(address="10.128.0.96", port=5432)),
    )
    flows = ask(KOTSADM, "postgres", snapshot(services=(service,)))
    assert servers(flows) == [("TCP", "10.244.56.129", 15432), ("TCP", "10.128.0.96", 5432)]
    ends = [flow.server for flow in flows if flow.server is not None]
    assert [(end.node, end.pod, end.host_network) for end in ends] == [
        ("ada-ec-2", "kube-system/coredns-86b5dd7f68-9zdn8", False),
        ("ada-ec-3", None, True),
    ]


def test_a_pod_target_without_port_is_followed_by_every_protocol() -> None:
    flows = straight(ask(KOTSADM, "kube-system/coredns-86b5dd7f68-9zdn8"))
    assert servers(flows) == [(protocol, "10.244.56.129", None) for protocol in ("TCP", "UDP", "ICMP")]
    assert servers(straight(ask(KOTSADM, "10.244.56.129:53"))) == [("TCP", "10.244.56.129", 53), ("UDP", "10.244.56.129", 53)]
    assert servers(straight(ask(KOTSADM, "10.244.56.129:53/udp"))) == [("UDP", "10.244.56.129", 53)]


def test_a_workload_target_means_its_running_pods() -> None:
    flows = ask(KOTSADM, "coredns:53/udp")
    assert servers(straight(flows)) == [("UDP", "10.244.56.129", 53), ("UDP", "10.244.106.65", 53)]


def test_a_pod_is_followed_through_each_service_that_leads_to_it() -> None:
    """The ports of kube-dns that lead there; and, as it leads elsewhere too, packets of which nothing tells where they went."""
    flows = through(ask(KOTSADM, "pod/kube-system/coredns-86b5dd7f68-9zdn8"))
    assert [flow.service for flow in flows] == [
        ServiceRef(address=DNS, port=port, name="kube-system/kube-dns") for port in (53, 53, 53, 53, 9153, 9153)
    ]
    assert servers(flows) == [
        *(("UDP", "10.244.56.129", 53), ("UDP", None, None), ("TCP", "10.244.56.129", 53), ("TCP", None, None)),
        *(("TCP", "10.244.56.129", 9153), ("TCP", None, None)),
    ]
    assert [end.address for end in flows[1].candidates] == ["10.244.56.129", "10.244.106.65"]
    assert flow_nodes(flows) == ("ada-ec-1", "ada-ec-2")
    assert servers(through(ask(KOTSADM, "10.244.56.129:53/udp"))) == [("UDP", "10.244.56.129", 53), ("UDP", None, None)]


def test_whom_a_service_leads_to_alone_is_always_known() -> None:
    assert servers(through(ask(KOTSADM, "deploy/coredns:53/udp"))) == [("UDP", "10.244.56.129", 53), ("UDP", "10.244.106.65", 53)]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"addresses": ()}, id="headless"),
        pytest.param({"type": "ExternalName"}, id="a name for something outside"),
        pytest.param({"backends": (kube_dns().backends[1],)}, id="another backend"),
        pytest.param({"backends": (replace(kube_dns().backends[0], ready=False), kube_dns().backends[1])}, id="not ready"),
        pytest.param({"ports": (ServicePort(name="dns", port=53, protocol="TCP"),)}, id="another protocol"),
        pytest.param({"backends": (replace(kube_dns().backends[0], port=54),)}, id="another port of the pod"),
    ],
)
def test_a_service_that_leads_elsewhere_is_not_followed(changed: dict[str, object]) -> None:
    listed = snapshot(services=(kube_dns(**changed),))
    assert through(ask(KOTSADM, "10.244.56.129:53/udp", listed)) == ()


def test_a_service_is_followed_in_the_forms_that_the_clients_node_translates() -> None:
    ports = (ServicePort(name="dns", port=53, protocol="UDP", node_port=30053),)
    service = kube_dns(
        type="LoadBalancer", external_addresses=("203.0.113.5", "2001:db8::5"), ports=ports, backends=kube_dns().backends[:1]
    )
    forms = [flow.service for flow in through(ask(KOTSADM, "10.244.56.129:53/udp", snapshot(services=(service,))))]
    assert [(form.address, form.port) for form in forms if form is not None] == [
        (DNS, 53),
        ("203.0.113.5", 53),
        ("10.128.0.72", 30053),
    ]


def test_an_external_address_is_its_services() -> None:
    service = kube_dns(external_addresses=("203.0.113.5",))
    (flow, *_) = ask(KOTSADM, "203.0.113.5:53/udp", snapshot(services=(service,)))
    assert flow.service == ServiceRef(address="203.0.113.5", port=53, name="kube-system/kube-dns")


def test_a_node_is_no_backend() -> None:
    """What its pods in the host's network serve is theirs."""
    backend = Backend(address="10.128.0.95", port=10250, port_name="dns", protocol="UDP")
    assert through(ask(KOTSADM, "node/ada-ec-2:10250/udp", snapshot(services=(kube_dns(backends=(backend,)),)))) == ()


def test_a_node_target_is_an_end_in_the_hosts_network() -> None:
    (flow,) = ask(KOTSADM, "node/ada-ec-2:10250/tcp")
    assert flow.server is not None
    assert (flow.server.address, flow.server.node, flow.server.host_network) == ("10.128.0.95", "ada-ec-2", True)
    assert ask(KOTSADM, "10.128.0.95:10250/tcp") == (flow,)


def test_an_unknown_address_is_a_bare_end_only_once_everything_was_listed() -> None:
    (flow,) = ask(KOTSADM, "192.0.2.1:443/tcp")
    assert flow.server is not None
    assert (flow.server.address, flow.server.node) == ("192.0.2.1", None)
    with pytest.raises(NotFoundError):
        ask(KOTSADM, "192.0.2.1:443/tcp", snapshot(scope=Scope.NEAR))


@pytest.mark.parametrize(
    ("source", "namespace"),
    [
        (KOTSADM, None),
        ("pod/" + KOTSADM, None),
        ("kotsadm-58f859745b-x4nh8", "kotsadm"),
        ("kotsadm/kotsadm-58f", "default"),
        ("kotsadm-58", "kotsadm"),
        ("deploy/kotsadm", "kotsadm"),
        ("10.244.114.75", None),
    ],
)
def test_the_source_is_a_pod_by_name_prefix_workload_or_address(source: str, namespace: str | None) -> None:
    assert ask(source, "kube-dns", namespace=namespace)[0].client.pod == KOTSADM


def test_a_workload_as_source_gives_its_first_ready_pod_by_name() -> None:
    listed = snapshot()
    unready = tuple(replace(each, ready=not each.name.endswith("9zdn8")) for each in listed.pods)
    assert ask("deploy/kube-system/coredns", "kotsadm/kotsadm-58", listed)[0].client.node == "ada-ec-2"
    assert ask("deploy/kube-system/coredns", "kotsadm/kotsadm-58", replace(listed, pods=unready))[0].client.node == "ada-ec-3"


def test_a_deployment_is_known_by_its_pods_where_workloads_may_not_be_listed() -> None:
    listed = snapshot(workloads=(), missing=("deployments", "replicasets"))
    assert servers(straight(ask(KOTSADM, "deploy/coredns:53/udp", listed))) == [("UDP", "10.244.56.129", 53), ("UDP", "10.244.106.65", 53)]


def test_a_replicasets_listed_owner_counts_not_its_name() -> None:
    adopted = Workload(kind="replicaset", namespace="kube-system", name="coredns-86b5dd7f68", owner="deployment/other")
    listed = snapshot(workloads=(adopted, Workload(kind="deployment", namespace="kube-system", name="other")))
    assert len(straight(ask(KOTSADM, "deploy/other:53/udp", listed))) == 2
    with pytest.raises(NotFoundError, match="has no pods"):
        ask(KOTSADM, "deploy/coredns:53/udp", listed)


def test_the_wrong_namespace_says_where_it_is() -> None:
    with pytest.raises(NotFoundError, match="exists elsewhere") as caught:
        ask("kotsadm-58f859745b-x4nh8", "kube-dns")
    assert KOTSADM in caught.value.message
    with pytest.raises(NotFoundError, match="service/kube-system/kube-dns"):
        ask(KOTSADM, "kotsadm/kube-dns")
    with pytest.raises(NotFoundError, match="service/kube-system/kube-dns"):
        ask(KOTSADM, "pod/kube-dns")


@pytest.mark.parametrize(
    ("target", "suggested"), [("kubedns", "service/kube-system/kube-dns"), ("coredn", "coredns"), ("ada-ec-9", "node/ada-ec-1")]
)
def test_a_name_that_is_not_there_brings_the_nearest(target: str, suggested: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(KOTSADM, target)
    assert suggested in caught.value.message + caught.value.hint


def test_several_candidates_can_be_pasted_back() -> None:
    with pytest.raises(UsageError) as caught:
        ask("kotsadm", "kube-dns", namespace="kotsadm")
    lines = [line.strip() for line in caught.value.message.splitlines()[1:]]
    assert lines == [KOTSADM, "kotsadm/kotsadm-rqlite-0"]
    assert {ask(line, "kube-dns")[0].client.pod for line in lines} == set(lines)


def test_an_exact_name_beats_a_prefix_and_the_own_namespace_beats_others() -> None:
    own = Service(namespace="kotsadm", name="kube-dns", addresses=("10.96.1.1",), ports=(ServicePort(port=80),), selector={})
    longer = pod("kotsadm/kube-dns-debug-1", "ada-ec-2", "10.244.56.140")
    listed = snapshot()
    assert ask(KOTSADM, "kube-dns", replace(listed, services=(*listed.services, own)))[0].service == ServiceRef(
        address="10.96.1.1", port=80, name="kotsadm/kube-dns"
    )
    assert len(ask(KOTSADM, "kube-dns", replace(listed, pods=(*listed.pods, longer)))) == 6
    twice = tuple(replace(own, namespace=namespace) for namespace in ("b", "a"))
    with pytest.raises(UsageError, match="means 2 things:\n  service/a/kube-dns\n  service/b/kube-dns"):
        ask(KOTSADM, "kube-dns", replace(listed, services=twice))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (pod(KOTSADM, None, None, phase="Pending", reason="Unschedulable"), r"Pending \(Unschedulable\)"),
        (pod(KOTSADM, "ada-ec-1", "10.244.114.75", phase="Succeeded"), "Succeeded"),
        (pod(KOTSADM, "ada-ec-1", None), "no IP address"),
        (pod(KOTSADM, None, "10.244.114.75"), "no node"),
        (pod(KOTSADM, "ada-ec-1", "fd00::7"), "no IPv4 address"),
    ],
)
def test_a_source_that_cannot_send_is_refused(changed: Pod, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        ask(KOTSADM, "kube-dns", snapshot(pods=(changed,)))
    assert not isinstance(caught.value, NotFoundError)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (KOTSADM, "same"),
        ("fd00::1", "no IPv6 address"),
        ("external", "ExternalName"),
        ("six", "no IPv4 address, only fd00::10; pod .* has no IPv6 address"),
        ("empty", "no ports"),
        ("sixes", "no IPv4 backend on port 1/TCP; pod .* has no IPv6 address"),
        (None, "where the traffic goes"),
    ],
)
def test_targets_that_cannot_be_traced_are_refused(target: str | None, said: str) -> None:
    services = (
        Service(namespace="kotsadm", name="external", type="ExternalName", selector={}),
        Service(namespace="kotsadm", name="six", addresses=("fd00::10",), ports=(ServicePort(port=1),), selector={}),
        Service(namespace="kotsadm", name="empty", selector={}),
        Service(
            namespace="kotsadm",
            name="sixes",
            ports=(ServicePort(port=1),),
            backends=(Backend(address="fd00::20", port=1),),
            selector={},
        ),
    )
    with pytest.raises(UsageError, match=said):
        ask(KOTSADM, target, snapshot(services=services))


def _both_families() -> ClusterSnapshot:
    """Pods and a Service with an address of each family, a Service of IPv6 alone."""
    port = (ServicePort(port=80),)
    fours, sixes = Backend(address="10.244.56.130", port=8080), Backend(address="fd00:10:244::56:2", port=8080)
    return snapshot(
        pods=(
            replace(pod(KOTSADM, "ada-ec-1", "10.244.114.75"), addresses=("10.244.114.75", "fd00:10:244::114:b")),
            replace(pod("shop/web-0", "ada-ec-2", "10.244.56.130"), addresses=("10.244.56.130", "fd00:10:244::56:2")),
            pod("shop/old-0", "ada-ec-2", "10.244.56.131"),
        ),
        services=(
            Service(
                namespace="shop", name="web", addresses=("fd00:10:96::7", "10.96.0.7"), ports=port, backends=(sixes, fours), selector={}
            ),
            Service(namespace="shop", name="web6", addresses=("fd00:10:96::8",), ports=port, backends=(sixes,), selector={}),
        ),
    )


@pytest.mark.parametrize(
    ("target", "service", "server"),
    [
        ("shop/web", "10.96.0.7", "10.244.56.130"),
        ("[fd00:10:96::7]:80", "fd00:10:96::7", "fd00:10:244::56:2"),
        ("shop/web6", "fd00:10:96::8", "fd00:10:244::56:2"),
    ],
)
def test_a_trace_is_of_one_ip_version_which_an_address_chooses(target: str, service: str, server: str) -> None:
    (flow,) = ask(KOTSADM, target, _both_families())
    assert flow.service is not None
    assert flow.server is not None
    assert (flow.service.address, flow.server.address, flow.server.pod) == (service, server, "shop/web-0")
    assert (":" in flow.client.address) == (":" in service)


def test_a_pod_s_ipv6_address_leads_through_the_services_of_that_version_alone() -> None:
    flows = ask(KOTSADM, "[fd00:10:244::56:2]:8080/tcp", _both_families())
    assert {flow.client.address for flow in flows} == {"fd00:10:244::114:b"}
    assert [flow.service and flow.service.address for flow in flows] == [None, "fd00:10:96::7", "fd00:10:96::8"]


def test_ends_without_an_ip_version_in_common_are_refused() -> None:
    with pytest.raises(UsageError, match=r"has no IPv6 address, only 10\.244\.56\.131"):
        ask("[fd00:10:244::114:b]", "pod/shop/old-0", _both_families())
    with pytest.raises(UsageError, match="no packet goes from one to the other"):
        ask("10.244.114.75", "fd00:10:96::7", _both_families())


def test_what_is_not_followed_of_ends_with_two_versions_is_said() -> None:
    def said(target: str, cluster: ClusterSnapshot) -> str | None:
        request = Request(command="pod", source=parse_target(KOTSADM), target=parse_target(target), access=Access())
        return other_version(request, cluster, resolve(request, cluster))

    both = _both_families()
    assert said("shop/web", both) == (
        "both ends have IPv6 addresses too, and what they say over these was not followed: --to [fd00:10:96::7]:80 does"
    )
    assert said("[fd00:10:96::7]:80", both) is None
    assert said("shop/web6", both) is None
    assert said("pod/shop/old-0", both) is None
    assert said("kube-dns", snapshot()) is None


def test_alone_a_pod_is_listened_to_at_all_its_addresses() -> None:
    request = Request(command="pod", source=parse_target(KOTSADM), target=None, access=Access())
    flows = resolve_alone(request, _both_families())
    assert [flow.client.address for flow in flows] == ["10.244.114.75"] * 3 + ["fd00:10:244::114:b"] * 3
    assert [flow.id for flow in flows] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("source", ["svc/kube-system/kube-dns", "node/ada-ec-1"])
def test_only_pods_send(source: str) -> None:
    with pytest.raises(UsageError, match="starts at a pod"):
        ask(source, "kube-dns")


def test_a_source_in_the_hosts_network_is_marked() -> None:
    client = ask("kube-system/kube-proxy-abcde", "kube-dns")[0].client
    assert (client.host_network, client.address) == (True, "10.128.0.95")


@pytest.mark.parametrize(("source", "said"), [("node/ada-ec-2", "that is a node: ada-ec-2"), ("ada-ec-2", "that is a node: ada-ec-2")])
def test_a_node_where_a_pod_is_asked_for_is_told(source: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        ask(source, "kube-dns")
    assert "--to node/ada-ec-2" in caught.value.hint


@pytest.mark.parametrize("source", ["svc/kube-system/kube-dns", "kube-dns"])
def test_a_service_where_a_pod_is_asked_for_is_told_with_its_pods(source: str) -> None:
    with pytest.raises(UsageError, match="that is a Service: kube-system/kube-dns") as caught:
        ask(source, "kotsadm", namespace="kube-system")
    assert "kube-system/coredns-86b5dd7f68-9zdn8" in caught.value.hint
    assert "--to svc/kube-system/kube-dns" in caught.value.hint


@pytest.mark.parametrize(
    "target",
    [
        "kube-dns.kube-system",
        "kube-dns.kube-system.svc",
        "kube-dns.kube-system.svc.cluster.local",
        "udp://kube-dns.kube-system.svc:53",
        "svc/kube-dns.kube-system",
    ],
)
def test_a_service_by_its_name_in_dns(target: str) -> None:
    (flow, *_) = ask(KOTSADM, target, namespace="kotsadm")
    assert flow.service == ServiceRef(address=DNS, port=53, name="kube-system/kube-dns")


def test_a_pods_name_with_dots_comes_before_a_services_in_dns() -> None:
    cluster = snapshot(pods=(*snapshot().pods, pod("default/kube-dns.kube-system", "ada-ec-2", "10.244.56.9")))
    assert straight(ask(KOTSADM, "kube-dns.kube-system", cluster, namespace="default"))[0].server is not None
    assert {flow.service for flow in ask(KOTSADM, "kube-dns.kube-system", cluster, namespace="default")} == {None}


def test_a_name_outside_the_cluster_is_told() -> None:
    with pytest.raises(NotFoundError) as caught:
        ask(KOTSADM, "https://www.example.com/")
    assert "give its address" in caught.value.hint


def test_a_services_port_by_its_name() -> None:
    assert servers(ask(KOTSADM, "kube-dns.kube-system:dns-tcp")) == [("TCP", "10.244.56.129", 53), ("TCP", "10.244.106.65", 53)]
    with pytest.raises(UsageError, match="has no port http") as caught:
        ask(KOTSADM, "kube-dns:http")
    assert "53/UDP (dns)" in caught.value.hint


@pytest.mark.parametrize("target", ["pod/kube-system/coredns-86b5dd7f68-9zdn8:dns", "deploy/kube-system/coredns:dns", "node/ada-ec-2:dns"])
def test_a_port_has_a_name_only_at_a_service(target: str) -> None:
    with pytest.raises(UsageError, match="only a Service's ports have names"):
        ask(KOTSADM, target)


def service_of(name: str) -> Request:
    return Request(command="service", source=parse_target(name))


@pytest.mark.parametrize("name", ["kube-dns", "svc/kube-system/kube-dns", "kube-system/kube-dns"])
def test_a_services_backends_are_where_its_clients_are_heard(name: str) -> None:
    assert resolve_service(service_of(name), snapshot()).full_name == "kube-system/kube-dns"
    flows = resolve_backends(service_of(name), snapshot())
    assert [(flow.id, flow.client.address, flow.server) for flow in flows] == [(1, "10.244.56.129", None), (2, "10.244.106.65", None)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("deploy/coredns", "deployment/coredns is no Service"),
        ("kotsadm/kotsadm", "has no pods behind it"),
        ("no-such-service", "no-such-service"),
    ],
)
def test_a_service_whose_clients_cannot_be_heard(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve_backends(service_of(name), snapshot())
