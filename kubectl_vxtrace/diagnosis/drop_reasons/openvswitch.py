"""Reasons of Open vSwitch (net/openvswitch/drop.h, Linux 6.6), for which the tracepoint has numbers only."""

from kubectl_vxtrace.diagnosis.drop_reasons.reason import DropReason, Stage

_FLOWS = "ovs-dpctl dump-flows -m; ovs-appctl ofproto/trace"


def _row(name: str, meaning: str, look: str = _FLOWS) -> DropReason:
    return DropReason(name=name, since="6.6", first=Stage.BRIDGE, last=Stage.BRIDGE, meaning=meaning, look=look)


# In the order of the enum, which begins with 1 above the subsystem's number.
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
