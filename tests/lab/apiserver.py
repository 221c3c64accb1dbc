"""Starts and stops the lab's Kubernetes API server.

The server is a process of its own. It serves what the records of the state directory hold (`lab.json`, tests/datapath), makes
debug pods as real process trees in the nodes' network namespaces (podprocess.py), and leaves nothing behind when it ends.
In the state directory it keeps `kubeconfig` (contexts `vxtrace-lab` with a token, `vxtrace-lab-certificate` with a client
certificate; both may do everything), `apiserver.pid` (locked while it runs), `apiserver.log` and `apiserver.pki/`.

Tests steer it with two files there, read again whenever they change (control.py has every key):

    control.json    {"image_pull_fails": true, "node_not_ready": ["ada-ec-2"], "exec_cut_after_bytes": 65536, "slow_ms": 100}
    users.json      [{"name": "bob", "token": "t", "allowed": [["get", "pods"], ["create", "pods/exec", "kotsadm"]]}]

It differs from a real one in what nobody here needs: no update or patch, no scheduler (a pod needs spec.nodeName), no restarts
(every pod is restartPolicy Never), one container per pod, emptyDir and hostPath volumes only, one version of the discovery documents.
"""

import base64
import fcntl
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml

from tests.datapath import records
from tests.datapath.records import Lab
from tests.lab import certificates
from tests.lab.cluster import Cluster
from tests.lab.handler import ApiServer

KUBECONFIG = "kubeconfig"
CONTEXT, CERTIFICATE_CONTEXT = "vxtrace-lab", "vxtrace-lab-certificate"
_PID, _LOG, _PKI = "apiserver.pid", "apiserver.log", "apiserver.pki"
_START_S, _STOP_S = 20.0, 20.0
_GRACE_S = 1.0
_ROOT = Path(__file__).parents[2]


def start(lab: Lab) -> Path:
    """Start the server for `lab` and give the path of its kubeconfig once it answers; does nothing if it runs.

    Raises:
        RuntimeError: it ended, or did not answer in time; the message ends with its log.
    """
    state_dir = Path(lab.state_dir)
    if running(state_dir):
        return state_dir / KUBECONFIG
    if records.load(state_dir) != lab:
        records.save(lab)
    (state_dir / KUBECONFIG).unlink(missing_ok=True)
    with (state_dir / _LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.apiserver", str(state_dir)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    limit_s = time.monotonic() + _START_S
    while not (state_dir / KUBECONFIG).exists():
        if process.poll() is not None or time.monotonic() > limit_s:
            process.kill()
            process.wait()
            raise RuntimeError(f"the lab's API server did not start:\n{(state_dir / _LOG).read_text(errors='replace')[-4000:]}")
        time.sleep(0.02)
    return state_dir / KUBECONFIG


def running(state_dir: Path) -> bool:
    """Whether a server runs for this state directory."""
    return _pid(state_dir) is not None


def stop(state_dir: Path) -> None:
    """End the server, its debug pods with it, and remove its files; harmless where none runs. It is killed if it does not end."""
    pid = _pid(state_dir)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        limit_s = time.monotonic() + _STOP_S
        while running(state_dir):
            if time.monotonic() > limit_s:
                os.kill(pid, signal.SIGKILL)
                limit_s = float("inf")
            time.sleep(0.02)
    for name in (KUBECONFIG, _PID, _LOG):
        (state_dir / name).unlink(missing_ok=True)
    if (state_dir / _PKI).exists():
        shutil.rmtree(state_dir / _PKI)


def _pid(state_dir: Path) -> int | None:
    """The server's process id, None if none runs: the file is locked as long as it does."""
    try:
        with (state_dir / _PID).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write_kubeconfig(state_dir: Path, port: int, token: str) -> None:
    pki = state_dir / _PKI
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": _encoded(pki / "ca.crt")}
    by_certificate = {"client-certificate-data": _encoded(pki / "client.crt"), "client-key-data": _encoded(pki / "client.key")}
    names = {CONTEXT: {"token": token}, CERTIFICATE_CONTEXT: by_certificate}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": name, "user": user} for name, user in names.items()],
        "contexts": [{"name": name, "context": {"cluster": CONTEXT, "user": name}} for name in names],
        "current-context": CONTEXT,
    }
    scratch = state_dir / (KUBECONFIG + ".new")
    scratch.touch(mode=0o600)
    scratch.write_text(yaml.safe_dump(config, sort_keys=False))
    scratch.replace(state_dir / KUBECONFIG)


def _tls(pki: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def serve(state_dir: Path) -> None:
    """Be the server, until SIGTERM or SIGINT."""
    with (state_dir / _PID).open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        cluster = Cluster(state_dir)
        cluster.refresh()
        certificates.make(state_dir / _PKI)
        token = secrets.token_urlsafe(24)
        with ApiServer(cluster, token, _tls(state_dir / _PKI)) as server:
            ended = threading.Event()

            def end(number: int, frame: object) -> None:
                print(f"ending after {signal.Signals(number).name}", flush=True)
                ended.set()

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, end)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            _write_kubeconfig(state_dir, server.server_address[1], token)
            print(f"listening on {server.server_address}", flush=True)
            ended.wait()
            server.shutdown()
            cluster.kubelets.shut_down(_GRACE_S)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
