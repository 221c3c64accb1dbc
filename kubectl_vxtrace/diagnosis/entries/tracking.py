"""Causes in connection tracking and source translation."""

from kubectl_vxtrace.diagnosis.cause import Cause

CAUSES = (
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
        slug="conntrack-full",
        title="The connection tracking table is full",
        text=(
            "nf_conntrack_count has reached nf_conntrack_max: packets that would open a new entry are dropped, established "
            "connections go on. The kernel log says 'nf_conntrack: table full, dropping packet'."
        ),
        remediation=(
            "Look: sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max, conntrack -S (drop). Mend: sysctl -w "
            "net.netfilter.nf_conntrack_max=N, kube-proxy --conntrack-max-per-core, and find who opens so many (conntrack -L)."
        ),
        source="Linux net/netfilter/nf_conntrack_core.c (__nf_conntrack_alloc); kubernetes/kubernetes issue 71261",
        admitted=True,
    ),
    Cause(
        slug="dns-conntrack-race",
        title="Two queries from one socket race in connection tracking",
        text=(
            "A resolver sends the A and AAAA queries at once from one port. Both make an entry that is not confirmed yet, both are "
            "translated, and the loser is dropped when it is confirmed (insert_failed). The resolver waits five seconds and asks "
            "again."
        ),
        remediation=(
            "Look: conntrack -S | grep insert_failed while it happens. Mend: NodeLocal DNSCache; options single-request-reopen or "
            "use-vc in the pod's dnsConfig; a newer kernel."
        ),
        source="kubernetes/kubernetes issue 56903; weaveworks/weave issue 3287; Linux nf_conntrack_core.c (__nf_conntrack_confirm)",
        admitted=True,
    ),
    Cause(
        slug="snat-port-collision",
        title="Two connections were given the same source port by masquerading",
        text=(
            "Two new connections to the same server are masqueraded at the same moment and get the same source port; the second is "
            "dropped when it is confirmed (insert_failed). Only translated flows suffer; a connection then starts one second late."
        ),
        remediation=(
            "Look: conntrack -S (insert_failed); iptables-save -t nat | grep MASQUERADE (is --random-fully there?). Mend: iptables "
            "1.6.2 or later, so that plugin and kube-proxy add it; fewer connections to one server, or more source addresses."
        ),
        source="flannel-io/flannel issue 1004; kubernetes-sigs/ip-masq-agent issue 51; iptables-extensions(8), MASQUERADE",
        admitted=True,
    ),
    Cause(
        slug="masquerade-port-clash",
        title="Masquerading picked the VXLAN port as source port",
        text=(
            "A translated flow got the UDP port of VXLAN as its source port. Its replies look like VXLAN to the node's rules: Calico "
            "does not track that port and drops what comes from no known node. About one flow in 64,000."
        ),
        remediation=(
            "Look: replies whose destination port is the VXLAN port without a VXLAN header inside. Mend: upgrade Calico; the sysctl "
            "ip_local_port_range does not help, since netfilter picks from its own range."
        ),
        source="projectcalico/calico issue 12244, pull request 13118",
        admitted=True,
    ),
)
