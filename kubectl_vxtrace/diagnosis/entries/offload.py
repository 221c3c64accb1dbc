"""Causes in NICs and drivers: offloads that damage packets, and places below the packet filter that drop them."""

from kubectl_vxtrace.diagnosis.cause import Cause

CAUSES = (
    Cause(
        slug="vxlan-tx-checksum",
        title="The VXLAN device writes wrong outer UDP checksums",
        text=(
            "With checksum offload of the VXLAN device on, some kernels leave a wrong outer checksum on packets whose source was "
            "translated, and the receiver drops them (Udp.InCsumErrors). Node to Service fails or takes 63 seconds, pod to pod works."
        ),
        remediation=(
            "Look: ethtool -k DEVICE | grep tx-checksum-ip-generic on the sender. Mend: ethtool -K DEVICE tx-checksum-ip-generic off "
            "on every node (Calico: FelixConfiguration featureDetectOverride ChecksumOffloadBroken=true), then a newer kernel."
        ),
        source="flannel-io/flannel issue 1279; projectcalico/calico issues 3145, 8860; kubernetes/kubernetes pull request 92035",
        admitted=True,
    ),
    Cause(
        slug="zero-udp-checksum-v6",
        title="The receiver does not take outer IPv6 packets without a UDP checksum",
        text=(
            "One node sends VXLAN over IPv6 with a UDP checksum of zero (udp6zerocsumtx), the other does not accept it and counts "
            "Udp6InCsumErrors: over IPv6 the checksum is mandatory unless both ends agree."
        ),
        remediation=(
            "Look: ip -d link show DEVICE on both nodes (udp6zerocsumtx, udp6zerocsumrx). Mend: give all nodes the same two flags; "
            "they are set when the device is made."
        ),
        source="RFC 6935; RFC 8200, section 8.1; Linux net/ipv6/udp.c (udp6_csum_init)",
        admitted=True,
    ),
    Cause(
        slug="nic-tunnel-offload",
        title="The NIC damages the inner packet",
        text=(
            "A driver or firmware that segments or checksums inside tunnels writes a wrong inner checksum or payload. The packet "
            "passes all hops and dies at the end: the pod counts InCsumErrors, or conntrack calls it invalid."
        ),
        remediation=(
            "Look: ethtool -k NIC | grep udp_tnl, and nstat -az in the pod's network namespace (TcpInCsumErrors, UdpInCsumErrors). "
            "Mend on the sender: ethtool -K NIC tx-udp_tnl-csum-segmentation off, then tx-checksum-ip-generic off; then newer "
            "firmware."
        ),
        source=(
            "projectcalico/calico issue 4384; cloudnativelabs/kube-router issue 1436; Linux Documentation/networking/checksum-offloads.rst"
        ),
        admitted=True,
    ),
    Cause(
        slug="tunnel-gso-bug",
        title="Segmentation offload glues two encapsulated packets together",
        text=(
            "The sender's kernel or driver merges two VXLAN packets under one UDP header: the outer UDP length is larger than the "
            "inner frame. The receiver takes the first inner packet and loses the second."
        ),
        remediation=(
            "Look: frames at the NIC whose outer UDP length exceeds the inner frame. Mend: ethtool -K NIC tx-udp-segmentation off on "
            "the sender and rx-udp-gro-forwarding off on the receiver, then a newer kernel."
        ),
        source="tailscale/tailscale issue 11026; Linux Documentation/networking/segmentation-offloads.rst",
    ),
    Cause(
        slug="xdp-drop",
        title="An XDP program takes the packets before the kernel sees them",
        text=(
            "A BPF program attached to the NIC runs before every capture and every packet filter rule of the receiver, and returns "
            "XDP_DROP or sends the packet elsewhere. The packets look as if the underlay had lost them."
        ),
        remediation=(
            "Look: ip -d link show NIC (xdp, prog id), bpftool net show, ethtool -S NIC | grep xdp. Mend in the program that attached "
            "it (Cilium, Calico eBPF, a DDoS filter); to try without it: ip link set NIC xdp off."
        ),
        source="Linux include/uapi/linux/bpf.h (enum xdp_action); net/core/dev.c (do_xdp_generic)",
        admitted=True,
    ),
    Cause(
        slug="receive-overrun",
        title="The receiver's NIC or CPU is too slow for what arrives",
        text=(
            "Packets reach the receiver and are dropped before its kernel looks at them: the NIC's ring is full (rx missed), or the "
            "backlog of a CPU is (second column of softnet_stat). Loss comes in bursts, with load."
        ),
        remediation=(
            "Look: ip -s -s link show NIC (missed), ethtool -S NIC, /proc/net/softnet_stat. Mend: ethtool -G NIC rx SIZE, more "
            "receive queues or RPS, sysctl -w net.core.netdev_max_backlog=SIZE."
        ),
        source="Linux net/core/dev.c (enqueue_to_backlog), net/core/net-procfs.c; Documentation/networking/statistics.rst",
        admitted=True,
    ),
    Cause(
        slug="qdisc-drop",
        title="A traffic shaper of the sender drops the packets",
        text=(
            "The queueing discipline of a device on the sender is full or has a limit (bandwidth annotations of pods, tbf, netem, "
            "fq_codel) and drops. The capture of that device stands behind the queue, so the packets are missing there."
        ),
        remediation=(
            "Look: tc -s qdisc show dev DEVICE (dropped). Mend: raise or remove the limit (kubernetes.io/egress-bandwidth annotation, "
            "tc qdisc replace), or send less."
        ),
        source="tc(8); Linux net/core/dev.c (__dev_xmit_skb)",
        admitted=True,
    ),
)
