"""Credential plugins (`exec:` of a kubeconfig user), run by us.

The Python client runs them too, but swallows their failures and goes on as system:anonymous, which ends in a 403 that names the
wrong problem. Protocol: client.authentication.k8s.io/v1 and v1beta1 (kubernetes.io/docs/reference/access-authn-authz/authentication).
"""

import base64
import datetime
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from kubectl_vxtrace.errors import CannotRunError

_TIMEOUT_S = 60.0
_INTERACTIVE_TIMEOUT_S = 300.0
_KEPT_STDERR_BYTES = 8192
# What a plugin may know of the cluster where `provideClusterInfo` is set: the fields of ExecCredentialSpec's Cluster.
_CLUSTER_FIELDS = (
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority-data",
    "proxy-url",
    "disable-compression",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginCredential:
    """What a plugin gave: a bearer token, or a client certificate and key (PEM). `expires_s`: Unix seconds, None for never."""

    token: str | None = None
    certificate: str | None = None
    key: str | None = None
    expires_s: float | None = None

    def as_user(self) -> dict[str, Any]:
        """The credential as the body of a kubeconfig user."""
        if self.token is not None:
            return {"token": self.token}
        return {
            "client-certificate-data": base64.b64encode((self.certificate or "").encode()).decode(),
            "client-key-data": base64.b64encode((self.key or "").encode()).decode(),
        }


def run_plugin(spec: Mapping[str, Any], cluster: Mapping[str, Any], user_name: str) -> PluginCredential:
    """Run the plugin of a kubeconfig user.

    Args:
        spec: the user's `exec` body.
        cluster: the cluster's body, told to the plugin where it asks for it.
        user_name: for messages.

    Raises CannotRunError with the plugin's own message and its installHint.
    """
    command = spec.get("command")
    version = spec.get("apiVersion")
    hint = str(spec.get("installHint") or "").strip()
    if not isinstance(command, str) or not command or not isinstance(version, str):
        raise CannotRunError(
            f'the credential plugin of user "{user_name}" has no command or no apiVersion', "check `users[].user.exec` in the kubeconfig"
        )
    argv = [command, *(str(argument) for argument in spec.get("args") or ())]
    interactive = _interactive(spec, user_name, argv)
    stdout = _run(argv, _environment(spec, cluster, version, interactive), interactive=interactive, user_name=user_name, hint=hint)
    return _parse(stdout, version, " ".join(argv), user_name)


def _interactive(spec: Mapping[str, Any], user_name: str, argv: list[str]) -> bool:
    mode = spec.get("interactiveMode") or "IfAvailable"
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if mode == "Always" and not terminal:
        raise CannotRunError(
            f'the credential plugin `{argv[0]}` of user "{user_name}" must ask a person, and standard input is not a terminal',
            "run it in a terminal, or log in first so that it need not ask",
        )
    return bool(terminal and mode != "Never")


def _environment(spec: Mapping[str, Any], cluster: Mapping[str, Any], version: str, interactive: bool) -> dict[str, str]:
    info: dict[str, Any] = {"interactive": interactive}
    if spec.get("provideClusterInfo"):
        told = {key: cluster[key] for key in _CLUSTER_FIELDS if key in cluster}
        for extension in cluster.get("extensions") or ():
            if isinstance(extension, Mapping) and extension.get("name") == "client.authentication.k8s.io/exec":
                told["config"] = extension.get("extension")
        info["cluster"] = told
    environment = dict(os.environ)
    environment.update(
        {
            str(item["name"]): str(item["value"])
            for item in spec.get("env") or ()
            if isinstance(item, Mapping) and "name" in item and "value" in item
        }
    )
    environment["KUBERNETES_EXEC_INFO"] = json.dumps({"apiVersion": version, "kind": "ExecCredential", "spec": info})
    return environment


def _run(argv: list[str], environment: dict[str, str], *, interactive: bool, user_name: str, hint: str) -> bytes:
    """Its stdout; its stderr goes to ours as it comes (a login prompt stands there) and into the message where it fails."""
    name = f'the credential plugin `{" ".join(argv)}` of user "{user_name}"'
    try:
        process = subprocess.Popen(
            argv, stdin=None if interactive else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
    except OSError as error:
        raise CannotRunError(f"{name} cannot be run: {error.strerror}", hint or f"install `{argv[0]}` or put it on the PATH") from error
    kept = bytearray()
    reader = threading.Thread(target=_copy_stderr, args=(process.stderr, kept, interactive), daemon=True)
    reader.start()
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        process.kill()

    timer = threading.Timer(_INTERACTIVE_TIMEOUT_S if interactive else _TIMEOUT_S, expire)
    timer.start()
    try:
        assert process.stdout is not None  # noqa: S101 (stdout=PIPE; for the type checker)  # nosec B101
        with process.stdout:
            stdout = process.stdout.read()
        code = process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
    reader.join(timeout=1)
    said = bytes(kept).decode("utf-8", "replace").strip()
    if expired.is_set():
        raise CannotRunError(
            f"{name} did not answer in time" + (f":\n{said}" if said else ""), hint or "run it by hand and see what it waits for"
        )
    if code != 0:
        raise CannotRunError(
            f"{name} failed with exit code {code}" + (f":\n{said}" if said else ""), hint or "log in again, or run the plugin by hand"
        )
    return stdout


def _copy_stderr(stream: IO[bytes], kept: bytearray, show: bool) -> None:
    with stream:
        while chunk := os.read(stream.fileno(), 4096):
            kept += chunk[: max(0, _KEPT_STDERR_BYTES - len(kept))]
            if show:
                sys.stderr.write(chunk.decode("utf-8", "replace"))
                sys.stderr.flush()


def _parse(stdout: bytes, version: str, command: str, user_name: str) -> PluginCredential:
    problem = ""
    status: Any = None
    try:
        answer = json.loads(stdout)
    except ValueError:
        problem = "its answer is not JSON"
    else:
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            problem = "its answer has no status"
        elif answer.get("apiVersion") != version:
            problem = f"it speaks {answer.get('apiVersion')}, the kubeconfig asks for {version}"
        elif not status.get("token") and not (status.get("clientCertificateData") and status.get("clientKeyData")):
            problem = "its answer holds neither a token nor a client certificate with its key"
    if problem:
        raise CannotRunError(
            f'the credential plugin `{command}` of user "{user_name}" failed: {problem}', "log in again, or run the plugin by hand"
        )
    token = status.get("token")
    return PluginCredential(
        token=str(token) if token else None,
        certificate=status.get("clientCertificateData"),
        key=status.get("clientKeyData"),
        expires_s=_expiry_s(status.get("expirationTimestamp")),
    )


def _expiry_s(text: object) -> float | None:
    """Unix seconds of an RFC 3339 time; an unreadable one counts as none, since the server then says 401 itself."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
