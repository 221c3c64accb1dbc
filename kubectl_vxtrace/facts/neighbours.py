"""Neighbour table (`ip -s -j neigh`, `ip -j neigh show proxy`) and forwarding database (`bridge -j fdb`)."""

from kubectl_vxtrace.facts.reading import Record, number, records, strings, text
from kubectl_vxtrace.model.facts import FdbEntry, Neighbour


def read_neighbours(raw: bytes) -> tuple[Neighbour, ...]:
    """ARP and ND entries, and addresses for which the node answers.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    found = []
    for record in records(raw):
        address, device = text(record, "dst"), text(record, "dev")
        if address is not None and device is not None:
            found.append(_neighbour(address, device, record))
    return tuple(found)


def _neighbour(address: str, device: str, record: Record) -> Neighbour:
    return Neighbour(
        address=address,
        device=device,
        mac=text(record, "lladdr"),
        states=strings(record, "state"),
        probes=number(record, "probes"),
        used_s=number(record, "used"),
        confirmed_s=number(record, "confirmed"),
        updated_s=number(record, "updated"),
        proxy="proxy" in record,
    )


def read_fdb(raw: bytes) -> tuple[FdbEntry, ...]:
    """Entries of bridges and VXLAN devices; `port` and `vni` stand only where they differ from the device's own.

    Raises:
        UnreadableError: it is not that tool's JSON.
    """
    return tuple(entry for record in records(raw) if (entry := _entry(record)) is not None)


def _entry(record: Record) -> FdbEntry | None:
    mac, device = text(record, "mac"), text(record, "ifname")
    if mac is None or device is None:
        return None
    state = text(record, "state")
    return FdbEntry(
        mac=mac,
        device=device,
        destination=text(record, "dst"),
        port=number(record, "port"),
        vni=number(record, "vni"),
        master=text(record, "master"),
        states=(*((state,) if state else ()), *strings(record, "flags")),
    )
