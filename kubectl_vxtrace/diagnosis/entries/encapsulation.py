"""Causes at the VXLAN devices: where the sender sends, with what, and whether the receiver takes it."""

from kubectl_vxtrace.diagnosis.cause import Cause

CAUSES = (
    Cause(
        slug="vxlan-device-down",
        title="The VXLAN device is down or absent",
        text=(
            "Without the device nothing listens on its UDP port (Udp.NoPorts, ICMP port unreachable), and the routes that go through "
            "it are gone as well."
        ),
        remediation="Set the device up (ip link set DEVICE up) and restart the network agent of that node; its log says why it went down.",
        source="projectcalico/calico issue 4468",
        admitted=True,
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
        slug="duplicate-vtep-mac",
        title="Two nodes' VXLAN devices have the same MAC address",
        text=(
            "A VXLAN device drops a frame whose inner source MAC address is its own, without an error counter. Cloned machines that "
            "make the address from the same machine-id have it twice."
        ),
        remediation=(
            "Look: ip link show DEVICE on both nodes. Mend on the clone: systemd-machine-id-setup after removing /etc/machine-id, ip "
            "link del DEVICE, restart the network agent."
        ),
        source="Linux drivers/net/vxlan/vxlan_core.c (vxlan_set_mac: SKB_DROP_REASON_LOCAL_MAC)",
    ),
    Cause(
        slug="stale-vtep-mac",
        title="The sender uses an old MAC address of the remote VTEP",
        text=(
            "Neighbour entry and FDB of the sender agree with each other but not with the receiver's device, which was made anew with "
            "another address. The packets arrive on the device and are dropped as somebody else's (rx otherhost_dropped)."
        ),
        remediation=(
            "Look: inner destination MAC in the frame against ip link show DEVICE on the receiver. Mend: restart the network agent on "
            "both; keep systemd off the address with a .link file, MACAddressPolicy=none."
        ),
        source="flannel-io/flannel issues 1155, 1788; k3s-io/k3s issue 9957; Linux net/ipv4/ip_input.c (ip_rcv_core)",
        admitted=True,
    ),
    Cause(
        slug="fdb-missing",
        title="The sender does not know on which node the remote VTEP is",
        text=(
            "The VXLAN device has no forwarding entry for the MAC address of the remote VTEP and no default destination: each packet "
            "is dropped in the device and counted as tx dropped."
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
        slug="neighbour-table-full",
        title="The node's neighbour table is full",
        text=(
            "The number of entries has reached net.ipv4.neigh.default.gc_thresh3, and the kernel makes no new ones: packets to "
            "addresses without an entry are dropped, others pass. The kernel log says 'neighbour: arp_cache: neighbor table "
            "overflow!'."
        ),
        remediation=(
            "Look: ip neigh | wc -l, sysctl net.ipv4.neigh.default.gc_thresh3, table_fulls in /proc/net/stat/arp_cache. Mend: sysctl "
            "-w net.ipv4.neigh.default.gc_thresh3=8192 (and gc_thresh2, gc_thresh1 below it); IPv6 has its own."
        ),
        source="Linux net/core/neighbour.c (neigh_alloc); arp(7)",
        admitted=True,
    ),
    Cause(
        slug="fdb-wrong-destination",
        title="The sender sends to a wrong node address, against what is published",
        text=(
            "The forwarding entry (FDB) of the sender's VXLAN device names an underlay address that is not the one the network plugin "
            "has published for the pod's node: the entry is stale or was written by hand."
        ),
        remediation=(
            "Look: bridge fdb show dev DEVICE on the sender against kubectl get node NODE -o yaml. Mend: restart the network agent of "
            "the sender; by hand: bridge fdb replace MAC dev DEVICE dst ADDRESS self permanent."
        ),
        source="k3s-io/k3s issues 6177, 12056; projectcalico/calico issue 7281; bridge(8)",
    ),
    Cause(
        slug="wrong-node-address",
        title="The network plugin has published a wrong address for a node",
        text=(
            "On a machine with several NICs or addresses the plugin picked one that the other nodes do not reach. The senders do as "
            "they were told, and the encapsulated packets go to, or come from, the wrong address."
        ),
        remediation=(
            "Look: the node's annotation projectcalico.org/IPv4Address or flannel.alpha.coreos.com/public-ip against its InternalIP. "
            "Mend: Calico IP_AUTODETECTION_METHOD=kubernetes-internal-ip, flannel --iface, k3s --flannel-iface or --node-ip."
        ),
        source="projectcalico/calico issues 8203, 6141, 6927; poseidon/typhoon issue 124",
    ),
    Cause(
        slug="duplicate-node-address",
        title="Two nodes have the same underlay address",
        text=(
            "Two machines answer for one address: a cloned static configuration, a virtual address, or two nodes that published the "
            "same one. Encapsulated packets reach now this machine, now the other."
        ),
        remediation=(
            "Look: kubectl get nodes -o wide, and arping -b -I NIC ADDRESS from a third machine (two MAC addresses answer). Mend: "
            "give one of them its own address and restart its kubelet and network agent."
        ),
        source="RFC 5227; flannel-io/flannel Documentation/troubleshooting.md (machines that all have 10.0.2.15)",
    ),
    Cause(
        slug="calico-unknown-vtep",
        title="Calico drops VXLAN from an address that it does not know as a node",
        text=(
            "Felix accepts VXLAN only from the addresses in its set cali40all-vxlan-net. The outer source is not one of them: it was "
            "rewritten on the way, the sender uses another NIC, or its node address was detected wrongly."
        ),
        remediation=(
            "Compare the outer source with the set (ipset list cali40all-vxlan-net): correct the node's address in Calico "
            "(projectcalico.org/IPv4Address, IP_AUTODETECTION_METHOD), or add the source to externalNodesList."
        ),
        source="projectcalico/calico felix/rules/static.go, issue 6752",
        admitted=True,
    ),
    Cause(
        slug="wireguard-peer",
        title="WireGuard between the nodes does not carry the packets",
        text=(
            "Pod traffic goes through a WireGuard device instead of, or below, VXLAN. There is no peer for the address, its key or "
            "endpoint is wrong, or the handshake does not get through; the device counts tx errors or tx dropped."
        ),
        remediation=(
            "Look: wg show (latest handshake, allowed ips, endpoint) on both nodes, ip -s link show DEVICE. Mend: open its UDP port "
            "(Calico 51820, Cilium 51871, flannel 51820), restart the network agent where key or peer is stale."
        ),
        source="Linux drivers/net/wireguard/device.c (wg_xmit); cilium/cilium issue 37919; projectcalico/calico issue 4606",
        admitted=True,
    ),
)
