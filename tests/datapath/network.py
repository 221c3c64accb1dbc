"""Making the lab's network and taking it away again, also after a making that failed half-way."""

import json
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from . import faults, processes, records, servers, steering, tools, wiring
from .family import iptables
from .node_rules import RULESETS
from .records import Lab, LabNode

PLAN_FILE = "plan.json"  # written before anything is made: what a `remove` must look for
WORKERS = 4

_Item = TypeVar("_Item")

# Values come on stdin, so that nothing but constants is ever a script. A key that the kernel lacks (no IPv6, no br_netfilter) is
# passed over.
WRITE_SETTINGS = 'while read -r key value; do if [ -e "/proc/sys/$key" ]; then printf %s "$value" > "/proc/sys/$key" || exit 1; fi; done'


def make(lab: Lab) -> None:
    """Make everything and write the records last.

    Raises:
        LabError: a command failed; what was made stays for `remove`.
    """
    records.write_json(Path(lab.state_dir) / PLAN_FILE, asdict(lab))
    tools.ip_batch(None, wiring.links(lab))
    _in_parallel(_namespace, [(lab, netns) for netns in lab.namespaces()])
    _in_parallel(_node_rules, [(lab, node) for node in lab.nodes])
    if lab.backend == "cilium":
        _in_parallel(lambda node: steering.start_agent(lab, node), lab.nodes)
    servers.start_all(lab)
    records.save(lab)


def _namespace(item: tuple[Lab, str]) -> None:
    """Mark a namespace, then settings, links, addresses, routes, FDB."""
    lab, netns = item
    values = "".join(f"{key} {value}\n" for key, value in wiring.settings(lab, netns).items())
    tools.run_inside(netns, ["sh", "-c", WRITE_SETTINGS], text=values)
    tools.ip_batch(netns, [*wiring.mark(lab), *_commands(lab, netns)])
    for node in lab.nodes:
        if node.netns == netns:
            tools.bridge_batch(netns, wiring.forwarding(lab, node))


def _commands(lab: Lab, netns: str) -> list[str]:
    if netns == lab.fabric:
        return wiring.fabric(lab)
    for node in lab.nodes:
        if node.netns == netns:
            return wiring.node(lab, node)
    return wiring.pod(lab, next(pod for pod in lab.pods if pod.netns == netns))


def _node_rules(item: tuple[Lab, LabNode]) -> None:
    lab, node = item
    ruleset = RULESETS[lab.backend]
    tools.run_inside(node.netns, [f"{iptables(node.address)}-restore"], text=ruleset(lab, node))


def _in_parallel(function: Callable[[_Item], None], items: Iterable[_Item]) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(function, items):
            pass


def planned(directory: Path) -> Lab | None:
    """The records of what was made, or of what was being made; None if no file there can be read (the marks on the namespaces remain)."""
    for name in (records.RECORD_FILE, PLAN_FILE):
        try:
            return records.from_json(json.loads((directory / name).read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def own_namespaces(directory: Path) -> set[str]:
    """Existing namespaces that this state directory's lab made: those of its plan, and those that bear its mark."""
    existing = tools.namespaces()
    plan = planned(directory)
    ours = set() if plan is None else existing & set(plan.namespaces())
    mark = f"vxtrace-lab:{directory}"
    for name in existing - ours:
        if _alias(name) == mark:
            ours.add(name)
    return ours


def _alias(netns: str) -> str | None:
    """The alias of a namespace's loopback device; None if it has none or the namespace cannot be entered."""
    answer = tools.run(["ip", "-n", netns, "-j", "link", "show", "lo"], check=False)
    if answer.returncode != 0:
        return None
    alias = json.loads(answer.stdout)[0].get("ifalias")
    return alias if isinstance(alias, str) else None


def remove(directory: Path) -> None:
    """End the lab's processes, delete its namespaces, then its files. Harmless where there is nothing.

    Raises:
        LabError: a process or a namespace is still there.
    """
    ours = own_namespaces(directory)
    known = processes.recorded(str(directory))
    processes.stop(str(directory), known)
    processes.stop(str(directory), processes.strays(str(directory), ours))
    tools.ip_batch(None, [f"netns delete {name}" for name in sorted(ours)])
    if directory.is_mount():  # a folder of the lab's own file system cannot be removed, what is in it can
        for entry in directory.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    elif directory.exists():
        shutil.rmtree(directory)


def problems(lab: Lab) -> list[str]:
    """What is missing of a lab that is recorded as up, and that no fault took away: namespaces and processes; [] if it is whole."""
    gone = sorted(set(lab.namespaces()) - tools.namespaces())
    running = {process.name for process in processes.recorded(lab.state_dir) if processes.alive(process)}
    dead = sorted(servers.expected(lab) - running - faults.stopped(lab))
    return [*(f"namespace {name} is gone" for name in gone), *(f"process {name} does not run" for name in dead)]
