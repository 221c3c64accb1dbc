"""`python -m tests.lab.demo`: a healthy path and a broken one on the lab, as a user sees them; everything is taken down afterwards."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
POD = "kotsadm/kotsadm-58f859745b-x4nh8"
FAULT = "underlay-udp-blocked"
# Exit codes of the plugin: delivered, and broken.
HEALTHY, BROKEN = 0, 3


def main() -> None:
    """Exit 0 if the healthy path was delivered and the broken one was found broken."""
    with tempfile.TemporaryDirectory(prefix="vxtrace-demo-") as bundles:
        try:
            kubeconfig = _lab("up").splitlines()[-1]
            codes = [_trace(kubeconfig, Path(bundles), "a healthy path")]
            _lab("fault", FAULT)
            codes.append(_trace(kubeconfig, Path(bundles), f"the same with the fault {FAULT} on"))
        finally:
            _lab("down")
    if codes != [HEALTHY, BROKEN]:
        sys.exit(f"the demo expected exit codes {[HEALTHY, BROKEN]}, and got {codes}")
    print("\n==== the lab is down again; nothing is left")


def _trace(kubeconfig: str, bundles: Path, title: str) -> int:
    """Trace as a user would: through kubectl where there is one, else the plugin itself."""
    command = [*_plugin(), "pod", POD, "--to", "kube-dns", "--duration", "5s"]
    print(f"\n==== {title}\n$ {' '.join(command)}\n", flush=True)
    return subprocess.run(command, cwd=bundles, env={**os.environ, "KUBECONFIG": kubeconfig}, check=False).returncode


def _plugin() -> list[str]:
    """kubectl finds the plugin on PATH by its name, kubectl-vxtrace."""
    if shutil.which("kubectl") and shutil.which("kubectl-vxtrace"):
        return ["kubectl", "vxtrace"]
    return [shutil.which("kubectl-vxtrace") or str(Path(sys.executable).with_name("kubectl-vxtrace"))]


def _lab(*arguments: str) -> str:
    """Call the lab's command line; what it says on stderr is shown."""
    done = subprocess.run([sys.executable, "-m", "tests.lab", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"tests.lab {' '.join(arguments)} exited {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
