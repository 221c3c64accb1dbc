"""Interfaces: `ip -d -s -s -j link`, `ip -j addr`, and where BPF programs sit (`tc filter`, `bpftool -j net`)."""

from collections.abc import Collection

from kubectl_vxtrace.facts.reading import Record, child, children, documents, number, records, strings, text
from kubectl_vxtrace.model.facts import Link, VxlanDevice


def read_links(raw: bytes, *, addresses: dict[str, tuple[str, ...]], bpf: Collection[str] = ()) -> tuple[Link, ...]:
    """The interfaces of `ip -d -s -s -j link`.

    Args:
        raw: the tool's output.
        addresses: addresses by interface, as read_addresses gives them.
        bpf: interfaces with a BPF program at tc or tcx.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    return tuple(link for record in records(raw) if (link := _link(record, addresses, bpf)) is not None)


def _link(record: Record, addresses: dict[str, tuple[str, ...]], bpf: Collection[str]) -> Link | None:
    name, index = text(record, "ifname"), number(record, "ifindex")
    if name is None or index is None:
        return None
    kind = text(child(record, "linkinfo"), "info_kind")
    return Link(
        name=name,
        index=index,
        kind=kind,
        mac=text(record, "address"),
        mtu_bytes=number(record, "mtu"),
        up="UP" in strings(record, "flags"),
        operstate=text(record, "operstate"),
        master=text(record, "master"),
        addresses=addresses.get(name, ()),
        vxlan=_vxlan(child(child(record, "linkinfo"), "info_data")) if kind == "vxlan" else None,
        xdp=bool(child(record, "xdp")),
        bpf=name in bpf,
        counters=_counters(child(record, "stats64") or child(record, "stats")),
    )


def _vxlan(data: Record) -> VxlanDevice:
    return VxlanDevice(
        vni=number(data, "id"),
        port=number(data, "port"),
        local=text(data, "local", "local6"),
        device=text(data, "link"),
        external=data.get("external") is True,
    )


def _counters(statistics: Record) -> dict[str, int]:
    """`rx.packets` and so on. iproute2 leaves `rx.otherhost` out while it is zero."""
    counters = {}
    for direction in ("rx", "tx"):
        values = child(statistics, direction)
        for name in values:
            value = number(values, name)
            if value is not None:
                counters[f"{direction}.{name}"] = value
    return counters


def read_addresses(raw: bytes) -> dict[str, tuple[str, ...]]:
    """Addresses without prefix length by interface, from `ip -j addr`.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    found: dict[str, tuple[str, ...]] = {}
    for record in records(raw):
        name = text(record, "ifname")
        if name is not None:
            found[name] = tuple(local for info in children(record, "addr_info") if (local := text(info, "local")) is not None)
    return found


def has_bpf_filter(raw: bytes) -> bool:
    """Whether the plain text of `tc filter show` names a BPF filter: `filter protocol all pref 49152 bpf chain 0 ...`."""
    return any(b" bpf" in line for line in raw.splitlines() if line.startswith(b"filter "))


def read_bpf(raw: bytes) -> frozenset[str]:
    """Interfaces with a program at tc or tcx, from `bpftool -j net show`.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    found = set()
    for value in documents(raw):
        for group in value if isinstance(value, list) else [value]:
            if isinstance(group, dict):
                found |= {name for hook in children(group, "tc") if (name := text(hook, "devname")) is not None}
    return frozenset(found)
