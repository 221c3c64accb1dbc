"""Causes on the way from a Service to its backends."""

from kubectl_vxtrace.diagnosis.cause import Cause

CAUSES = (
    Cause(
        slug="no-endpoints",
        title="The Service has no endpoints",
        text=(
            "kube-proxy rejects packets to a Service without a ready backend: ICMP port unreachable that quotes the ClusterIP, from "
            "the client's own node."
        ),
        remediation=(
            "Compare the Service's selector with the pods' labels, and see why the pods are not ready (kubectl get endpointslices, "
            "kubectl get pods)."
        ),
        source="kube-proxy, iptables mode, rules commented 'has no endpoints'",
        admitted=True,
    ),
    Cause(
        slug="no-local-endpoints",
        title="The Service has no endpoint on this node, and its policy asks for one",
        text=(
            "With internalTrafficPolicy or externalTrafficPolicy Local, kube-proxy sends only to backends of the same node, and drops "
            "where there is none, although other nodes have ready ones."
        ),
        remediation=(
            "Look: kubectl get service NAME -o yaml (internalTrafficPolicy, externalTrafficPolicy), kubectl get endpointslices -o "
            "wide. Mend: a backend on every node that asks (DaemonSet), or policy Cluster."
        ),
        source="Kubernetes documentation, Service Internal Traffic Policy; kube-proxy rules commented 'has no local endpoints'",
        admitted=True,
    ),
    Cause(
        slug="kube-proxy-rule-missing",
        title="The node does not translate the Service's address",
        text=(
            "The ClusterIP is still the destination after the node has forwarded the packet: no rule of kube-proxy translated it. It "
            "leaves bare towards the default gateway, where nobody knows it, or the node has no route."
        ),
        remediation=(
            "Look: iptables-save -t nat | grep CLUSTERIP (nft list table ip kube-proxy, ipvsadm -Ln), log of kube-proxy on that node. "
            "Mend: restart kube-proxy; if its rules are in the other iptables backend, see nft-legacy-mix."
        ),
        source="kubernetes/kubernetes issues 71305, 112477, 109811",
    ),
    Cause(
        slug="stale-endpoint",
        title="The node still translates to a backend that is gone",
        text=(
            "Rules or a connection tracking entry on the client's node lead to a pod address that is in no EndpointSlice any more. An "
            "entry of a UDP flow lives as long as the client keeps sending from the same port; a new port works."
        ),
        remediation=(
            "Look: conntrack -L -p udp --orig-dst CLUSTERIP on the client's node, kubectl get endpointslices. Mend: conntrack -D -p "
            "udp --orig-dst CLUSTERIP, restart kube-proxy there, upgrade it."
        ),
        source="kubernetes/kubernetes issues 125467, 48370, 126130",
    ),
)
