"""Reasons of what decides about packets by rules: netfilter, IPsec, BPF of cgroups, security modules; and Open vSwitch."""

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

_FLOWS = "ovs-dpctl dump-flows -m; ovs-appctl ofproto/trace"


def _row(name: str, meaning: str, look: str = _FLOWS) -> DropReason:
    return DropReason(name=name, since="6.6", first=Stage.BRIDGE, last=Stage.BRIDGE, meaning=meaning, look=look)


# net/openvswitch/drop.h, Linux 6.6; the tracepoint has numbers only for these. In the order of the enum, which begins with 1 above the
# subsystem's number.
OPEN_VSWITCH = (
    _row("OVS_DROP_LAST_ACTION", "no flow of the switch sent it anywhere: what it drops by its rules ends so"),
    _row("OVS_DROP_ACTION_ERROR", "an action of the switch failed"),
    _row("OVS_DROP_EXPLICIT", "a flow of the switch drops it"),
    _row("OVS_DROP_EXPLICIT_WITH_ERROR", "the switch drops it, since its flow could not be worked out"),
    _row("OVS_DROP_METER", "it exceeds a meter of the switch", "ovs-ofctl -O OpenFlow13 meter-stats BRIDGE"),
    _row("OVS_DROP_RECURSION_LIMIT", "flows of the switch send it through too many tables"),
    _row("OVS_DROP_DEFERRED_LIMIT", "the switch had too much put off for it"),
    _row("OVS_DROP_FRAG_L2_TOO_LONG", "its link-layer header is too long to cut it into fragments"),
    _row("OVS_DROP_FRAG_INVALID_PROTO", "it is too long for its way and no IP packet, which could be cut into fragments"),
    _row("OVS_DROP_CONNTRACK", "connection tracking of the switch failed", "ovs-appctl dpctl/dump-conntrack; conntrack -S"),
    _row("OVS_DROP_IP_TTL", "its time to live ran out in the switch"),
)

# SKB_DROP_REASON_SUBSYS_OPENVSWITCH in include/net/dropreason.h: 3 up to Linux 6.14, then 2, which was one of Wi-Fi's before.
SUBSYSTEMS = (2, 3)
