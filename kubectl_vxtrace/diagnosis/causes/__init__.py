"""The known causes, by the place where packets die; each question has its module, each cause its page beside it.

A module holds its causes (`CAUSES`), and what is asked of a loss: `check`, a plain function, which stands in `CHECKS` here with the
kinds of segments that it is about. Of explanations that are equally sure the one of the earlier check stands.
"""

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.capture import blind, unexplained
from kubectl_vxtrace.diagnosis.causes.host import (
    arp_unanswered,
    asymmetric,
    bridging,
    conntrack,
    conntrack_invalid,
    forwarding,
    hairpin,
    interfaces,
    loops,
    next_hop,
    packet_filter,
    policy_route,
    routes,
    rule_backends,
    rule_verdict,
    tc_program,
    wrong_gateway,
)
from kubectl_vxtrace.diagnosis.causes.nic import checksums, queues, tunnel_gso
from kubectl_vxtrace.diagnosis.causes.pod import anti_spoofing as pod_source
from kubectl_vxtrace.diagnosis.causes.pod import device_missing, dropped_answers, tunnel_address
from kubectl_vxtrace.diagnosis.causes.pod import firewall as pod_firewall
from kubectl_vxtrace.diagnosis.causes.pod import mtu as pod_mtu
from kubectl_vxtrace.diagnosis.causes.server import (
    application_errors,
    endpoint,
    full_sockets,
    not_a_pod,
    other_interface,
    partly_silent,
    resets,
    zero_window,
)
from kubectl_vxtrace.diagnosis.causes.service import connections, late_answers, port_rewriting, translation
from kubectl_vxtrace.diagnosis.causes.vxlan import destinations, device, fdb, port_clash, tunnel_conflict, vtep_macs, wireguard
from kubectl_vxtrace.diagnosis.causes.wire import anti_spoofing as bare_packets
from kubectl_vxtrace.diagnosis.causes.wire import fragments, hypervisor, mtu, neighbour_mac, ttl, underlay
from kubectl_vxtrace.diagnosis.checks import CaseCheck, LossCheck, OfAnySegment, OfLoss, OfSegment
from kubectl_vxtrace.diagnosis.losses import SegmentKind

_FORWARD, _ENCAPSULATE, _WIRE, _DECAPSULATE, _DELIVER, _RESOLVE = SegmentKind
_ON_A_NODE = (_FORWARD, _ENCAPSULATE, _DECAPSULATE)
_BETWEEN_HOPS = (*_ON_A_NODE, _WIRE)

CHECKS: tuple[LossCheck, ...] = (
    OfSegment(device.check, (_DECAPSULATE,)),
    OfSegment(device.check_sender, (_FORWARD,)),
    OfSegment(vtep_macs.check, (_FORWARD, _DECAPSULATE)),
    OfSegment(tunnel_address.check, (_FORWARD,)),
    OfAnySegment(not_a_pod.check, (_FORWARD, _WIRE)),
    OfSegment(device_missing.check, (_FORWARD,)),
    OfSegment(next_hop.check, (_FORWARD,)),
    OfAnySegment(next_hop.check_mac, (_DELIVER,)),
    OfAnySegment(tunnel_conflict.check, _BETWEEN_HOPS),
    OfSegment(arp_unanswered.check, (_ENCAPSULATE,)),
    OfSegment(arp_unanswered.check_bare, (_FORWARD,)),
    OfAnySegment(arp_unanswered.check_first_hop, (_RESOLVE,)),
    OfAnySegment(fdb.check, (_ENCAPSULATE,)),
    OfAnySegment(destinations.check, (_ENCAPSULATE, _WIRE)),
    OfSegment(interfaces.check, _BETWEEN_HOPS),
    OfAnySegment(policy_route.check_refusal, (_FORWARD,)),
    OfAnySegment(routes.check, (_FORWARD,)),
    OfAnySegment(wrong_gateway.check, (_ENCAPSULATE, _WIRE)),
    OfSegment(policy_route.check, (_WIRE,)),
    OfSegment(policy_route.check_exit, (_ENCAPSULATE,)),
    OfSegment(neighbour_mac.check, (_WIRE, _DECAPSULATE)),
    OfLoss(loops.check),
    OfLoss(asymmetric.check),
    OfAnySegment(forwarding.check, (_FORWARD, _DECAPSULATE)),
    OfSegment(wireguard.check, (_FORWARD,)),
    OfSegment(bare_packets.check, (_WIRE,)),
    OfSegment(port_clash.check, (_FORWARD,)),
    OfAnySegment(conntrack.check, _ON_A_NODE),
    OfAnySegment(packet_filter.check, (*_ON_A_NODE, _DELIVER)),
    OfSegment(checksums.check, (_DECAPSULATE,)),
    OfAnySegment(checksums.check_inner, (_FORWARD, _DELIVER)),
    OfSegment(ttl.check, (_WIRE,)),
    OfSegment(hypervisor.check, (_WIRE,)),
    OfSegment(tunnel_gso.check, (_ENCAPSULATE,)),
    OfSegment(pod_mtu.check, (_FORWARD, _ENCAPSULATE)),
    OfSegment(mtu.check, (_WIRE,)),
    OfSegment(fragments.check, (_WIRE, _DECAPSULATE)),
    OfSegment(queues.check, _BETWEEN_HOPS),
    OfSegment(underlay.check, (_WIRE,)),
    OfAnySegment(tc_program.check, _ON_A_NODE),
    OfAnySegment(hairpin.check, (_FORWARD,)),
    OfLoss(translation.check),
    OfAnySegment(pod_firewall.check, (_DELIVER,)),
    OfAnySegment(bridging.check, (_DELIVER,)),
    OfAnySegment(connections.check, (_DELIVER,)),
    OfAnySegment(other_interface.check, (_DELIVER,)),
    OfAnySegment(endpoint.check, (_DELIVER,)),
    OfLoss(resets.check),
)

CASE_CHECKS: tuple[CaseCheck, ...] = (
    asymmetric.check_case,
    resets.check_case,
    connections.check_case,
    application_errors.check_case,
    late_answers.check_case,
    pod_firewall.check_case,
    dropped_answers.check_case,
    partly_silent.check_case,
    port_rewriting.check_case,
    zero_window.check_case,
    pod_source.check_case,
    policy_route.check_case,
    translation.check_case,
    not_a_pod.check_case,
    blind.check_case,
    unexplained.check_case,
)

_MODULES = (
    arp_unanswered,
    asymmetric,
    bare_packets,
    blind,
    bridging,
    checksums,
    connections,
    conntrack,
    conntrack_invalid,
    destinations,
    device,
    device_missing,
    endpoint,
    full_sockets,
    application_errors,
    fdb,
    forwarding,
    fragments,
    hypervisor,
    late_answers,
    loops,
    mtu,
    neighbour_mac,
    next_hop,
    pod_firewall,
    not_a_pod,
    pod_mtu,
    pod_source,
    policy_route,
    port_clash,
    port_rewriting,
    queues,
    resets,
    routes,
    rule_backends,
    rule_verdict,
    tc_program,
    translation,
    ttl,
    tunnel_address,
    tunnel_conflict,
    tunnel_gso,
    underlay,
    unexplained,
    vtep_macs,
    wireguard,
    zero_window,
)

CAUSES: dict[str, Cause] = {cause.slug: cause for module in _MODULES for cause in module.CAUSES}
