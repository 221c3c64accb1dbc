"""The trajectories of all packets of one path, with what tells their outcome.

(The word is that of Duffield and Grossglauser, "Trajectory sampling for direct traffic observation", SIGCOMM 2000.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.records import PORTS, PathFrames
from kubectl_vxtrace.model.packets import I32, I64, U16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trajectories:
    """Where the packets of one path were seen, n rows in order of their first sighting's hop and time: journeys not yet judged.

    frame: shape (n, hops), index into the hop's HopFrames, -1 where unseen. first: the hop (from 0) of the first sighting; time_ns: when,
    in that node's clock. payload_bytes: shape (n, hops), of the frame that held it there, -1 where unseen. flags, ip_id: of the first
    sighting. identity: equal for what the sender sent again. weight: packets on the wire that it stands for. undecided: what was
    seen of it may be the duplicate of an equal packet.
    """

    frames: PathFrames
    frame: I32
    first: I32
    time_ns: I64
    client_port: I32
    payload_bytes: I32
    flags: U16
    ip_id: U16
    identity: I64
    weight: I32
    undecided: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Shape (n, hops)."""
        return self.frame >= 0

    @property
    def largest_payload_bytes(self) -> I32:
        """The payload of the largest frame that held each, 0 if none did."""
        return np.asarray(self.payload_bytes.max(axis=1, initial=0), dtype=np.int32)

    def take(self, which: NDArray[np.intp]) -> "Trajectories":
        """Some of the packets."""
        # whole hops stay together in memory: they are looked at one by one
        columns = {name: getattr(self, name).T[..., which].T for name in Trajectories.__slots__ if name != "frames"}
        return Trajectories(frames=self.frames, **columns)


def merging_hops(trajectories: Trajectories) -> NDArray[np.bool_]:
    """Shape (n, hops): whether a hop holds segments of the packet's connection that came merged, from smaller frames before."""
    count, length = trajectories.frame.shape
    is_merging = np.zeros((PORTS, length), dtype=np.bool_)
    smallest = np.full(count, np.iinfo(np.int32).max, dtype=np.int32)
    for hop in range(length):
        seen = trajectories.frame[:, hop] >= 0
        grown = seen & (trajectories.payload_bytes[:, hop] > smallest)
        is_merging[trajectories.client_port[grown], hop] = True
        smallest = np.where(seen, np.minimum(smallest, trajectories.payload_bytes[:, hop]), smallest)
    return is_merging[trajectories.client_port]


def reference_times(trajectories: Trajectories, clocks: Clocks) -> I64:
    """First sightings in the reference node's clock, by the middle of its bounds."""
    times_ns = trajectories.time_ns.copy()
    for index, hop in enumerate(trajectories.frames.path.hops):
        begun = trajectories.first == index
        times_ns[begun] = clocks.to_reference(hop.tap.node, times_ns[begun])
    return times_ns
