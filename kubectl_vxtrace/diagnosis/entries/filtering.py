"""Causes in packet filters: firewalls, chain policies, network policies, and what works beside them."""

from kubectl_vxtrace.diagnosis.cause import Cause

CAUSES = (
    Cause(
        slug="host-firewall",
        title="The node's own firewall drops the packets",
        text=(
            "A packet filter rule that is not part of a network policy (firewalld, ufw, the rules of a cloud image, a rule added by "
            "hand) drops or rejects the packets: the outer UDP in INPUT or OUTPUT, or the inner packet where the node forwards it."
        ),
        remediation=(
            "Allow the UDP port of VXLAN between the nodes, and forwarding for the pod addresses: with firewalld add the port to the "
            "zone of the NIC and the pod and Service networks to the trusted zone."
        ),
        source="flannel-io/flannel issue 2055; projectcalico/calico issues 6208, 9969; Linux netfilter rule counters",
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
        slug="policy-sees-snat",
        title="A network policy sees the node's address instead of the pod's",
        text=(
            "The source was rewritten before the policy was asked (masquerade, externalTrafficPolicy Cluster, hostNetwork), so that a "
            "rule by podSelector or client address cannot match, and the policy drops what it was written to allow."
        ),
        remediation=(
            "Look: the source at the server's VXLAN device or NIC against the client pod's address. Mend: keep the pod's source "
            "(natOutgoing, ip-masq-agent nonMasqueradeCIDRs, externalTrafficPolicy: Local), or allow the nodes' addresses with an "
            "ipBlock."
        ),
        source="projectcalico/calico issues 741, 3440, 2169",
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
        slug="nft-legacy-mix",
        title="Rules of iptables-legacy and iptables-nft are active at the same time",
        text=(
            "Both backends hook into the kernel, and a packet must pass both. Rules that an earlier kube-proxy, agent or firewall "
            "left in the other backend still translate to dead pods or drop, while the table that one looks at is right."
        ),
        remediation=(
            "Look: iptables-legacy-save -c and iptables-nft-save -c, nft list ruleset. Mend: make all components use one backend, and "
            "flush the other (iptables-legacy -F and -t nat -F, or a reboot of the node)."
        ),
        source="kubernetes/kubernetes issue 109811; projectcalico/calico issue 9969; kubernetes-sigs/iptables-wrappers",
        admitted=True,
    ),
    Cause(
        slug="bridge-netfilter-off",
        title="Bridged packets do not pass the packet filter",
        text=(
            "Pods on one node talk through a bridge, and without br_netfilter (net.bridge.bridge-nf-call-iptables=1) the reply is not "
            "translated back: it reaches the client from the backend's address instead of the Service's, and the client refuses it."
        ),
        remediation=(
            "Look: sysctl net.bridge.bridge-nf-call-iptables. Mend: modprobe br_netfilter; sysctl -w "
            "net.bridge.bridge-nf-call-iptables=1 (and -ip6tables), and both in /etc/modules-load.d and /etc/sysctl.d."
        ),
        source=(
            "kubernetes/kubernetes issue 20475; cloudnativelabs/kube-router issues 151, 189; Linux ip-sysctl.rst (bridge-nf-call-iptables)"
        ),
    ),
)
