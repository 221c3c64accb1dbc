"""Frames at a pod's own interface that are for another MAC address than the pod's: a flooded copy, or one sent to a pod that is gone.

The pod's kernel takes such a frame for somebody else's and drops it (Linux net/ipv4/ip_input.c, ip_rcv_core, OTHERHOST), so that it has
not arrived, though it was seen there.
"""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.judge.context import Context
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.model.address import mac_number, packed_address
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Endpoint, Role

_GROUP = np.uint64(1 << 40)
"""The lowest bit of the first octet: broadcast and multicast, for everybody (IEEE 802.3, 3.2.3)."""


def for_another_mac(context: Context, packets: Trajectories, receiver: Endpoint | None, back: Trajectories | None) -> NDArray[np.bool_]:
    """Which packets came to the last hop, the receiver's own interface, for a MAC address that no interface of the receiver has.

    Nobody, where the receiver's addresses were not read, or where something came back: then it takes them all the same. An address with
    which the receiver itself sends there is its own as well (a virtual machine in the pod).
    """
    nobody = np.zeros(len(packets), dtype=np.bool_)
    hops = packets.frames.path.hops
    if receiver is None or receiver.host_network or not hops or hops[-1].role is not Role.POD or (back is not None and len(back)):
        return nobody
    frames, seen = packets.frames.hops[-1], packets.seen[:, -1]
    table, own = frames.table, _macs_of(context, hops[-1].tap.node, receiver.address)
    if not len(own) or not len(table.ethernets) or not seen.any():
        return nobody
    number = table.ethernet[frames.row[packets.frame[seen, -1]]]
    source, destination = table.ethernets.source[np.maximum(number, 0)], table.ethernets.destination[np.maximum(number, 0)]
    own = np.concatenate([own, _sent_with(table, receiver.address)])
    # What the pod sends is for its node: a pod that a Service sends back to itself is seen at one interface, going out and coming in.
    is_foreign = ~np.isin(destination, own) & ~np.isin(source, own)
    # A device without link addresses of its own writes zeros (drivers/net/netkit.c, mode l3).
    nobody[seen] = (number >= 0) & is_foreign & ((destination & _GROUP) == 0) & (destination != 0)
    return nobody


def _sent_with(table: PacketTable, address: str) -> NDArray[np.uint64]:
    """The MAC addresses with which frames come from an address at a tap."""
    packed = packed_address(address)
    if packed is None:
        return np.zeros(0, dtype=np.uint64)
    of_address = np.flatnonzero((table.conversations.source == np.frombuffer(packed, dtype=np.uint8)).all(axis=1))
    number = np.unique(table.ethernet[np.isin(table.conversation, of_address)])
    return table.ethernets.source[number[number >= 0]]


def _macs_of(context: Context, node: str, address: str) -> NDArray[np.uint64]:
    """The MAC addresses of all interfaces of the network namespace on `node` that has `address`, in either look."""
    spaces = [
        space
        for facts in (*context.recording.before, *context.recording.after)
        if facts.node == node
        for space in facts.namespaces_with(address)
    ]
    macs = {mac_number(each.mac) for space in spaces for each in space.interfaces if each.mac is not None}
    return np.array(sorted(mac for mac in macs if mac is not None), dtype=np.uint64)
