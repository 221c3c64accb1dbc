"""What has to be known of a recording to decode its captures."""

from collections.abc import Iterable, Sequence

from kubectl_vxtrace.model.path import Flow, Role, Tap
from kubectl_vxtrace.model.protocol import VXLAN_PORTS
from kubectl_vxtrace.model.recording import CaptureTask, Recording


def inside_tunnels(flows: Sequence[Flow], tasks: Iterable[CaptureTask]) -> set[Tap]:
    """The taps that packets pass outside the tunnel. Of files that somebody recorded by hand only the packets say which these are."""
    return {task.tap for task in tasks if flows and task.role is not Role.UNDERLAY}


def vxlan_ports(recording: Recording) -> set[int]:
    """The UDP ports that carry VXLAN: the usual ones, and those of the nodes' devices."""
    links = (link for facts in (*recording.before, *recording.after) for link in facts.links)
    of_devices = (link.vxlan.port for link in links if link.vxlan is not None)
    ports = (*(vtep.port for vtep in recording.overlay.vteps), *of_devices)
    return {*VXLAN_PORTS, *(port for port in ports if port is not None)}
