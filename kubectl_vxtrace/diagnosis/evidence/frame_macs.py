"""Outermost Ethernet addresses of a loss's frames, and of those that come from the node for which they are."""

import numpy as np

from kubectl_vxtrace.diagnosis.evidence.lost_packets import rows_at
from kubectl_vxtrace.diagnosis.evidence.off_path import is_one_of
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.address import mac_text
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import U64
from kubectl_vxtrace.model.path import Hop, Tap


def destination_macs(case: Case, loss: Loss, hop: Hop) -> frozenset[str]:
    """The MAC addresses for which the loss's frames were at `hop`; none where its link has no Ethernet header."""
    table = case.tables.get(hop.tap)
    if table is None:
        return frozenset()
    numbers = np.unique(table.ethernet[rows_at(loss, hop)])
    return _texts(table.ethernets.destination[numbers[numbers >= 0]])


def peer_macs(case: Case, tap: Tap, address: str) -> frozenset[str]:
    """The MAC addresses from which encapsulated frames of `address` come at a tap."""
    table = case.tables.get(tap)
    if table is None or not len(table.tunnels):
        return frozenset()
    tunnels = np.flatnonzero(is_one_of(table.tunnels.source, (address,)))
    numbers = np.unique(table.ethernet[np.isin(table.tunnel, tunnels)])
    return _texts(table.ethernets.source[numbers[numbers >= 0]])


def next_hop_doubt(case: Case, loss: Loss, hop: Hop, address: str) -> str | None:
    """That the loss's frames left `hop` for another MAC address than the frames of `address` come from, in words; None if it is not so or
    not known. It is right where a router stands between the nodes."""
    sent, own = destination_macs(case, loss, hop), peer_macs(case, hop.tap, address)
    if not sent or not own or sent & own:
        return None
    theirs = f"those of {address} come from {', '.join(sorted(own))}"
    return f"a next hop of {hop.tap.node} that drops them: the frames are for {', '.join(sorted(sent))}, {theirs}"


def _texts(macs: U64) -> frozenset[str]:
    return frozenset(mac_text(int(mac)) for mac in macs)
