"""The first faults of the table: underlay, firewall, tunnel, policy, server."""

from . import fault_actions as actions
from . import servers
from .fault_record import ALL_BACKENDS, ENTRY, EXIT, TO_POD, TO_TUNNEL, WIRE, fault

_BLOCK = (actions.block_underlay, actions.unblock_underlay)
_DROP = actions.input_rule(actions.drop_vxlan)
_REJECT = actions.input_rule(actions.reject_vxlan)
_FDB = (actions.forget_fdb, actions.restore_fdb)
_NEIGHBOUR = (actions.forget_neighbour, actions.restore_neighbour)
_INGRESS = actions.policy("ingress", servers.dns_pod)
_EGRESS = actions.policy("egress", actions.client_pod)


# Those that a real cluster can have as well, and that every run of the tests tries from end to end.
BASIC = (
    fault("underlay-udp-blocked", "request", WIRE, _BLOCK, partial=True, partial_cause="underlay-loss", backends=ALL_BACKENDS),
    fault("underlay-udp-blocked@reply", "reply", WIRE, _BLOCK, partial=True, at_client=True, partial_cause="underlay-loss"),
    fault("host-firewall", "request", ENTRY, _DROP, partial=True, backends=ALL_BACKENDS),
    fault("host-firewall@reply", "reply", ENTRY, _DROP, partial=True, at_client=True),
    fault("host-firewall@nft", "request", ENTRY, (actions.nft_firewall, actions.no_nft_firewall), partial=True),
    fault("host-firewall@reject", "request", ENTRY, _REJECT, partial=True),
    fault("vni-mismatch", "request", ENTRY, (actions.wrong_vni, actions.right_device), remakes_device=True),
    fault("vxlan-port-mismatch", "request", ENTRY, (actions.wrong_port, actions.right_device), remakes_device=True),
    fault("fdb-missing", "reply", EXIT, _FDB),
    fault("fdb-missing@request", "request", EXIT, _FDB, at_client=True),
    fault("neighbour-missing", "reply", TO_TUNNEL, _NEIGHBOUR),
    fault("neighbour-missing@request", "request", TO_TUNNEL, _NEIGHBOUR, at_client=True),
    fault("network-policy-drop", "request", TO_POD, _INGRESS, needs=servers.dns_pod),
    fault("network-policy-drop@egress", "request", TO_TUNNEL, _EGRESS, at_client=True, needs=actions.client_pod),
    fault(
        "nothing-listening",
        "request",
        "{node}/pod>-",
        (actions.stop_dns, actions.start_dns),
        needs=servers.dns_pod,
        stops="dns",
        backends=ALL_BACKENDS,
    ),
)
