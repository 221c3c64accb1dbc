"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler, on the first node."""

from tests.cluster import pki
from tests.cluster.binaries import Binaries
from tests.cluster.kubectl import Kubectl, last_words, wait_for
from tests.cluster.machine import Machine
from tests.datapath import shape
from tests.datapath.records import Lab

SERVICE_NETWORK = shape.SERVICE_NETWORK
ETCD = "http://127.0.0.1:2379"


def start_api(lab: Lab, machine: Machine, binaries: Binaries) -> None:
    """Start etcd and the API server; `wait_ready` says when they answer."""
    peers = "http://127.0.0.1:2380"
    machine.start(
        "etcd",
        [
            binaries["etcd"],
            "--name=cluster",
            "--data-dir=/var/lib/etcd",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=cluster={peers}",
            "--unsafe-no-fsync",  # nothing here outlives the machine's power
            "--logger=zap",
            "--log-level=warn",
        ],
    )
    pki_dir = machine.state / "pki"
    machine.start(
        "kube-apiserver",
        [
            binaries["kube-apiserver"],
            f"--etcd-servers={ETCD}",
            "--bind-address=0.0.0.0",
            f"--secure-port={pki.API_PORT}",
            f"--advertise-address={lab.nodes[0].address}",
            f"--tls-cert-file={pki_dir}/apiserver.crt",
            f"--tls-private-key-file={pki_dir}/apiserver.key",
            f"--client-ca-file={pki_dir}/ca.crt",
            f"--token-auth-file={pki_dir}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki_dir}/sa.pub",
            f"--service-account-signing-key-file={pki_dir}/sa.key",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-client-certificate={pki_dir}/apiserver-kubelet-client.crt",
            f"--kubelet-client-key={pki_dir}/apiserver-kubelet-client.key",
            f"--kubelet-certificate-authority={pki_dir}/ca.crt",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--allow-privileged=true",
        ],
    )


def wait_ready(machine: Machine, kubectl: Kubectl) -> None:
    """Wait for the API. Raises LabError."""
    wait_for(
        "an answer of the API server",
        lambda: kubectl.run("get", "--raw", "/readyz", check=False) == "ok",
        60,
        lambda: last_words(machine.state, f"kube-apiserver-{machine.node}"),
    )


def start_controllers(lab: Lab, machine: Machine, binaries: Binaries) -> None:
    """Start the controller manager and the scheduler.

    Calico gives its own blocks to nodes; flannel uses those that the controller manager allocates.
    """
    pki_dir = machine.state / "pki"
    machine.start(
        "kube-controller-manager",
        [
            binaries["kube-controller-manager"],
            f"--kubeconfig={pki_dir}/controller-manager.kubeconfig",
            f"--service-account-private-key-file={pki_dir}/sa.key",
            f"--root-ca-file={pki_dir}/ca.crt",
            "--use-service-account-credentials=true",
            f"--allocate-node-cidrs={str(lab.backend == 'flannel').lower()}",
            f"--cluster-cidr={lab.pod_cidr}",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--leader-elect=false",
        ],
    )
    machine.start(
        "kube-scheduler",
        [binaries["kube-scheduler"], f"--kubeconfig={pki_dir}/scheduler.kubeconfig", "--leader-elect=false"],
    )
