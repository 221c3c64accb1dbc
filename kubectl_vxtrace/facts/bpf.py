"""BPF programs that can take packets away: at XDP as `ip -d -j link` shows them, at tc as `tc filter` does, at tcx as the kernel says."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from kubectl_vxtrace.facts.reading import Record, child, children, documents, number, records, text
from kubectl_vxtrace.model.datapath import TcFilter
from kubectl_vxtrace.model.facts import BpfProgram


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


def read_tcx(raw: bytes) -> tuple[BpfProgram, ...]:
    """Programs as look.sh lists those at tcx and netkit: `ens4 tcx/ingress 41 cil_from_netdev`, `-` for a name that is not known."""
    words = (line.split() for line in raw.decode("utf-8", "replace").splitlines())
    return tuple(
        BpfProgram(device=line[0], hook=line[1], name=None if line[3] == "-" else line[3], id=int(line[2]))
        for line in words
        if len(line) == 4 and line[2].isdecimal() and len(line[2]) < 11
    )


def of_filters(filters: Iterable[TcFilter]) -> tuple[BpfProgram, ...]:
    """The programs among filters of tc; one where filters cannot be read, since it may be one."""
    return tuple(
        BpfProgram(device=each.device, hook=f"tc/{each.direction}", name=each.name, id=each.id)
        for each in filters
        if each.kind in ("bpf", "unreadable")
    )


def in_order(programs: Iterable[BpfProgram]) -> tuple[BpfProgram, ...]:
    """Each program once, with its name if any tool knows it, and its place among those at its hook.

    Args:
        programs: what several tools say; each lists those of one hook in the order in which they run.
    """
    known: dict[tuple[str, str, int | str | None], BpfProgram] = {}
    for program in programs:
        key = (program.device, program.hook, program.name if program.id is None else program.id)
        if key not in known or known[key].name is None:
            known[key] = program
    places: Counter[tuple[str, str]] = Counter()
    found = []
    for program in known.values():
        hook = (program.device, program.hook)
        found.append(replace(program, position=places[hook]))
        places[hook] += 1
    return tuple(found)
