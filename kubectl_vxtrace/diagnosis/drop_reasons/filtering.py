"""Reasons of what decides about packets by rules: netfilter, IPsec, BPF of cgroups, security modules."""

from kubectl_vxtrace.diagnosis.drop_reasons.reason import DropReason, Stage

FILTERING = (
    DropReason(
        name="NETFILTER_DROP",
        since="5.18",
        first=Stage.TC_INGRESS,
        last=Stage.TC_EGRESS,
        meaning="a packet filter rule or a chain's policy dropped or rejected it, on the node or in a pod's own network namespace",
        look="iptables-save -c; ip6tables-save -c; nft list ruleset",
    ),
    DropReason(
        name="XFRM_POLICY",
        since="5.18",
        first=Stage.FORWARD,
        last=Stage.SOCKET,
        meaning="an IPsec policy does not let it pass bare, or blocks it",
        look="ip -s xfrm policy; cat /proc/net/xfrm_stat",
    ),
    DropReason(
        name="BPF_CGROUP_EGRESS",
        since="5.18",
        first=Stage.LOCAL_OUT,
        last=Stage.POSTROUTING,
        meaning="a BPF program of the sender's cgroup did not let it out",
        look="bpftool cgroup tree",
    ),
    DropReason(
        name="SECURITY_HOOK",
        since="6.14",
        first=Stage.TRANSPORT,
        last=Stage.SOCKET,
        meaning="a security module (SELinux, AppArmor, BPF) refused it",
        look="dmesg; ausearch -m avc",
    ),
    DropReason(
        name="PSP_INPUT",
        since="6.18",
        first=Stage.TRANSPORT,
        last=Stage.SOCKET,
        meaning="a connection that must be encrypted by PSP got it otherwise",
        look="ss -tie",
    ),
    DropReason(
        name="PSP_OUTPUT",
        since="6.18",
        first=Stage.LOCAL_OUT,
        last=Stage.DEVICE,
        meaning="a connection that must be encrypted by PSP would have sent it otherwise",
        look="ss -tie",
    ),
)
