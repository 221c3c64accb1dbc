"""The known causes: one entry each. A cause is named by a check in the module of its question."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What a slug stands for.

    title: a few words. text: how it comes about and how it shows. remediation: what to do, in general; a finding may say it with names.
    source: where this is known from. admitted: whether the kernel counts the packets that are lost this way, so that a matching growth
    of that counter makes them `dropped` and not `lost`.
    """

    slug: str
    title: str
    text: str
    remediation: str
    source: str
    admitted: bool = False


_ALL = (
    Cause(
        slug="underlay-udp-blocked",
        title="The underlay does not carry VXLAN from one node to the other",
        text=(
            "Every encapsulated packet was handed to the sender's driver and none was seen by the receiver's kernel. TCP and ICMP "
            "between the nodes may work: a security group, network ACL, firewall or hypervisor between the nodes drops the UDP port "
            "of VXLAN. Often one direction only, because network ACLs are stateless."
        ),
        remediation="Open the UDP port of VXLAN between all nodes, in both directions.",
        source="rancher/rke2 issue 2989 (network ACL); projectcalico/calico issues 7178, 9403",
    ),
    Cause(
        slug="underlay-loss",
        title="The underlay loses some packets",
        text=(
            "Some encapsulated packets were seen by the receiver's kernel and some were not. The wire, a switch, an overloaded NIC, "
            "a path with several members of which one is broken, or a size limit can do this; the captures alone cannot tell."
        ),
        remediation="Look at errors and drops of NICs and switch ports on the way, and compare the sizes of lost packets with the MTU.",
        source="loss between two witnesses, without a counter of either node",
    ),
    Cause(
        slug="host-firewall",
        title="The node's own firewall drops the packets",
        text=(
            "A packet filter rule that is not part of a network policy (firewalld, ufw, the rules of a cloud image, a rule added by "
            "hand) drops or rejects the packets: the outer UDP in INPUT or OUTPUT, or the inner packet where the node forwards it."
        ),
        remediation=(
            "Allow the UDP port of VXLAN between the nodes, and forwarding for the pod addresses: with firewalld add the port to "
            "the zone of the NIC and the pod and Service networks to the trusted zone."
        ),
        source="flannel-io/flannel issue 2055; projectcalico/calico issues 6208, 9969; Linux netfilter rule counters",
        admitted=True,
    ),
    Cause(
        slug="calico-unknown-vtep",
        title="Calico drops VXLAN from an address that it does not know as a node",
        text=(
            "Felix accepts VXLAN only from the addresses in its set cali40all-vxlan-net. The outer source is not one of them: it "
            "was rewritten on the way, the sender uses another NIC, or its node address was detected wrongly."
        ),
        remediation=(
            "Compare the outer source with the set (ipset list cali40all-vxlan-net): correct the node's address in Calico "
            "(projectcalico.org/IPv4Address, IP_AUTODETECTION_METHOD), or add the source to externalNodesList."
        ),
        source="projectcalico/calico felix/rules/static.go, issue 6752",
        admitted=True,
    ),
    Cause(
        slug="vni-mismatch",
        title="The nodes disagree on the VNI",
        text=(
            "The receiver's UDP layer took the packets (Udp.InDatagrams) but no VXLAN device there has the VNI that they carry, so "
            "they vanish without an error counter."
        ),
        remediation="Give all nodes the same VNI (ip -d link shows it) and restart the network agent of the odd one.",
        source="Linux drivers/net/vxlan/vxlan_core.c, vxlan_rcv; k3s-io/k3s issue 9295",
    ),
    Cause(
        slug="vxlan-port-mismatch",
        title="The nodes disagree on the UDP port of VXLAN",
        text=(
            "Nothing on the receiver listens on the port that the sender uses: the kernel counts Udp.NoPorts and answers ICMP port "
            "unreachable."
        ),
        remediation=(
            "Give all nodes the same port. With Calico the environment variable FELIX_VXLANPORT of the DaemonSet beats vxlanPort of "
            "the FelixConfiguration: change both."
        ),
        source="projectcalico/calico issue 10692; RFC 1122, 4.1.3.1",
        admitted=True,
    ),
    Cause(
        slug="vxlan-device-down",
        title="The VXLAN device is down or absent",
        text=(
            "Without the device nothing listens on its UDP port (Udp.NoPorts, ICMP port unreachable), and the routes that go "
            "through it are gone as well."
        ),
        remediation=(
            "Set the device up (ip link set DEVICE up) and restart the network agent of that node; its log says why it went down."
        ),
        source="projectcalico/calico issue 4468",
        admitted=True,
    ),
    Cause(
        slug="fdb-missing",
        title="The sender does not know on which node the remote VTEP is",
        text=(
            "The VXLAN device has no forwarding entry for the MAC address of the remote VTEP and no default destination: each "
            "packet is dropped in the device and counted as tx dropped."
        ),
        remediation=(
            "Restart the network agent of the sending node, which writes these entries; a flapping entry asks for an upgrade of "
            "Calico past 3.28.2."
        ),
        source="projectcalico/calico issues 9450, 7281; Linux vxlan_xmit",
        admitted=True,
    ),
    Cause(
        slug="neighbour-missing",
        title="The sender does not know the MAC address of the remote VTEP",
        text=(
            "The route's gateway, the remote VTEP, has no neighbour entry on the VXLAN device. The kernel asks by ARP, nobody can "
            "answer, and after about three seconds it answers the pod with ICMP host unreachable."
        ),
        remediation="Restart the network agent of the sending node, which writes these entries.",
        source="projectcalico/calico issue 9450; RFC 1122, 2.3.2.2",
    ),
    Cause(
        slug="pod-unreachable",
        title="The pod does not answer on its own interface",
        text="The server's node asks for the pod's MAC address and gets no answer: the pod is gone, or its eth0 is down.",
        remediation="Check that the pod runs on that node and that its eth0 is up; delete the pod if its sandbox is broken.",
        source="RFC 826; RFC 1122, 2.3.2.2",
    ),
    Cause(
        slug="network-policy-drop",
        title="A network policy does not allow it",
        text="The rule that ends the chain of the pod's policies dropped the packets: no policy that selects the pod allows them.",
        remediation=(
            "List the policies that select the pod (kubectl get networkpolicy -A, calicoctl get globalnetworkpolicy) and allow this "
            "traffic."
        ),
        source="projectcalico/calico issue 2314 (the counter method); Linux netfilter rule counters",
        admitted=True,
    ),
    Cause(
        slug="forward-policy-drop",
        title="The node does not forward: the policy of the FORWARD chain is DROP",
        text="Docker (since 1.13) and ufw set the policy of FORWARD to DROP; packets that no rule accepts end there.",
        remediation="Accept the pod network in FORWARD, or set the policy to ACCEPT (iptables -P FORWARD ACCEPT), and find who sets it.",
        source="flannel-io/flannel issues 609, 699; kubernetes/kubernetes issue 45022",
        admitted=True,
    ),
    Cause(
        slug="workload-anti-spoofing",
        title="Calico drops packets whose source is not the pod's address",
        text="Felix applies a strict reverse path check to packets from workloads, in the raw table, whatever the sysctl says.",
        remediation=(
            "Find out why the pod sends from an address that is not its own (a second interface, an address added by hand, a VPN in "
            "the pod)."
        ),
        source="projectcalico/calico felix/rules/static.go, issue 4630",
        admitted=True,
    ),
    Cause(
        slug="conntrack-invalid",
        title="A rule drops packets that connection tracking calls invalid",
        text=(
            "Packets outside the window of their TCP connection or with a bad inner checksum are INVALID to conntrack, and a rule "
            "drops those."
        ),
        remediation=(
            "If the inner checksum is bad, look at the NIC's tunnel offload; else consider net.netfilter.nf_conntrack_tcp_be_liberal=1."
        ),
        source="kubernetes/kubernetes issue 74839",
        admitted=True,
    ),
    Cause(
        slug="nothing-listening",
        title="Nothing listens on the server's port",
        text="The request reached the server, and its kernel answered with TCP RST or ICMP port unreachable.",
        remediation=(
            "Check that the process in the pod runs and listens on that port and address (ss -lntu in the pod), and the Service's "
            "targetPort."
        ),
        source="RFC 9293, 3.10.7.1; RFC 1122, 4.1.3.1",
    ),
    Cause(
        slug="server-silent",
        title="The server does not answer",
        text="All requests reached the server's last hop and no reply was seen there.",
        remediation="Look into the server's pod: process, log, socket queues (ss -lntu), its routes (ip route) and its own firewall.",
        source="absence of replies at the server's last hop",
    ),
    Cause(
        slug="no-endpoints",
        title="The Service has no endpoints",
        text=(
            "kube-proxy rejects packets to a Service without a ready backend: ICMP port unreachable that quotes the ClusterIP, from "
            "the client's own node."
        ),
        remediation=(
            "Compare the Service's selector with the pods' labels, and see why the pods are not ready (kubectl get endpointslices, "
            "kubectl get pods)."
        ),
        source="kube-proxy, iptables mode, rules commented 'has no endpoints'",
        admitted=True,
    ),
    Cause(
        slug="capture-blind",
        title="A hop could not be seen",
        text="The capture there failed, ended early or lost packets itself, so that it cannot testify that a packet was lost.",
        remediation="Trace again; if the kernel dropped packets at the capture, narrow it with --filter or --port.",
        source="tcpdump's closing numbers",
    ),
    Cause(
        slug="unknown",
        title="Not explained",
        text="The packets vanished on the leg that is named, and nothing that was read from the nodes explains it.",
        remediation="Attach the bundle to a ticket: it holds the captures of both ends of the leg and what both nodes' kernels said.",
        source="none",
    ),
)

CAUSES: dict[str, Cause] = {cause.slug: cause for cause in _ALL}
