"""The nodes' ends of pods' interfaces by the network's own objects; what may not be read leaves the plan to the nodes."""

from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.podends import with_pod_interfaces
from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.cni import Cni
from kubectl_vxtrace.model.path import Endpoint, Flow
from kubectl_vxtrace.topology.cni import CNIS, attached_interface
from tests.kube.fake import Fake

CILIUM, CALICO = (next(cni for cni in CNIS if cni.backend == backend) for backend in ("cilium-vxlan", "calico-vxlan"))
CLIENT, SERVER = "kotsadm/kotsadm-9dcb75dbc-bbh5b", "kube-system/coredns-6744c48657-dwxpl"
FLOWS = (
    Flow(
        id=1,
        protocol="UDP",
        client=Endpoint(address="10.244.1.140", pod=CLIENT, node="ada-ec-1"),
        server=Endpoint(address="10.244.2.34", port=53, pod=SERVER, node="ada-ec-2"),
        candidates=(Endpoint(address="10.128.0.95", port=53, pod="kube-system/host-daemon", node="ada-ec-2", host_network=True),),
    ),
)
# What these nodes' CiliumEndpoints said (cilium-1.18.2).
CONTAINERS = {
    CLIENT: "20549e5a07609a9da36c9f0ae8a21f4ad06a457bf93c38287db0236083fe2cbb",
    SERVER: "6fa1a28f05b0d85c30a87fd67e0afd3e216e4e179c4c49c9a94c9d9ec23d3b8f",
}


def path(pod: str) -> str:
    namespace, _, name = pod.partition("/")
    return f"/apis/cilium.io/v2/namespaces/{namespace}/ciliumendpoints/{name}"


def endpoint(pod: str, **identifiers: object) -> tuple[int, object, dict[str, str]]:
    return 200, {"metadata": {"name": pod.partition("/")[2]}, "status": {"external-identifiers": identifiers}}, {}


def asked(connection: Connection, cni: Cni = CILIUM) -> ClusterSnapshot:
    return with_pod_interfaces(connection, ClusterSnapshot(), FLOWS, cni, attached_interface)


def test_each_pods_interface_follows_from_its_endpoint(fake: Fake, connection: Connection) -> None:
    for pod, container in CONTAINERS.items():
        fake.replies["GET", path(pod)] = [endpoint(pod, **{"cni-attachment-id": f"{container}:eth0", "container-id": container})]
    found = asked(connection)
    assert found.pod_interfaces == {CLIENT: "lxc3970b005f013", SERVER: "lxc8df4e4a71bed"}
    assert found.refused == ()


def test_an_endpoint_that_says_nothing_of_use_names_no_interface(fake: Fake, connection: Connection) -> None:
    fake.replies["GET", path(CLIENT)] = [endpoint(CLIENT, **{"cni-attachment-id": 7, "container-id": ""})]
    fake.replies["GET", path(SERVER)] = [(200, {"metadata": {"name": "x"}}, {})]
    assert asked(connection).pod_interfaces == {}


def test_an_endpoint_that_is_not_there_is_no_refusal(fake: Fake, connection: Connection) -> None:
    fake.replies["GET", path(SERVER)] = [endpoint(SERVER, **{"cni-attachment-id": f"{CONTAINERS[SERVER]}:eth0"})]
    found = asked(connection)
    assert (found.pod_interfaces, found.refused) == ({SERVER: "lxc8df4e4a71bed"}, ())


def test_who_may_not_read_them_is_told_and_asks_once(fake: Fake, connection: Connection) -> None:
    fake.forbidden = {path(CLIENT), path(SERVER)}
    found = asked(connection)
    assert found.pod_interfaces == {}
    (refused,) = found.refused
    assert refused.startswith("get ciliumendpoints.cilium.io in namespace kotsadm is forbidden: ")


def test_an_answer_of_another_shape_is_told(fake: Fake, connection: Connection) -> None:
    fake.replies["GET", path(CLIENT)] = [(200, {"metadata": {"name": "x"}, "status": "ready"}, {})]
    (refused,) = asked(connection).refused
    assert "failed" in refused


def test_a_network_without_such_objects_is_asked_nothing(fake: Fake, connection: Connection) -> None:
    fake.server.shutdown()
    fake.server.server_close()
    assert asked(connection, CALICO) == ClusterSnapshot()


def test_what_is_known_is_not_asked_for_again_and_a_refusal_is_said_once(fake: Fake, connection: Connection) -> None:
    fake.forbidden = {path(SERVER)}
    known = ClusterSnapshot(pod_interfaces={CLIENT: "lxc1"})
    first = with_pod_interfaces(connection, known, FLOWS, CILIUM, attached_interface)
    second = with_pod_interfaces(connection, first, FLOWS, CILIUM, attached_interface)
    assert second.pod_interfaces == {CLIENT: "lxc1"}
    assert len(second.refused) == 1
