"""Interfaces: `ip -d -s -s -j link`, `ip -j addr`, `tc -s -j qdisc`."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from kubectl_vxtrace.facts.reading import Record, child, children, number, records, strings, text
from kubectl_vxtrace.model.datapath import BridgePort
from kubectl_vxtrace.model.facts import PAIR_KINDS, Link, VxlanDevice


def read_links(
    raw: bytes,
    *,
    prefixes: dict[str, tuple[str, ...]],
    bpf: Collection[str] = (),
    qdiscs: Mapping[str, Mapping[str, int]] | None = None,
) -> tuple[Link, ...]:
    """The interfaces of `ip -d -s -s -j link`.

    Args:
        raw: the tool's output.
        prefixes: addresses with their lengths by interface, as read_addresses gives them.
        bpf: interfaces with a BPF program at tc or tcx.
        qdiscs: counters of queueing disciplines by interface, as read_qdiscs gives them.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    found = (_link(record, prefixes, bpf) for record in records(raw))
    return tuple(replace(link, counters={**link.counters, **(qdiscs or {}).get(link.name, {})}) for link in found if link is not None)


def _link(record: Record, prefixes: dict[str, tuple[str, ...]], bpf: Collection[str]) -> Link | None:
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
        addresses=tuple(prefix.partition("/")[0] for prefix in prefixes.get(name, ())),
        prefixes=prefixes.get(name, ()),
        lower=text(record, "link") if kind not in (*PAIR_KINDS, "vxlan") else None,
        flags=strings(record, "flags"),
        link_type=text(record, "link_type"),
        qdisc=text(record, "qdisc"),
        peer_index=number(record, "link_index"),
        peer_namespace=number(record, "link_netnsid"),
        # iproute2 (ip/ipaddress.c) names the other end where it is in the same namespace, and numbers it where it is not.
        peer=text(record, "link") if kind in PAIR_KINDS else None,
        port=_port(child(record, "linkinfo")),
        details=_details(child(child(record, "linkinfo"), "info_data")) if kind != "vxlan" else {},
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
        learning=_flag(data, "learning"),
        zero_checksum6_sent=_flag(data, "udp_zero_csum6_tx"),
        zero_checksum6_accepted=_flag(data, "udp_zero_csum6_rx"),
    )


def _port(info: Record) -> BridgePort | None:
    """What a bridge says of its port; of a bond's slave or a VRF's nothing is said here."""
    if text(info, "info_slave_kind") != "bridge":
        return None
    data = child(info, "info_slave_data")
    return BridgePort(
        state=text(data, "state"),
        hairpin=_flag(data, "hairpin"),
        isolated=_flag(data, "isolated"),
        learning=_flag(data, "learning"),
        flood=_flag(data, "flood"),
        locked=_flag(data, "locked"),
    )


def _details(data: Record) -> dict[str, str | int | bool]:
    """The scalars of a kind's own data; timers of a bridge are fractions, and left out."""
    return {name: value for name, value in data.items() if isinstance(value, str | bool) or number(data, name) is not None}


def _flag(data: Record, name: str) -> bool | None:
    value = data.get(name)
    return value if isinstance(value, bool) else None


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


def read_qdiscs(raw: bytes) -> dict[str, dict[str, int]]:
    """Counters of each interface's root discipline, from `tc -s -j qdisc show`; a classful one sums its children's.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    found: dict[str, dict[str, int]] = {}
    for record in records(raw):
        device = text(record, "dev")
        if device is not None and record.get("root") is True:
            names = {"drops": "dropped", "overlimits": "overlimits", "requeues": "requeues"}
            found[device] = {f"qdisc.{name}": value for key, name in names.items() if (value := number(record, key)) is not None}
    return found


def read_addresses(raw: bytes) -> dict[str, tuple[str, ...]]:
    """Addresses by interface, with prefix length, from `ip -j addr`.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    found: dict[str, tuple[str, ...]] = {}
    for record in records(raw):
        name = text(record, "ifname")
        if name is not None:
            found[name] = tuple(prefix for info in children(record, "addr_info") if (prefix := _address(info)) is not None)
    return found


def _address(info: Record) -> str | None:
    local, length = text(info, "local"), number(info, "prefixlen")
    return local if local is None or length is None else f"{local}/{length}"
