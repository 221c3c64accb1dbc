"""What people want to do, and the line that does it: for `--help` and the manual. Each of them is parsed by a test."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A question in a few words, and the command line that answers it."""

    about: str
    line: str


# By command; those of the program as a whole stand under an empty name.
EXAMPLES: dict[str, tuple[Example, ...]] = {
    "": (
        Example("Where do the frontend's requests to a Service vanish?", "kubectl vxtrace pod shop/frontend-0 --to svc/api"),
        Example("May I trace here, and would it work?", "kubectl vxtrace check pod shop/frontend-0 --to svc/api"),
        Example("The same verdict again, from the bundle", "kubectl vxtrace analyze vxtrace-7f3a01-20261123T120001Z.zip"),
        Example("What does a cause mean?", "kubectl vxtrace explain underlay-udp-blocked"),
    ),
    "pod": (
        Example("Where do the frontend's requests to a Service vanish?", "kubectl vxtrace pod shop/frontend-0 --to svc/api"),
        Example("The target as the application's log has it", "kubectl vxtrace pod shop/frontend-0 --to http://api.shop:8080/health"),
        Example("One of the pods of a workload, or with a label", "kubectl vxtrace pod deploy/frontend -n shop --to api:http"),
        Example("", "kubectl vxtrace pod -l app=frontend -n shop --to api"),
        Example("All pods of a workload: which of them loses what?", "kubectl vxtrace pod deploy/frontend -n shop --to api --all-pods"),
        Example("Do small packets pass, and large ones hang?", "kubectl vxtrace pod shop/frontend-0 --to api --mtu"),
        Example("Does the network between the nodes filter by port, size or path?", "kubectl vxtrace pod shop/frontend-0 --to api --ab"),
        Example("Everything that it says and hears on other nodes", "kubectl vxtrace pod shop/frontend-0"),
        Example("DNS, for a minute, as JSON", "kubectl vxtrace pod shop/frontend-0 --to kube-dns.kube-system:53/udp --duration 1m -o json"),
        Example("What would be made and run; nothing is", "kubectl vxtrace pod shop/frontend-0 --to api --dry-run client"),
        Example("All hops in one capture, in Wireshark", "kubectl vxtrace pod shop/frontend-0 --to api --pcap - | wireshark -k -i -"),
    ),
    "service": (Example("Who of a Service's clients loses packets, and where?", "kubectl vxtrace service shop/api"),),
    "node": (Example("Does the tunnel between two nodes carry packets, of every size?", "kubectl vxtrace node node-a --to node/node-b"),),
    "mesh": (
        Example("Which of my nodes is it?", "kubectl vxtrace mesh"),
        Example("The same for some of many", "kubectl vxtrace mesh -l pool=web --max-nodes 20"),
    ),
    "analyze": (
        Example("The same verdict again, from the bundle", "kubectl vxtrace analyze vxtrace-7f3a01-20261123T120001Z.zip"),
        Example("A verdict from what others recorded", "kubectl vxtrace analyze captures/ ticket.tgz"),
        Example(
            "Say where a file was captured",
            "kubectl vxtrace analyze a.pcap b.pcap --hop node-a:underlay=a.pcap --hop node-b:vxlan=b.pcap",
        ),
        Example("All hops in one capture, in Wireshark", "kubectl vxtrace analyze bundle.zip --pcap - | wireshark -k -i -"),
    ),
    "compare": (
        Example("What differs between yesterday and today?", "kubectl vxtrace compare yesterday.zip today.zip"),
        Example("The same for a program", "kubectl vxtrace compare yesterday.zip today.zip -o json"),
    ),
    "check": (
        Example("May I trace in this cluster?", "kubectl vxtrace check"),
        Example("Would this trace work?", "kubectl vxtrace check pod shop/frontend-0 --to svc/api"),
        Example("With debug pods in another namespace", "kubectl vxtrace check --debug-namespace tools"),
    ),
    "cleanup": (
        Example("Remove what earlier traces left in the context's namespace", "kubectl vxtrace cleanup"),
        Example("Also debug pods of traces that may still run", "kubectl vxtrace cleanup --all -n tools"),
    ),
    "explain": (
        Example("How a cause looks, comes about, is proven and fixed", "kubectl vxtrace explain underlay-udp-blocked"),
        Example("All causes", "kubectl vxtrace explain"),
    ),
    "schema": (Example("The JSON Schema of the report", "kubectl vxtrace schema > report.schema.json"),),
    "version": (
        Example("This version, and the server's", "kubectl vxtrace version"),
        Example("For a script", "kubectl vxtrace version -o json"),
    ),
    "options": (Example("kubectl's flags that every cluster command takes", "kubectl vxtrace options"),),
    "completion": (
        Example("Complete `kubectl vxtrace ...`, in every shell that completes kubectl", "kubectl vxtrace completion install"),
        Example("Complete `kubectl-vxtrace ...`, in bash", "source <(kubectl-vxtrace completion bash)"),
    ),
}
