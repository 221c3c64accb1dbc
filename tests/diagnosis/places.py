"""The two nodes of the cases: names, addresses, devices, and the six hops between a kotsadm pod and a DNS server."""

from kubectl_vxtrace.model.path import Endpoint, Role, Tap

A, B = "ada-ec-1", "ada-ec-2"
NIC_A, NIC_B = "10.128.0.72", "10.128.0.95"
CLIENT, SERVER, SERVICE = "10.244.114.75", "10.244.56.129", "10.96.0.10"
VTEP_A, VTEP_B = "10.244.114.64", "10.244.56.128"
MAC_A, MAC_B = "66:00:00:00:00:01", "66:00:00:00:00:02"
POD_A, POD_B = "cali9d8b6a7d855", "cali2b903875fe4"
VX, NIC = "vxlan.calico", "ens4"
SECOND_NS = 1_000_000_000
START_NS = 1_795_000_000 * SECOND_NS
TAPS = (
    Tap(node=A, interface=POD_A),
    Tap(node=A, interface=VX),
    Tap(node=A, interface=NIC),
    Tap(node=B, interface=NIC),
    Tap(node=B, interface=VX),
    Tap(node=B, interface=POD_B),
)
ROLES = (Role.POD, Role.VXLAN, Role.UNDERLAY, Role.UNDERLAY, Role.VXLAN, Role.POD)
SERVER_END = Endpoint(address=SERVER, port=53, pod="kube-system/coredns-b", node=B)
