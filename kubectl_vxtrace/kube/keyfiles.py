"""Certificates and keys that stand in a kubeconfig as data, by the name of a file: Python's ssl reads no others.

The Kubernetes client would write them among the system's temporary files, where a killed process leaves them.
"""

import atexit
import base64
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubectl_vxtrace import portable
from kubectl_vxtrace.scratch import Scratch

_KEYS = ("certificate-authority", "client-certificate", "client-key")
_DATA = "-data"
_LOCK = threading.Lock()
_NAMES: dict[bytes, str] = {}
_folder: Scratch | None = None


def with_files(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a kubeconfig's cluster or user with names of files in place of data.

    Raises:
        binascii.Error, TypeError: data is not base64.
        OSError: there is no room.
    """
    named = dict(body)
    for key in _KEYS:
        # As in client-go, data beats a file.
        if data := named.pop(key + _DATA, None):
            named[key] = _named(base64.b64decode(data))
    return named


def _named(content: bytes) -> str:
    """The name of a file with that content, which is the same for the same content, and there for as long as this process is."""
    with _LOCK:
        if content not in _NAMES:
            _NAMES[content] = _in_memory(content) or _on_disk(content)
        return _NAMES[content]


def _in_memory(content: bytes) -> str | None:
    """A file that lies nowhere (memfd_create(2)); None where the system has none, or no names for them."""
    if sys.platform != "linux" or not hasattr(os, "memfd_create"):
        return None
    try:
        descriptor = os.memfd_create("vxtrace")
    except OSError:
        return None
    name = f"/proc/self/fd/{descriptor}"
    if Path(name).exists():
        _write(descriptor, content)
        return name
    os.close(descriptor)
    return None


def _on_disk(content: bytes) -> str:
    """A file in a folder of our own, which is removed at the end, or by the next run if this one is killed."""
    global _folder
    if _folder is None:
        _folder = Scratch()
        atexit.register(_folder.remove)
    path = _folder.path / str(len(_NAMES))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.BINARY, 0o600)
    try:
        _write(descriptor, content)
    finally:
        os.close(descriptor)
    return str(path)


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
