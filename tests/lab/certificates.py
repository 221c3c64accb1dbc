"""The lab's own certificate authority, its server certificate and one client certificate, made by openssl."""

import subprocess
from pathlib import Path

CLIENT_USER = "lab-admin"
CLIENT_GROUP = "system:masters"

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS = ("-days", "30")


def _openssl(*arguments: str) -> None:
    result = subprocess.run(("openssl", *arguments), capture_output=True, check=False)
    if result.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {result.stderr.decode(errors='replace').strip()}")


def _signed(folder: Path, name: str, subject: str, extensions: str) -> None:
    extension_file = folder / f"{name}.ext"
    extension_file.write_text(extensions)
    request, key = folder / f"{name}.csr", folder / f"{name}.key"
    _openssl("req", "-new", *_KEY, "-subj", subject, "-keyout", str(key), "-out", str(request))
    authority = ("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial")
    out = ("-extfile", str(extension_file), "-out", str(folder / f"{name}.crt"))
    _openssl("x509", "-req", "-in", str(request), *authority, *_DAYS, *out)


def make(folder: Path) -> None:
    """Write ca, server and client (.crt, .key) into `folder`, which only root may read. Raises RuntimeError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _openssl(
        *("req", "-x509", *_KEY, *_DAYS, "-subj", "/CN=vxtrace-lab-ca"),
        *("-addext", "keyUsage=critical,keyCertSign,digitalSignature", "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt")),
    )
    leaf = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n"
    _signed(folder, "server", "/CN=vxtrace-lab", leaf + "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n")
    _signed(folder, "client", f"/O={CLIENT_GROUP}/CN={CLIENT_USER}", leaf + "extendedKeyUsage=clientAuth\n")
