"""Causes in the nodes' routing: routes, blocks of addresses, forwarding, reverse paths."""

from kubectl_vxtrace.diagnosis.cause import Cause

CAUSES = (
    Cause(
        slug="route-missing",
        title="The node has no route to the remote pods' block",
        text=(
            "The route to the other node's pod block is gone: the node answers ICMP net unreachable (IpExt.InNoRoutes), or, with a "
            "default route, sends the packet bare to its gateway. Often systemd-networkd or NetworkManager removed a route that is "
            "not its own."
        ),
        remediation=(
            "Look: ip route get POD from CLIENT iif INTERFACE. Mend: restart the network agent; networkd.conf ManageForeignRoutes=no "
            "and ManageForeignRoutingPolicyRules=no, NetworkManager unmanaged-devices for the plugin's interfaces."
        ),
        source="cilium/cilium issue 18706; flatcar/Flatcar issue 620; systemd/systemd issue 25451; Linux net/ipv4/route.c (ip_error)",
        admitted=True,
    ),
    Cause(
        slug="pod-route-missing",
        title="The pod's own node has no route to the pod",
        text=(
            "Calico installs a blackhole for the node's own block and a route to each pod in it. Without the pod's route (removed, or "
            "gone with its cali interface) packets fall into the blackhole, and the kernel counts nothing."
        ),
        remediation=(
            "Look on the pod's node: ip route get POD says 'Invalid argument'; ip link show of its cali interface. Mend: ip link set "
            "INTERFACE up, restart calico-node; delete the pod if its interface is gone."
        ),
        source="projectcalico/calico issues 2612, 4471; Linux net/ipv4/route.c (ip_error: EINVAL is silent)",
        admitted=True,
    ),
    Cause(
        slug="duplicate-pod-cidr",
        title="Two nodes claim the same block of pod addresses",
        text=(
            "Two nodes hold the same podCIDR or IPAM block, so that nodes disagree on where a pod is: requests and replies choose "
            "different nodes, or packets go in circles. Cloned nodes, a stale node name file, or a cluster network that was changed "
            "do this."
        ),
        remediation=(
            "Look: kubectl get nodes -o custom-columns=NAME:.metadata.name,CIDR:.spec.podCIDR; calicoctl ipam check; kubectl get "
            "blockaffinities. Mend: drain one of the two, delete its Node and its block affinity, and join it anew."
        ),
        source="projectcalico/calico issues 6001, 12257; flannel-io/flannel issues 805, 1549",
    ),
    Cause(
        slug="pod-is-tunnel-address",
        title="The pod's address is also the address of a node's VXLAN device",
        text=(
            "The node takes packets for the pod as its own and delivers them locally, since it owns that address itself; nothing "
            "reaches the pod's interface."
        ),
        remediation=(
            "Look: ip -4 addr show DEVICE on the pod's node. Mend: restart calico-node, which picks a new tunnel address, or delete "
            "the pod; then calicoctl ipam check."
        ),
        source="projectcalico/calico issue 3589; ip-route(8), table local",
    ),
    Cause(
        slug="rp-filter",
        title="The kernel's reverse path filter drops the packets",
        text=(
            "With rp_filter 1 a packet is dropped if the route back to its source does not lead out of the interface that it came in "
            "on (TcpExt.IPReversePathFilter). The larger value of 'all' and of the interface counts."
        ),
        remediation=(
            "Look: sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.DEVICE.rp_filter; ip route get SOURCE. Mend: the return route; or "
            "sysctl -w net.ipv4.conf.all.rp_filter=2 (and the interface), and find the file in /etc/sysctl.d that sets 1."
        ),
        source="Linux Documentation/networking/ip-sysctl.rst; RFC 3704; net/ipv4/fib_frontend.c; cilium/cilium issue 13130",
        admitted=True,
    ),
    Cause(
        slug="ip-forward-off",
        title="The node does not forward: ip_forward is 0",
        text=(
            "With net.ipv4.ip_forward=0, or forwarding off for the interface, the node drops packets that are not for itself and "
            "counts Ip.InAddrErrors. Hardening scripts and sysctl files that run late reset it."
        ),
        remediation=(
            "Look: sysctl net.ipv4.ip_forward net.ipv4.conf.DEVICE.forwarding. Mend: sysctl -w net.ipv4.ip_forward=1 (IPv6: "
            "net.ipv6.conf.all.forwarding), and find who resets it: grep -r forward /etc/sysctl.conf /etc/sysctl.d."
        ),
        source="Linux net/ipv4/route.c (ip_error: EHOSTUNREACH); Documentation/networking/ip-sysctl.rst",
        admitted=True,
    ),
    Cause(
        slug="asymmetric-return",
        title="Requests and replies take different ways",
        text=(
            "The request is encapsulated, the reply comes back bare or through another interface. That works as long as nothing on "
            "the way keeps state or checks sources; a strict reverse path filter or conntrack drops it."
        ),
        remediation=(
            "Look: ip route get CLIENT on the server's node against ip route get SERVER on the client's. Mend: give both nodes the "
            "same rule for encapsulation (IPPool vxlanMode, flannel DirectRouting, the subnet masks of the nodes)."
        ),
        source="flannel-io/flannel issue 1394; RFC 3704",
        admitted=True,
    ),
    Cause(
        slug="routing-loop",
        title="The packet goes in circles until its TTL is used up",
        text=(
            "Two nodes each send the packet to the other. The same packet passes a hop again and again with a smaller TTL, until one "
            "drops it (Ip.InHdrErrors) and answers ICMP time exceeded."
        ),
        remediation=(
            "Look: ip route get POD on both nodes. Mend the one that should own the block: see duplicate-pod-cidr and "
            "pod-route-missing; a blackhole route for a node's own block ends such loops."
        ),
        source="RFC 791, section 3.1 (time to live); RFC 792; Linux net/ipv4/ip_forward.c",
        admitted=True,
    ),
)
