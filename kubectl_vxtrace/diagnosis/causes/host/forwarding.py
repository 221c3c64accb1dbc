"""Do the nodes' settings let them forward the packets: ip_forward, the reverse path filter, netfilter on bridges?"""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.diagnosis.ends import frames_taken, is_routed, senders
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence import routes as ways
from kubectl_vxtrace.diagnosis.evidence.kernel_words import kernel_words
from kubectl_vxtrace.diagnosis.evidence.lost_packets import encapsulations, place_text
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Kind, Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

_FILTERED = "TcpExt.IPReversePathFilter"
# Linux net/ipv4/route.c, ip_error; net/ipv6/ip6_output.c, ip6_forward: what comes for others where forwarding is off.
_NOT_FORWARDED = {4: "Ip.InAddrErrors", 6: "Ip6InAddrErrors"}
# Linux Documentation/networking/ip-sysctl.rst, rp_filter.
_MODES = {1: "strict", 2: "loose"}


def check(case: Case) -> Iterator[Finding]:
    """Findings `ip-forward-off` and `rp-filter`."""
    for trouble in troubles(case):
        if trouble.kind is not Kind.VANISHED:
            continue
        for stretch in trouble.stretches:
            if is_routed(stretch):
                yield from _not_forwarding(case, trouble, stretch)
            if is_routed(stretch) or stretch.place is Place.DECAPSULATE:
                yield from _filtered(case, trouble, stretch)


def setting(case: Case, node: str, name: str) -> tuple[str, ...]:
    """The values of a sysctl in the looks at `node` that could tell."""
    return tuple(facts.sysctls[name] for facts in nodes.looks(case, node) if name in facts.sysctls)


def _of_device(family: int, interface: str, name: str) -> str:
    """The name of a device's setting as sysctl(8) spells it: a dot in the device's name is a slash."""
    return f"net.ipv{family}.conf.{interface.translate(str.maketrans('./', '/.'))}.{name}"


def _family(trouble: Trouble) -> int:
    return 6 if ":" in trouble.flow.client.address else 4


def _not_forwarding(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    node, family = stretch.start.tap.node, _family(trouble)
    names = ["net.ipv4.ip_forward" if family == 4 else "net.ipv6.conf.all.forwarding"]
    names += [_of_device(family, stretch.start.tap.interface, "forwarding")] if stretch.start.tap.interface else []
    off = [name for name in names if "0" in (values := setting(case, node, name))[:1] + values[-1:]]
    if not off:
        return
    growth, taken = nodes.grown(case, node, _NOT_FORWARDED[family]), frames_taken(trouble)
    if growth == 0:
        return
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"{', '.join(f'{name} = 0' for name in off)} on {node}")]
    if growth is not None:
        text = f"{_NOT_FORWARDED[family]} of {node} grew by {growth}; {trouble.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    always = all(set(setting(case, node, name)) == {"0"} for name in off)
    full = growth is not None and growth >= taken
    yield explain(
        case,
        trouble,
        "ip-forward-off",
        Confidence.CERTAIN if full and always else Confidence.LIKELY if full or growth is None else Confidence.POSSIBLE,
        f"{node} does not forward packets that come in on {stretch.start.tap.interface or 'the pod interface'}: {off[0]} is 0",
        proofs,
        remediation=(
            f"Look on {node}: sysctl {' '.join(names)}; grep -r forward /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d. "
            f"Mend: sysctl -w {off[0]}=1, and in /etc/sysctl.d so that it stays."
        ),
        not_ruled_out=() if full else (f"another drop on {node} before it would forward the packets",),
    )


def _filtered(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    start, taken = stretch.start, frames_taken(trouble)
    node, growth = start.tap.node, nodes.grown(case, start.tap.node, _FILTERED)
    sources = _sources(case, trouble, stretch)
    mode = _mode(case, start)
    if growth == 0 or mode == 0 or any(":" in source for source in sources) or not sources:
        return
    mismatch = _reverse(case, start, sources)
    full = growth is not None and growth >= taken
    if not full and not (mismatch and mode is not None):
        return
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text) for text in (*_settings(case, start), *mismatch)]
    if growth is not None:
        text = f"{_FILTERED} of {node} grew by {growth}; {trouble.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    proofs += kernel_words(case, trouble, stretch.start, ("IP_RPFILTER",))
    proven = bool(mismatch) and mode is not None
    yield explain(
        case,
        trouble,
        "rp-filter",
        Confidence.CERTAIN if full and proven else Confidence.LIKELY if full or growth is None else Confidence.POSSIBLE,
        f"the reverse path filter of {node} drops packets from {sources[0]} that come in on {start.tap.interface}",
        proofs,
        remediation=_remedy(start, sources[0]),
        packets=trouble.packets if full or growth is None else growth,
        not_ruled_out=() if full else (f"another drop on {node} for the packets that the counter does not hold",),
    )


def _sources(case: Case, trouble: Trouble, stretch: Stretch) -> tuple[str, ...]:
    """The source addresses that the filter of the stretch's first interface sees: the outer one beside the NIC."""
    if stretch.place is not Place.DECAPSULATE:
        return senders(trouble)
    headers = encapsulations(case, trouble, stretch.start) or encapsulations(case, trouble, trouble.start)
    return tuple(dict.fromkeys(header.source for header in headers))


def _mode(case: Case, hop: Hop) -> int | None:
    """The filter's mode on an interface, the higher of `all` and its own (ip-sysctl.rst); None where neither was read."""
    values = [value for name in _names(hop) for value in setting(case, hop.tap.node, name) if value.isdigit()]
    return max((int(value) for value in values), default=None)


def _names(hop: Hop) -> tuple[str, ...]:
    return "net.ipv4.conf.all.rp_filter", _of_device(4, hop.tap.interface, "rp_filter")


def _settings(case: Case, hop: Hop) -> Iterator[str]:
    read = [f"{name} = {values[-1]}" for name in _names(hop) if (values := setting(case, hop.tap.node, name))]
    if read:
        mode = _mode(case, hop)
        yield f"on {hop.tap.node} {', '.join(read)}: the higher counts, which is {_MODES.get(mode or 0, str(mode))}"


def _reverse(case: Case, hop: Hop, sources: Sequence[str]) -> list[str]:
    """Where the node would send to the sources of the packets, if that fails the filter's test; empty if it does not or is not known."""
    mode, found = _mode(case, hop), []
    for source in sources:
        for facts in nodes.looks(case, hop.tap.node)[-1:]:
            way = ways.plain(facts, source)
            if way is None:
                continue
            if ways.is_refused(way) or (mode != 2 and way.device != hop.tap.interface):  # loose mode asks for any way
                found.append(f"packets from {source} come in on {place_text(hop)}; the way back to it: {ways.answer_text(way)}")
    return found


def _remedy(hop: Hop, source: str) -> str:
    node, device = hop.tap.node, hop.tap.interface.translate(str.maketrans("./", "/."))
    return (
        f"Look on {node}: sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.{device}.rp_filter; ip route get {source}. Mend the route to "
        f"{source} so that it leads through {hop.tap.interface}; or accept both ways: sysctl -w net.ipv4.conf.all.rp_filter=2, and in "
        f"/etc/sysctl.d so that it stays."
    )
