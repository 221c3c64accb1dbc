"""What the cluster is made of before Kubernetes runs: three nodes on an underlay, in the records of tests/datapath."""

from dataclasses import asdict
from pathlib import Path

from tests.datapath import network, records, shape
from tests.datapath.records import Lab

NETWORKS = ("flannel", "calico-shaped")
NODES = 3
CNI_FILE = "cni"


def design(cni: str, state: Path) -> Lab:
    """The nodes as tests/datapath designs them, without pods: those are Kubernetes' business.

    With flannel the pods' network of a node and its VTEP's MAC are flannel's choice; `live.lab` reads them.
    """
    backend = "calico" if cni == "calico-shaped" else "flannel"
    return Lab(
        backend=backend,
        family="4",
        cluster_uid="",
        pod_cidr=shape.POD_NETWORK,
        fabric=shape.FABRIC,
        nodes=shape.design(backend, NODES),
        pods=(),
        services=(),
        workloads=(),
        state_dir=str(state),
    )


def write(lab: Lab, cni: str) -> None:
    """Before anything is made: what `down` must look for."""
    state = Path(lab.state_dir)
    state.mkdir(mode=0o700, parents=True)
    records.write_json(state / network.PLAN_FILE, asdict(lab))
    (state / CNI_FILE).write_text(cni + "\n")


def read(state: Path) -> tuple[Lab, str] | None:
    """The plan and the network of what was made, or begun; None if there is nothing."""
    lab = network.planned(state)
    path = state / CNI_FILE
    return None if lab is None or not path.exists() else (lab, path.read_text().strip())
