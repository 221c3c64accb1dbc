"""The cluster's command line: up, down, status, faults, fault, heal, node, pod, traffic. `make cluster-up` and its like call it."""

import argparse
import os
import sys
from typing import NoReturn

from tests.cluster import binaries, breakage, lifecycle, live, machine, places, plan
from tests.cluster.kubectl import Kubectl
from tests.datapath import faults, lock, servers
from tests.datapath.records import LabPod
from tests.datapath.tools import LabError, LabUsageError


def say(text: str) -> None:
    """Progress and trouble go to stderr; stdout has answers only."""
    print(f"cluster: {text}", file=sys.stderr, flush=True)


def up(options: argparse.Namespace) -> int:
    """Start it; the kubeconfig's path on stdout."""
    print(lifecycle.up(options.cni, say))
    return 0


def build(_: argparse.Namespace) -> int:
    """Build what is not in the cache; start nothing."""
    lifecycle.build(say)
    return 0


def down(_: argparse.Namespace) -> int:
    """Take it down."""
    lifecycle.down()
    return 0


def status(_: argparse.Namespace) -> int:
    """What is up, on stdout; exit status 1 if it is not whole."""
    state = places.state_dir()
    present = plan.read(state)
    if present is None:
        print("down")
        return 1
    wrong = lifecycle.problems(state)
    print(f"network    {present[1]}")
    print(f"kubeconfig {places.KUBECONFIG}")
    print(f"logs       {state / 'log'}")
    if not wrong:
        kubectl = Kubectl(binaries.ensure(say), state)
        print(kubectl.run("get", "nodes,pods", "--all-namespaces", "--output", "wide"))
        wrong = lifecycle.waiting_pods(kubectl)
    for fault in faults.active(state):
        print(f"fault      {fault.name} at {fault.node}")
    for problem in wrong:
        print(f"problem    {problem}")
    return 1 if wrong else 0


def list_faults(_: argparse.Namespace) -> int:
    """The table, as `python -m tests.lab faults` prints it."""
    lab, hands = breakage.running(say)
    for fault in hands.table():
        print("\t".join((fault.name, fault.direction, fault.where(lab), fault.cause)))
    return 0


def fault(options: argparse.Namespace) -> int:
    """Switch one on."""
    with lock.held():
        active = breakage.running(say)[1].switch_on(options.name, options.node, options.percent)
    say(f"{active.name} is on at {active.node}")
    return 0


def heal(_: argparse.Namespace) -> int:
    """Switch all off."""
    with lock.held():
        if not faults.active(places.state_dir()):
            return 0
        for active in breakage.running(say)[1].heal():
            say(f"{active.name} is off at {active.node}")
    return 0


def node(options: argparse.Namespace) -> int:
    """A command on a node, in all its namespaces."""
    host = machine.found(places.state_dir(), options.node)
    argv = ["nsenter", f"--target={host.init}", "--net", "--mount", "--uts", "--pid", *options.command]
    os.execvp(argv[0], argv)


def pod(options: argparse.Namespace) -> int:
    """A command of this machine in a pod's network namespace."""
    namespace, _, name = options.pod.partition("/")
    lab, _ = breakage.running(say)
    found = [each for each in lab.pods if (each.namespace, each.name) == (namespace, name)]
    if not found:
        raise LabUsageError(f"no pod is called {options.pod}")
    _become(found[0], options.command)


def traffic(options: argparse.Namespace) -> int:
    """A client in the kotsadm pod's network, in the foreground; as `python -m tests.lab traffic`."""
    lab, _ = breakage.running(say)
    pace = ["--rate", str(options.rate), "--seconds", str(options.seconds)]
    _become(servers.client(lab), servers.program("ask", options.kind, *servers.targets(lab)[options.kind], *pace))


def _become(pod: LabPod, command: list[str]) -> NoReturn:
    """Go on as a command in a pod's network namespace. Raises LabError where the pod has no process."""
    argv = live.inside(pod, command)
    os.execvp(argv[0], argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    start = commands.add_parser("up", help="start it, unless it runs; builds what is not in the cache")
    start.add_argument("--cni", choices=plan.NETWORKS, default=plan.NETWORKS[0])
    start.set_defaults(run=up)
    for name, run, text in (
        ("build", build, "build what is not in the cache, and start nothing"),
        ("down", down, "take it down"),
        ("status", status, "what is up"),
        ("faults", list_faults, "the faults that can be switched on"),
        ("heal", heal, "switch all faults off"),
    ):
        commands.add_parser(name, help=text).set_defaults(run=run)
    breaking = commands.add_parser("fault", help="switch a fault on")
    breaking.add_argument("name")
    breaking.add_argument("--node")
    breaking.add_argument("--percent", type=int)
    breaking.set_defaults(run=fault)
    inside = commands.add_parser("node", help="run a command on a node")
    inside.add_argument("node")
    inside.add_argument("command", nargs=argparse.REMAINDER)
    inside.set_defaults(run=node)
    beside = commands.add_parser("pod", help="run a command of this machine in a pod's network")
    beside.add_argument("pod", metavar="NAMESPACE/NAME")
    beside.add_argument("command", nargs=argparse.REMAINDER)
    beside.set_defaults(run=pod)
    asking = commands.add_parser("traffic", help="more traffic from the kotsadm pod's network, and how much was answered")
    asking.add_argument("--kind", choices=("dns", "http", "ping"), default="dns")
    asking.add_argument("--rate", type=float, default=5.0)
    asking.add_argument("--seconds", type=float, default=5.0)
    asking.set_defaults(run=traffic)
    return parser


def main() -> int:
    """Exit status 2 for a wrong command, 1 for what could not be done, 130 when interrupted."""
    options = _parser().parse_args()
    if sys.platform != "linux" or os.geteuid() != 0:
        say("it needs Linux and root: its nodes are namespaces of this machine")
        return 1
    try:
        code: int = options.run(options)
    except LabUsageError as error:
        say(str(error))
        return 2
    except LabError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
