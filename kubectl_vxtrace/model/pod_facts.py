"""What is only to be seen inside a pod's own network namespace: what its kernel counted there, and its sockets."""

from dataclasses import dataclass, field

from kubectl_vxtrace.model.datapath import Listener, UdpSocket


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """One network namespace at one time; `namespace` is its number (PodNamespace.id).

    `counters` are those of /proc/net/snmp, netstat and snmp6 there (packets, by the names of NodeFacts.counters); empty where they were
    not read, as `pod-counters.NUMBER` among the node's absent answers says. They count all that the pod does. `udp_sockets` and
    `listeners` are None where they were not read. All are absolute: only growth between two looks is evidence.
    """

    namespace: int
    counters: dict[str, int] = field(default_factory=dict)
    udp_sockets: tuple[UdpSocket, ...] | None = None
    listeners: tuple[Listener, ...] | None = None
