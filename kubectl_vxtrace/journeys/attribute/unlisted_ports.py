"""What a Service was translated to on another port of a backend's pod: flows of their own, as the way to the pod is known."""

from collections.abc import Sequence
from dataclasses import replace

from kubectl_vxtrace.journeys.attribute.groups import FlowGroup
from kubectl_vxtrace.model.path import Flow, Path
from kubectl_vxtrace.model.recording import Recording


def with_unlisted_ports(recording: Recording, groups: Sequence[FlowGroup]) -> Recording:
    """`recording` with a flow for each unlisted backend of `groups` whose address is a planned backend's and whose port is not.

    Translation has named that backend, so that it is not unknown, and its packets go the way of the pod's other ports: where the rules of
    a node are older than the pods, or made for another port. An address that no planned backend has stays an unlisted backend: nothing
    says where packets to it should be seen.
    """
    number = max((flow.id for flow in recording.flows), default=0) + 1
    flows: list[Flow] = []
    paths: list[Path] = []
    for group in groups:
        planned = {backend.address: backend.planned for backend in group.backends}
        for backend in group.unlisted:
            if backend.address not in planned:
                continue
            like = recording.flows[planned[backend.address]]
            if like.server is None:
                continue
            flows.append(replace(like, id=number, server=replace(like.server, port=backend.port)))
            paths += (replace(path, flow=number) for path in recording.paths if path.flow == like.id)
            number += 1
    return replace(recording, flows=(*recording.flows, *flows), paths=(*recording.paths, *paths)) if flows else recording
