"""The lab's command line: python -m tests.lab up | down | status | traffic | faults | fault | heal.

Exit status: 0 done, 1 it could not be done, 2 the command itself is wrong.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.datapath import faults, lock, network, processes, records, servers, shape, tools
from tests.datapath.family import FAMILIES
from tests.datapath.records import Lab
from tests.datapath.tools import LabError, LabUsageError

KUBECONFIG = "kubeconfig"


def say(text: str) -> None:
    """To the person; stdout carries results only."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def require_machine() -> None:
    """Raises LabError where no lab can be: not Linux, not root, tools missing."""
    if not sys.platform.startswith("linux"):
        raise LabError(f"the lab is made of Linux network namespaces; this is {sys.platform}. `analyze` and the unit tests work here")
    if os.geteuid() != 0:
        raise LabError("the lab needs root, to make network namespaces: run it with sudo. `analyze` and the unit tests work without")
    missing = tools.missing_tools()
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise LabError(f"not installed: {', '.join(missing)}. On Debian: apt-get install {packages}")


def require_lab() -> Lab:
    """The lab that is up; LabError if none is."""
    require_machine()
    lab = _recorded(records.state_dir())
    if lab is None:
        raise LabError("no lab is up; `python -m tests.lab up` makes one")
    return lab


def _recorded(directory: Path) -> Lab | None:
    """The records, None also for a file that cannot be understood (another version's, or damaged)."""
    try:
        return records.load(directory)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def up(options: argparse.Namespace) -> None:
    """Make the lab, unless the same is up; print the kubeconfig's path."""
    if options.family not in FAMILIES or (options.family == "6" and options.backend not in shape.BACKENDS_6):
        raise LabUsageError(
            f"--family {options.family} with --backend {options.backend} is not built; there are --family 4, and but for cilium --family 6"
        )
    if not shape.MIN_NODES <= options.nodes <= shape.MAX_NODES:
        raise LabUsageError(f"--nodes {options.nodes}: from {shape.MIN_NODES} to {shape.MAX_NODES}")
    require_machine()
    directory = records.state_dir()
    wanted = shape.lab(options.backend, options.nodes, str(directory), options.family)
    with lock.held():
        _refuse_foreign(directory, wanted)
        present = _recorded(directory)
        if _as_made(present, wanted, directory) == wanted and not _tell(network.problems(wanted)):
            for fault in faults.active(directory):
                say(f"{fault.name} is on at {fault.node}")
            print(_serve(wanted))
            return
        if present is not None or directory.exists():
            say("taking down the lab that is there")
        _take_down(directory)
        print(_make(wanted, directory))


def _as_made(present: Lab | None, wanted: Lab, directory: Path) -> Lab | None:
    """The records of the lab that is there, without what faults that are on have written into them."""
    if present is None or not faults.active(directory):
        return present
    nodes = tuple(dataclasses.replace(node, published=None) for node in present.nodes)
    return dataclasses.replace(present, nodes=nodes, services=wanted.services)


def _make(lab: Lab, directory: Path) -> Path:
    try:
        network.make(lab)
        path = _serve(lab)
    except BaseException:
        say("it failed; taking down what was made")
        _take_down(directory)
        raise
    say(f"{len(lab.nodes)} nodes, {lab.backend}, {lab.nodes[0].vtep_interface}; {servers.client(lab).name} asks kube-dns every 0.2 s")
    return path


def _tell(problems: Sequence[str]) -> bool:
    for problem in problems:
        say(problem)
    return bool(problems)


def _serve(lab: Lab) -> Path:
    from tests.lab import apiserver

    try:
        return apiserver.start(lab)
    except RuntimeError as error:
        raise LabError(str(error)) from error


def _take_down(directory: Path) -> None:
    from tests.lab import apiserver

    apiserver.stop(directory)
    processes.stop(str(directory), processes.with_arguments(["-m", apiserver.__name__, str(directory)]))  # one whose pid file is lost
    network.remove(directory)


def _refuse_foreign(directory: Path, wanted: Lab) -> None:
    taken = tools.namespaces() & set(wanted.namespaces())
    foreign = sorted(taken - network.own_namespaces(directory)) if taken else []
    if foreign:
        raise LabError(
            f"network namespaces of these names exist and are not this lab's: {', '.join(foreign)}. Nothing was touched; "
            "`ip netns delete NAME` removes one that nobody needs"
        )


def down(options: argparse.Namespace) -> None:
    """Take everything down; harmless where nothing is."""
    require_machine()
    with lock.held():
        _take_down(records.state_dir())


def status(options: argparse.Namespace) -> None:
    """Say what is up; LabError if no lab is, or not all of it."""
    lab = require_lab()
    from tests.lab import apiserver

    directory = Path(lab.state_dir)
    print(f"{lab.backend}, IPv{lab.family}, state in {lab.state_dir}")
    for node in lab.nodes:
        pods = ", ".join(f"{pod.name} {pod.address}" for pod in lab.pods_on(node.name))
        print(f"{node.name}  {node.address}  {node.vtep_interface} {node.vtep_address} VNI {node.vni} UDP {node.vxlan_port}  {pods}")
    for fault in faults.active(directory):
        print(f"fault {fault.name} at {fault.node}" + (f", {fault.percent} %" if fault.percent < 100 else ""))
    stats = servers.stats_file(lab)
    print(f"{servers.client(lab).name}: {stats.read_text().strip() if stats.exists() else 'has not asked yet'}")
    problems = network.problems(lab) + ([] if apiserver.running(directory) else ["the API server does not run"])
    print(f"kubeconfig {directory / KUBECONFIG}")
    if problems:
        raise LabError("\n".join([*problems, "`up` makes the lab anew"]))


def traffic(options: argparse.Namespace) -> None:
    """Become a client in the kotsadm pod, in the foreground: it prints what was sent and answered."""
    if options.rate <= 0 or options.seconds <= 0:
        raise LabUsageError("--rate and --seconds must be more than 0")
    lab = require_lab()
    pace = ["--rate", str(options.rate), "--seconds", str(options.seconds)]
    argv = tools.inside(servers.client(lab).netns or "", servers.program("ask", options.kind, *servers.targets(lab)[options.kind], *pace))
    os.execvp(argv[0], argv)


def list_faults(options: argparse.Namespace) -> None:
    """The table, of the lab that is up, else of the usual one."""
    lab = _recorded(records.state_dir()) or shape.lab("calico", 3, str(records.state_dir()))
    for fault in faults.of(lab):
        print(f"{fault.name}\t{fault.direction}\t{fault.where(lab)}\t{fault.cause}")


def fault(options: argparse.Namespace) -> None:
    """Switch one on."""
    faults.find(options.name)
    require_machine()
    with lock.held():
        switched, changed = faults.switch_on(require_lab(), options.name, options.node, options.percent)
    say(f"{switched.name} {'is' if changed else 'was already'} on at {switched.node}")


def heal(options: argparse.Namespace) -> None:
    """Undo all."""
    require_machine()
    with lock.held():
        for healed in faults.heal(require_lab()):
            say(f"{healed.name} at {healed.node} is undone")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m tests.lab", description="A three-node VXLAN cluster on this machine: namespaces, no virtual machines."
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = command("up", up, "make the lab and print its kubeconfig's path")
    sub.add_argument("--nodes", type=int, default=3, help=f"{shape.MIN_NODES} to {shape.MAX_NODES} (default 3)")
    sub.add_argument(
        "--backend", choices=("calico", "flannel", "cilium"), default="calico", help="whose shape the nodes have (default calico)"
    )
    sub.add_argument("--family", choices=("4", "6", "dual"), default="4", help="IP version (default 4; dual is not built)")
    command("down", down, "take everything down")
    command("status", status, "say what is up")
    sub = command("traffic", traffic, "send more traffic from the kotsadm pod, and print how much was answered")
    sub.add_argument(
        "--kind", choices=("dns", "http", "ping"), default="dns", help="to kube-dns, to slackernews, to the DNS pods (default dns)"
    )
    sub.add_argument("--rate", type=float, default=5.0, help="questions per second (default 5)")
    sub.add_argument("--seconds", type=float, default=5.0, help="how long (default 5)")
    command("faults", list_faults, "list the faults: name, direction, leg, cause, separated by tabs")
    sub = command("fault", fault, "switch a fault on")
    sub.add_argument("name", metavar="NAME", help="a name from `faults`")
    sub.add_argument("--node", help="the node that is changed (default: the one in `faults`, mostly ada-ec-2)")
    sub.add_argument("--percent", type=int, help="hit only so many of the packets, where the fault can")
    command("heal", heal, "undo every fault")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    # Where root's PATH is that of the user it was before, as with su(1) on Debian, the network tools are missing from it.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    try:
        options.run(options)
        sys.stdout.flush()
    except LabUsageError as error:
        say(str(error))
        return 2
    except LabError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read has seen enough; the interpreter's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
