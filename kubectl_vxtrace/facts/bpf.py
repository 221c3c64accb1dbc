"""BPF programs that can take packets away: `bpftool -j net show`, `tc filter show`, and XDP as `ip -d -j link` shows it."""

import re

from kubectl_vxtrace.facts.reading import Record, child, children, documents, number, records, text
from kubectl_vxtrace.model.facts import BpfProgram

# "filter protocol all pref 49152 bpf chain 0 handle 0x1 cal_to_wep.o:[calico] direct-action not_in_hw id 41 tag ..."
_FILTER = re.compile(rb"handle \S+ (\S+)")
_ID = re.compile(rb" id (\d{1,9})\b")


def read_xdp(raw: bytes) -> tuple[BpfProgram, ...]:
    """Programs at XDP of the interfaces in `ip -d -j link`; also those of a bond's slaves, which are interfaces of their own.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    found = []
    for record in records(raw):
        device, xdp = text(record, "ifname"), child(record, "xdp")
        if device is not None and xdp:
            programs = [child(xdp, "prog"), *(child(attached, "prog") for attached in children(xdp, "attached"))]
            known = [program for program in programs if program] or [{}]
            found += [BpfProgram(device=device, hook="xdp", name=text(each, "name"), id=number(each, "id")) for each in known]
    return tuple(dict.fromkeys(found))


def read_tc_filters(device: str, hook: str, raw: bytes) -> tuple[BpfProgram, ...]:
    """BPF filters in the plain text of `tc filter show dev DEVICE ingress|egress`; `hook` is `tc/ingress` or `tc/egress`."""
    lines = [line for line in raw.splitlines() if line.startswith(b"filter ") and b" bpf" in line]
    # Each filter is listed twice: the first line, without a handle, is the list that it stands in.
    programs = [(handle[1], _ID.search(line)) for line in lines if (handle := _FILTER.search(line))]
    if lines and not programs:
        return (BpfProgram(device=device, hook=hook),)
    return tuple(
        BpfProgram(device=device, hook=hook, name=name.decode("utf-8", "replace"), id=int(identity[1]) if identity else None)
        for name, identity in programs
    )


def read_bpftool(raw: bytes) -> tuple[BpfProgram, ...]:
    """Programs of `bpftool -j net show`: at XDP, tc, tcx and netkit.

    Raises:
        UnreadableError: it is not JSON.
    """
    groups = [group for value in documents(raw) for group in (value if isinstance(value, list) else [value]) if isinstance(group, dict)]
    found = [_attached(kind, hook) for group in groups for kind in ("xdp", "tc") for hook in children(group, kind)]
    return tuple(program for program in found if program is not None)


def _attached(kind: str, hook: Record) -> BpfProgram | None:
    """`{"devname":"ens4","ifindex":2,"kind":"tcx/ingress","name":"cil_from_netdev","prog_id":41}`; of tc, kind is `clsact/ingress`."""
    device = text(hook, "devname")
    if device is None:
        return None
    where = "xdp" if kind == "xdp" else (text(hook, "kind") or "tc").replace("clsact/", "tc/")
    identity = number(hook, "prog_id")
    return BpfProgram(device=device, hook=where, name=text(hook, "name"), id=number(hook, "id") if identity is None else identity)
