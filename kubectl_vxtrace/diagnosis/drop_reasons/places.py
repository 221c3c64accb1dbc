"""Reasons that the function which freed the packet makes clearer. What each function says was tried out on Linux 6.18."""

from kubectl_vxtrace.diagnosis.drop_reasons.reason import DropReason, Stage

_BRIDGE_FUNCTIONS = ("br_handle_frame_finish", "br_forward", "__br_forward")
_VXLAN = "ip -s -d link show type vxlan; the VNI and the inner source MAC address in a capture of the NIC"

PLACES = (
    DropReason(
        name="NOT_SPECIFIED",
        since="5.17",
        function="nf_queue",
        first=Stage.TC_INGRESS,
        last=Stage.POSTROUTING,
        meaning="a rule handed it to a queue (NFQUEUE) that no process reads",
        look="iptables-save -c | grep NFQUEUE; nft list ruleset | grep queue; cat /proc/net/netfilter/nfnetlink_queue",
    ),
    DropReason(
        name="NOT_SPECIFIED",
        since="5.17",
        function="ip_error",
        first=Stage.ROUTE_INPUT,
        last=Stage.ROUTE_INPUT,
        meaning="the route to its destination refuses it: blackhole, unreachable or prohibit",
        look="ip route get DESTINATION from SOURCE iif DEVICE; ip route show type blackhole; ip rule",
    ),
    *(
        DropReason(
            name="NOT_SPECIFIED",
            since="5.17",
            function=function,
            first=Stage.BRIDGE,
            last=Stage.BRIDGE,
            meaning="the bridge may not send it out of the port that leads to its destination: the one that it came in by (hairpin), "
            "an isolated one, one that does not forward",
            look="bridge -d link show (hairpin, isolated, state); bridge fdb show",
        )
        for function in _BRIDGE_FUNCTIONS
    ),
    DropReason(
        name="NOT_SPECIFIED",
        since="5.17",
        function="vxlan_rcv",
        first=Stage.TUNNEL_IN,
        last=Stage.TUNNEL_IN,
        meaning="the VXLAN device did not take it: another VNI, its own MAC address as source, a wrong header (no words before Linux 6.13)",
        look=_VXLAN,
    ),
    DropReason(
        name="NOT_SPECIFIED",
        since="5.17",
        function="vxlan_xmit",
        first=Stage.TUNNEL_OUT,
        last=Stage.TUNNEL_OUT,
        meaning="the VXLAN device knows no node for its inner destination MAC address (no word for it before Linux 6.13)",
        look="bridge fdb show dev DEVICE",
        cause="fdb-missing",
    ),
    DropReason(
        name="NOT_SPECIFIED",
        since="5.17",
        function="vxlan_xmit_one",
        first=Stage.TUNNEL_OUT,
        last=Stage.TUNNEL_OUT,
        meaning="the VXLAN device could not send the outer packet: no route to the node, or no room for its header",
        look="ip route get OUTER_DESTINATION from OUTER_SOURCE; ip -s -d link show type vxlan",
    ),
    DropReason(
        name="NO_TX_TARGET",
        since="6.14",
        function="vxlan_xmit",
        first=Stage.TUNNEL_OUT,
        last=Stage.TUNNEL_OUT,
        meaning="the VXLAN device knows no node for its inner destination MAC address",
        look="bridge fdb show dev DEVICE",
        cause="fdb-missing",
    ),
    *(
        DropReason(
            name="NO_TX_TARGET",
            since="6.14",
            function=function,
            first=Stage.BRIDGE,
            last=Stage.BRIDGE,
            meaning="no port of the bridge leads to its destination MAC address: the port is gone or down, or may not be flooded",
            look="bridge -d link show; bridge fdb show; ip link show master BRIDGE",
        )
        for function in _BRIDGE_FUNCTIONS
    ),
    DropReason(
        name="IP_OUTNOROUTES",
        since="6.13",
        function="vxlan_xmit_one",
        first=Stage.TUNNEL_OUT,
        last=Stage.TUNNEL_OUT,
        meaning="the node has no route to the underlay address of the other node",
        look="ip route get OUTER_DESTINATION from OUTER_SOURCE; ip rule",
        cause="route-missing",
    ),
    DropReason(
        name="IP_INNOROUTES",
        since="5.19",
        function="ip6_pkt_discard",
        first=Stage.ROUTE_INPUT,
        last=Stage.ROUTE_INPUT,
        meaning="IPv6 has no route to its destination, as in namespaces that were given none",
        look="ip -6 route get DESTINATION",
        cause="route-missing",
        is_usual=True,
    ),
    DropReason(
        name="IP_INHDR",
        since="5.18",
        function="ip_forward",
        first=Stage.FORWARD,
        last=Stage.FORWARD,
        meaning="its time to live ran out",
        look="ip route get DESTINATION, on every node that the packet came through",
    ),
    DropReason(
        name="NO_SOCKET",
        since="5.17",
        function="ping_rcv",
        first=Stage.SOCKET,
        last=Stage.SOCKET,
        meaning="an echo reply for a program that reads all ICMP and has its own copy",
        look="nothing",
        is_loss=False,
        is_usual=True,
    ),
)
