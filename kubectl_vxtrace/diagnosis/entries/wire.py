"""Causes on the way between two NICs: what the network under the overlay does not carry, and its sizes."""

from kubectl_vxtrace.diagnosis.cause import Cause

CAUSES = (
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
            "Some encapsulated packets were seen by the receiver's kernel and some were not. The wire, a switch, an overloaded NIC, a "
            "path with several members of which one is broken, or a size limit can do this; the captures alone cannot tell."
        ),
        remediation="Look at errors and drops of NICs and switch ports on the way, and compare the sizes of lost packets with the MTU.",
        source="loss between two witnesses, without a counter of either node",
    ),
    Cause(
        slug="underlay-path-subset",
        title="One of several parallel underlay paths is broken",
        text=(
            "All packets with some outer source ports are lost and all packets with others pass. The outer source port is a hash of "
            "the inner flow, and switches choose the member of a LAG or ECMP group by it: one member, or what stands behind it, "
            "drops."
        ),
        remediation=(
            "Send to the peer from a lost and from a passing source port (nping --udp -g PORT -p VXLANPORT PEER) and look which "
            "member each takes: error counters of the bond's slaves (cat /proc/net/bonding/*) and of the switch ports. Take the "
            "broken member out of the group."
        ),
        source="RFC 7348, section 5 (the outer source port is a hash of the inner headers); RFC 2992",
    ),
    Cause(
        slug="vmware-vxlan-clash",
        title="The hypervisor takes the nodes' VXLAN for its own",
        text=(
            "On VMware the virtual NIC (vmxnet3), ESXi or NSX parses frames on the UDP ports that it knows as overlay ports, and "
            "damages or swallows them. ICMP often crosses while TCP and UDP do not, since only they are offloaded."
        ),
        remediation=(
            "Look: ethtool -i NIC says vmxnet3, ethtool -k NIC says tx-udp_tnl-segmentation: on. Mend on all nodes: ethtool -K NIC "
            "tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off; if that is not enough, tx-checksum-ip-generic off, another "
            "VXLAN port, or newer ESXi."
        ),
        source="cilium/cilium issue 21801; flannel-io/flannel issue 2388; projectcalico/calico issues 4727, 9433, 10692",
    ),
    Cause(
        slug="cloud-anti-spoofing",
        title="The cloud drops packets whose source is not the machine's address",
        text=(
            "The node sends pod packets without encapsulation (CrossSubnet, DirectRouting, or a missing route). The cloud's network "
            "knows the machine by its own addresses only (source/destination check, port security) and drops everything else without "
            "a word."
        ),
        remediation=(
            "Look: ip route get POD on the sender leads to the NIC, not to the VXLAN device. Mend: switch off the source/destination "
            "check of the instances (OpenStack: allowed address pairs), or encapsulate always (Calico: vxlanMode Always)."
        ),
        source="projectcalico/calico issues 9138, 8166, 8906; cloudnativelabs/kube-router issue 854",
    ),
    Cause(
        slug="underlay-mtu",
        title="The underlay does not carry packets of this size",
        text=(
            "Small encapsulated packets cross, those above a sharp size vanish between the NICs, without fragments and without ICMP: "
            "the path's MTU is smaller than the VXLAN device's MTU plus its 50 bytes (70 over IPv6). TCP connects and then hangs on "
            "the first full segment."
        ),
        remediation=(
            "Look: ping -M do -s SIZE PEER from node to node, SIZE = outer length - 28. Mend: raise the MTU of the path, or set the "
            "network plugin's MTU to the largest outer length that crosses, less 50 (IPv6: 70; WireGuard below: 60 or 80 more)."
        ),
        source="RFC 7348, section 4.3; RFC 1191; projectcalico/calico issues 12432, 1709; siderolabs/talos issue 13457",
    ),
    Cause(
        slug="pod-mtu",
        title="The pod's MTU is larger than the tunnel's",
        text=(
            "The pod sends packets with Don't Fragment that do not fit into the VXLAN device. The node drops each (Ip.FragFails) and "
            "answers ICMP fragmentation needed; where that does not reach the pod or its sender ignores it, the connection hangs."
        ),
        remediation=(
            "Look: ip link in the pod against ip link show of the VXLAN device. Mend: set the network plugin's MTU to the device's, "
            "and make the pods anew, since a running pod keeps its MTU. Let ICMP type 3 code 4 reach the pods."
        ),
        source="RFC 1191; RFC 8201; Linux net/ipv4/ip_forward.c (ip_exceeds_mtu); projectcalico/calico issue 4439",
        admitted=True,
    ),
    Cause(
        slug="outer-fragments-dropped",
        title="Encapsulated packets are fragmented, and fragments get lost",
        text=(
            "The outer packet is larger than the NIC's MTU and may be fragmented, so the sender's kernel splits it. Clouds, firewalls "
            "and switches often drop fragments without a UDP header; the receiver waits 30 seconds for the rest and gives up "
            "(Ip.ReasmFails)."
        ),
        remediation=(
            "Look: nstat -az IpFragCreates on the sender, IpReasmFails on the receiver. Mend: lower the network plugin's MTU to the "
            "NIC's MTU less 50 (IPv6: 70), so that nothing is fragmented."
        ),
        source="RFC 7348, section 4.3; RFC 8900; Linux net/ipv4/ip_fragment.c",
    ),
)
