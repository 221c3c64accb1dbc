"""Do the nodes' settings let them forward the packets: ip_forward, the reverse path filter, netfilter on bridges?"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_drop_evidence
from kubectl_vxtrace.diagnosis.evidence.lost_packets import encapsulations, minimum_counter_growth, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, SegmentKind, is_routed
from kubectl_vxtrace.diagnosis.rules.reverse_path import REVERSE_PATH_COUNTER
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

IP_FORWARD_OFF = Cause(
    slug="ip-forward-off",
    remediation=(
        "Look on {node}: sysctl {settings}; grep -r forward /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d. Fix: sysctl -w {setting}=1, "
        "and in /etc/sysctl.d so that it stays."
    ),
    source="Linux net/ipv4/route.c (ip_error: EHOSTUNREACH); Documentation/networking/ip-sysctl.rst",
    admitted=True,
    stage=Stage.ROUTE_INPUT,
)
RP_FILTER = Cause(
    slug="rp-filter",
    remediation=(
        "Look: sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.DEVICE.rp_filter; ip route get SOURCE. Fix: the return route; or sysctl "
        "-w net.ipv4.conf.all.rp_filter=2 (and the interface), and find the file in /etc/sysctl.d that sets 1."
    ),
    source="Linux Documentation/networking/ip-sysctl.rst; RFC 3704; net/ipv4/fib_frontend.c; cilium/cilium issue 13130",
    admitted=True,
    stage=Stage.PREROUTING,
)
CAUSES = (
    IP_FORWARD_OFF,
    RP_FILTER,
)


# Linux net/ipv4/route.c, ip_error; net/ipv6/ip6_output.c, ip6_forward: what comes for others where forwarding is off.
_NOT_FORWARDED = {4: "Ip.InAddrErrors", 6: "Ip6InAddrErrors"}
# Linux Documentation/networking/ip-sysctl.rst, rp_filter.
_MODES = {1: "strict", 2: "loose"}


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `ip-forward-off` and `rp-filter`."""
    if is_routed(segment):
        yield from _not_forwarding(case, loss, segment)
    if is_routed(segment) or segment.kind is SegmentKind.DECAPSULATE:
        yield from _filtered(case, loss, segment)


def _of_device(family: int, interface: str, name: str) -> str:
    """The name of a device's setting as sysctl(8) spells it: a dot in the device's name is a slash."""
    return f"net.ipv{family}.conf.{interface.translate(str.maketrans('./', '/.'))}.{name}"


def _family(loss: Loss) -> int:
    return 6 if ":" in loss.flow.client.address else 4


def _not_forwarding(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    node, family = segment.start.tap.node, _family(loss)
    names = ["net.ipv4.ip_forward" if family == 4 else "net.ipv6.conf.all.forwarding"]
    names += [_of_device(family, segment.start.tap.interface, "forwarding")] if segment.start.tap.interface else []
    off = [name for name in names if "0" in (values := node_facts.sysctls(case, node, name))[:1] + values[-1:]]
    if not off:
        return
    growth, taken = node_facts.grown(case, node, _NOT_FORWARDED[family]), minimum_counter_growth(loss)
    if growth == 0:
        return
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"{', '.join(f'{name} = 0' for name in off)} on {node}")]
    if growth is not None:
        text = f"{_NOT_FORWARDED[family]} of {node} grew by {growth}; {loss.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    always = all(set(node_facts.sysctls(case, node, name)) == {"0"} for name in off)
    full = growth is not None and growth >= taken
    yield error_finding(
        case,
        loss,
        IP_FORWARD_OFF,
        Confidence.CERTAIN if full and always else Confidence.LIKELY if full or growth is None else Confidence.POSSIBLE,
        f"{node} does not forward packets that come in on {segment.start.tap.interface or 'the pod interface'}: {off[0]} is 0",
        proofs,
        remediation=IP_FORWARD_OFF.remedy(node=node, settings=" ".join(names), setting=off[0]),
        not_ruled_out=() if full else (f"another drop on {node} before it would forward the packets",),
    )


def _filtered(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    start, taken = segment.start, minimum_counter_growth(loss)
    node, growth = start.tap.node, node_facts.grown(case, start.tap.node, REVERSE_PATH_COUNTER)
    sources = _sources(case, loss, segment)
    mode = _mode(case, start)
    if growth == 0 or mode == 0 or any(":" in source for source in sources) or not sources:
        return
    mismatch = _reverse(case, start, sources)
    full = growth is not None and growth >= taken
    if not full and not (mismatch and mode is not None):
        return
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text) for text in (*_settings(case, start), *mismatch)]
    if growth is not None:
        text = f"{REVERSE_PATH_COUNTER} of {node} grew by {growth}; {loss.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    proofs += kernel_drop_evidence(case, loss, segment.start, ("IP_RPFILTER",))
    proven = bool(mismatch) and mode is not None
    yield replace(
        error_finding(
            case,
            loss,
            RP_FILTER,
            Confidence.CERTAIN if full and proven else Confidence.LIKELY if full or growth is None else Confidence.POSSIBLE,
            f"the reverse path filter of {node} drops packets from {sources[0]} that come in on {start.tap.interface}",
            proofs,
            remediation=_remedy(start, sources[0]),
            not_ruled_out=() if full else (f"another drop on {node} for the packets that the counter does not hold",),
        ),
        packets=loss.packets if full or growth is None else growth,
    )


def _sources(case: Case, loss: Loss, segment: AnySegment) -> tuple[str, ...]:
    """The source addresses that the filter of the segment's first interface sees: the outer one beside the NIC."""
    if segment.kind is not SegmentKind.DECAPSULATE:
        return loss.senders
    headers = encapsulations(case, loss, segment.start) or encapsulations(case, loss, loss.start)
    return tuple(dict.fromkeys(header.source for header in headers))


def _mode(case: Case, hop: Hop) -> int | None:
    """The filter's mode on an interface, the higher of `all` and its own (ip-sysctl.rst); None where neither was read."""
    values = [value for name in _names(hop) for value in node_facts.sysctls(case, hop.tap.node, name) if value.isdigit()]
    return max((int(value) for value in values), default=None)


def _names(hop: Hop) -> tuple[str, ...]:
    return "net.ipv4.conf.all.rp_filter", _of_device(4, hop.tap.interface, "rp_filter")


def _settings(case: Case, hop: Hop) -> Iterator[str]:
    read = [f"{name} = {values[-1]}" for name in _names(hop) if (values := node_facts.sysctls(case, hop.tap.node, name))]
    if read:
        mode = _mode(case, hop)
        yield f"on {hop.tap.node} {', '.join(read)}: the higher counts, which is {_MODES.get(mode or 0, str(mode))}"


def _reverse(case: Case, hop: Hop, sources: Sequence[str]) -> list[str]:
    """Where the node would send to the sources of the packets, if that fails the filter's test; empty if it does not or is not known."""
    mode, failing = _mode(case, hop), []
    for source in sources:
        for facts in node_facts.looks(case, hop.tap.node)[-1:]:
            back = routes.local_lookup(facts, source)
            if back is None:
                continue
            if routes.is_refused(back) or (mode != 2 and back.device != hop.tap.interface):  # loose mode asks for any way
                failing.append(f"packets from {source} come in on {place_text(hop)}; the way back to it: {routes.answer_text(back)}")
    return failing


def _remedy(hop: Hop, source: str) -> str:
    node, device = hop.tap.node, hop.tap.interface.translate(str.maketrans("./", "/."))
    return (
        f"Look on {node}: sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.{device}.rp_filter; ip route get {source}. Fix the route to "
        f"{source} so that it leads through {hop.tap.interface}; or accept both ways: sysctl -w net.ipv4.conf.all.rp_filter=2, and in "
        f"/etc/sysctl.d so that it stays."
    )
