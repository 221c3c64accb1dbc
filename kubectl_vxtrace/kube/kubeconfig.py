"""Reading kubeconfig files with kubectl's rules: which files, how they merge, which context, what the flags override.

The Python client's own loader knows neither --cluster nor --user, lets the last file's current-context win (kubectl: the first
one's) and cannot list what it knows. What comes out here is one context in the client's format, with absolute paths.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.kube.overrides import cluster_of, user_of, with_scheme
from kubectl_vxtrace.model.request import Access

_PATH_KEYS = {"clusters": ("certificate-authority",), "users": ("client-certificate", "client-key", "tokenFile")}
_IMPERSONATION = ("as", "as-uid", "as-groups", "as-user-extra")
_BODY = {"clusters": "cluster", "users": "user", "contexts": "context"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The context in use. `cluster` and `user` are their kubeconfig bodies with absolute paths; `files` is what was read."""

    context: str | None
    cluster_name: str
    user_name: str | None
    cluster: dict[str, Any]
    user: dict[str, Any]
    namespace: str | None
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Merged:
    clusters: dict[str, dict[str, Any]]
    users: dict[str, dict[str, Any]]
    contexts: dict[str, dict[str, Any]]
    current: str | None
    files: tuple[str, ...]


def select(access: Access, environ: Mapping[str, str]) -> Selected | None:
    """The context that kubectl would use with these flags, or None where there is no kubeconfig at all and no --server.

    Raises:
        UsageError: --kubeconfig names no file; a context, cluster or user that the files do not hold (the known ones are listed).
        CannotRunError: a file cannot be read or understood; no context is current.
    """
    merged = _merge(_files(access, environ))
    if merged is None:
        if not access.server:
            return None
        merged = _Merged({}, {}, {}, None, ())
    name = access.context or merged.current
    context = _context(name, merged, explicit=access.context is not None)
    cluster_name = access.cluster or context.get("cluster")
    if not cluster_name and not access.server:
        raise CannotRunError(
            f"no current context in {_names(merged.files)}",
            f"choose one with --context or `kubectl config use-context NAME`; known: {_names(merged.contexts)}",
        )
    user_name = access.user or context.get("user") or None
    user = _known("user", str(user_name), merged.users) if user_name else {}
    cluster = _known("cluster", str(cluster_name), merged.clusters) if cluster_name else {}
    cluster, user = cluster_of(access, cluster), user_of(access, user)
    if not isinstance(cluster.get("server"), str):
        raise CannotRunError(
            f'cluster "{cluster_name}" in {_names(merged.files)} has no server address', "run `kubectl config view` and set it"
        )
    cluster = with_scheme(cluster, user)
    namespace = context.get("namespace")
    return Selected(
        context=name,
        cluster_name=str(cluster_name or access.server),
        user_name=str(user_name) if user_name else None,
        cluster=cluster,
        # As client-go, which never sends credentials to where all can read them.
        user=user
        if not access.server or cluster["server"].startswith("https:")
        else {key: user[key] for key in user if key in _IMPERSONATION},
        namespace=str(namespace) if namespace else None,
        files=merged.files,
    )


def known(access: Access, environ: Mapping[str, str], section: str) -> list[str]:
    """The names of all `contexts`, `clusters` or `users`. Raises as `select` does where a file cannot be read."""
    merged = _merge(_files(access, environ))
    return sorted(getattr(merged, section)) if merged is not None else []


def _files(access: Access, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The files to read, in order: --kubeconfig alone (it must exist), else those of KUBECONFIG that exist, else ~/.kube/config."""
    if access.kubeconfig:
        path = Path(access.kubeconfig).expanduser()
        if path.is_dir() or not path.exists():  # a pipe is as good: --kubeconfig <(...)
            raise UsageError(f"--kubeconfig: there is no file {path}", "give the path of a kubeconfig file")
        return (path,)
    listed = environ.get("KUBECONFIG", "")
    names = [name for name in listed.split(os.pathsep) if name] or [str(Path("~/.kube/config"))]
    paths = dict.fromkeys(Path(name).expanduser() for name in names)
    return tuple(path for path in paths if path.is_file())


def _merge(paths: tuple[Path, ...]) -> _Merged | None:
    """All files as one: of two entries with one name the first counts, and the first current-context."""
    sections: dict[str, dict[str, dict[str, Any]]] = {"clusters": {}, "users": {}, "contexts": {}}
    current: str | None = None
    for path in paths:
        document = _load(path)
        current = current or document.get("current-context") or None
        for section, entries in sections.items():
            for name, body in _entries(path, document, section):
                entries.setdefault(name, body)
    if not any(sections.values()):
        return None
    return _Merged(sections["clusters"], sections["users"], sections["contexts"], current, tuple(str(path) for path in paths))


def _load(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Both are safe loaders; the C one is ten times as fast.
        document = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506  # nosec B506
    except OSError as error:
        raise CannotRunError(
            f"cannot read the kubeconfig {path}: {error.strerror}", "check its permissions, or give another with --kubeconfig"
        ) from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise CannotRunError(f"the kubeconfig {path} is not valid YAML: {_place(error)}", "check it with `kubectl config view`") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise CannotRunError(f"{path} is not a kubeconfig", "check it with `kubectl config view`")
    return document


def _place(error: Exception) -> str:
    """What is wrong and on which line, without the line, which may hold a token."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem}, line {error.problem_mark.line + 1}"
    return type(error).__name__ if isinstance(error, UnicodeError) else str(error)


def _entries(path: Path, document: dict[str, Any], section: str) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    entries = document.get(section) or []
    for entry in entries if isinstance(entries, list) else [None]:
        if not isinstance(entry, dict) or "name" not in entry:
            raise CannotRunError(
                f"the kubeconfig {path} has an entry without a name under `{section}`", "check it with `kubectl config view`"
            )
        body = entry.get(_BODY[section]) or {}
        if not isinstance(body, dict):
            raise CannotRunError(
                f'the kubeconfig {path} has no valid body for "{entry["name"]}" under `{section}`', "check it with `kubectl config view`"
            )
        found.append((str(entry["name"]), _absolute(path.parent, section, body)))
    return found


def _absolute(folder: Path, section: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body with relative paths resolved against the folder of the file that holds them, as kubectl does; empty values count as none."""
    base = folder.absolute()
    result = {key: value for key, value in body.items() if value != ""}
    for key in _PATH_KEYS.get(section, ()):
        if isinstance(result.get(key), str):
            result[key] = str(base / result[key])
    plugin = result.get("exec")
    if section == "users" and isinstance(plugin, dict) and isinstance(plugin.get("command"), str) and os.sep in plugin["command"]:
        result["exec"] = {**plugin, "command": str(base / plugin["command"])}
    return result


def _context(name: str | None, merged: _Merged, *, explicit: bool) -> dict[str, Any]:
    if name is None:
        return {}
    if name in merged.contexts:
        return merged.contexts[name]
    message = f'there is no context "{name}" in {_names(merged.files)}'
    hint = f"known contexts: {_names(merged.contexts)}"
    raise UsageError(message, hint) if explicit else CannotRunError(f"{message}, which is the current one", hint)


def _known(kind: str, name: str, entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if name not in entries:
        raise UsageError(f'there is no {kind} "{name}" in the kubeconfig', f"known {kind}s: {_names(entries)}")
    return entries[name]


def _names(names: Mapping[str, Any] | tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
