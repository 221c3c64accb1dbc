"""Network policies that isolate an end of a flow, as the API lists them."""

from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.cluster import NetworkPolicy
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Evidence, EvidenceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """The policies that isolate a pod (`namespace/name`) in one direction, `Egress` or `Ingress`."""

    pod: str
    direction: str
    policies: tuple[NetworkPolicy, ...]

    @property
    def denies_all(self) -> bool:
        """Whether none of them lets anything through."""
        return all((policy.egress if self.direction == "Egress" else policy.ingress) == 0 for policy in self.policies)

    @property
    def names(self) -> str:
        """All of them, as kubectl would be asked for them."""
        return ", ".join(_name(policy) for policy in self.policies)

    def evidence(self) -> Evidence:
        """What the API says of them."""
        verb = "isolates" if len(self.policies) == 1 else "isolate"
        rules = "no rule allows anything" if self.denies_all else "only what rules allow may pass"
        return Evidence(kind=EvidenceKind.CONFIG, text=f"{self.names} {verb} {self.pod} for {self.direction}: {rules}")


def isolation(case: Case, loss: Loss, node: str) -> Isolation | None:
    """What isolates the end of a flow that is on `node` from the requests that were lost there; None where nothing does.

    Replies pass whatever the policies say, once their request did. A policy whose selector is not read here counts as selecting nothing.
    """
    snapshot, flow = case.recording.snapshot, loss.flow
    if snapshot is None or loss.path.direction is not Direction.REQUEST:
        return None
    for end, direction in ((flow.client, "Egress"), (flow.server, "Ingress")):
        pod = next((pod for pod in snapshot.pods if end is not None and end.node == node and pod.full_name == end.pod), None)
        if pod is None:
            continue
        selecting = tuple(policy for policy in snapshot.policies if direction in policy.types and policy.selects(pod))
        if selecting:
            return Isolation(pod=pod.full_name, direction=direction, policies=selecting)
    return None


def _name(policy: NetworkPolicy) -> str:
    kind = policy.kind.rpartition("/")[2]
    return f"{kind} {f'{policy.namespace}/' if policy.namespace else ''}{policy.name}"
