"""Reasons of VXLAN devices and other tunnels (drivers/net/vxlan/vxlan_core.c, net/ipv4/ip_tunnel_core.c)."""

from kubectl_vxtrace.diagnosis.drop_reasons.reason import DropReason, Stage

_VXLAN = "ip -s -d link show type vxlan"

TUNNELS = (
    DropReason(
        name="VXLAN_INVALID_HDR",
        since="6.13",
        first=Stage.TUNNEL_IN,
        last=Stage.TUNNEL_IN,
        meaning="its VXLAN header is wrong: flag I is not set, or reserved bits are",
        look="the first eight bytes behind the UDP header in a capture of the NIC (RFC 7348)",
    ),
    DropReason(
        name="VXLAN_VNI_NOT_FOUND",
        since="6.13",
        first=Stage.TUNNEL_IN,
        last=Stage.TUNNEL_IN,
        meaning="no VXLAN device of the node has its VNI",
        look=_VXLAN,
        cause="vni-mismatch",
    ),
    DropReason(
        name="LOCAL_MAC",
        since="6.13",
        first=Stage.TUNNEL_IN,
        last=Stage.TUNNEL_IN,
        meaning="its inner source MAC address is that of the receiving VXLAN device itself",
        look="ip link show type vxlan, on both nodes",
        cause="duplicate-vtep-mac",
    ),
    DropReason(
        name="MAC_INVALID_SOURCE",
        since="6.13",
        first=Stage.TUNNEL_IN,
        last=Stage.TUNNEL_OUT,
        meaning="its source MAC address is none that anybody sends from",
        look="the inner Ethernet header in a capture of the NIC",
    ),
    DropReason(
        name="VXLAN_ENTRY_EXISTS",
        since="6.13",
        first=Stage.TUNNEL_IN,
        last=Stage.TUNNEL_IN,
        meaning="its inner source MAC address is known behind another node by a fixed entry",
        look="bridge -d fdb show dev DEVICE",
    ),
    DropReason(
        name="VXLAN_NO_REMOTE",
        since="6.13",
        first=Stage.TUNNEL_OUT,
        last=Stage.TUNNEL_OUT,
        meaning="the VXLAN device knows no node for its inner destination MAC address",
        look="bridge fdb show dev DEVICE",
        cause="fdb-missing",
    ),
    DropReason(
        name="NO_TX_TARGET",
        since="6.14",
        first=Stage.BRIDGE,
        last=Stage.TUNNEL_OUT,
        meaning="a bridge has no port for it, or a VXLAN device no node",
        look="bridge fdb show; bridge -d link show",
    ),
    DropReason(
        name="IP_TUNNEL_ECN",
        since="6.13",
        first=Stage.TUNNEL_IN,
        last=Stage.TUNNEL_IN,
        meaning="congestion marks of its outer and inner header contradict each other (RFC 6040, 4.2)",
        look="the traffic class of both headers in a capture; ip -s link show dev DEVICE (frame errors)",
    ),
    DropReason(
        name="TUNNEL_TXINFO",
        since="6.13",
        first=Stage.TUNNEL_OUT,
        last=Stage.TUNNEL_OUT,
        meaning="it came to a tunnel device in external mode without being told where to go",
        look="ip -d link show dev DEVICE; bpftool net show",
    ),
)
