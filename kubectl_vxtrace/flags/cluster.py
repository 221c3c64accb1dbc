"""The flags that say which cluster, and as whom: those of `kubectl options`.

docs/kubectl-options.md has what each does here, and a test holds it to this record.
"""

from dataclasses import dataclass
from typing import Annotated

import typer

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.values import namespace_name, request_timeout_s
from kubectl_vxtrace.model.request import Access

RequestTimeout = Annotated[
    str, typer.Option("--request-timeout", metavar="DURATION", help="Time for one API request (1s, 2m); 0: no limit.", show_default=True)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFlags:
    """kubectl's flags of the same names. Those that few need are hidden in a command's help; `kubectl vxtrace options` has them all.

    The last eight are there so that a command line which suits kubectl suits the plugin: they change nothing here, or are refused where
    that would be a promise not kept.
    """

    kubeconfig: Annotated[str | None, typer.Option("--kubeconfig", metavar="FILE", help="Path to the kubeconfig file.")] = None
    context: Annotated[str | None, typer.Option("--context", metavar="NAME", help="Name of the kubeconfig context.")] = None
    cluster: Annotated[str | None, typer.Option("--cluster", metavar="NAME", help="Name of the kubeconfig cluster.")] = None
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Name of the kubeconfig user.")] = None
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", metavar="NAMESPACE", help="Namespace of names that carry none.")] = (
        None
    )
    as_user: Annotated[str | None, typer.Option("--as", metavar="USER", help="User to impersonate.")] = None
    as_group: Annotated[list[str] | None, typer.Option("--as-group", metavar="GROUP", help="Group to impersonate; may be repeated.")] = None
    as_uid: Annotated[str | None, typer.Option("--as-uid", metavar="UID", help="UID to impersonate.", hidden=True)] = None
    as_user_extra: Annotated[
        list[str] | None,
        typer.Option("--as-user-extra", metavar="KEY=VALUE", help="User extra to impersonate; may be repeated.", hidden=True),
    ] = None
    request_timeout: RequestTimeout = "0"
    server: Annotated[
        str | None, typer.Option("--server", "-s", metavar="URL", help="Address and port of the API server.", hidden=True)
    ] = None
    token: Annotated[str | None, typer.Option("--token", metavar="TOKEN", help="Bearer token for the API server.", hidden=True)] = None
    username: Annotated[str | None, typer.Option("--username", metavar="NAME", help="User name for basic authentication.", hidden=True)] = (
        None
    )
    password: Annotated[str | None, typer.Option("--password", metavar="TEXT", help="Password for basic authentication.", hidden=True)] = (
        None
    )
    client_certificate: Annotated[
        str | None, typer.Option("--client-certificate", metavar="FILE", help="Client certificate for TLS.", hidden=True)
    ] = None
    client_key: Annotated[str | None, typer.Option("--client-key", metavar="FILE", help="Key of the client certificate.", hidden=True)] = (
        None
    )
    certificate_authority: Annotated[
        str | None,
        typer.Option("--certificate-authority", metavar="FILE", help="Certificate of the authority to check the server by.", hidden=True),
    ] = None
    tls_server_name: Annotated[
        str | None, typer.Option("--tls-server-name", metavar="NAME", help="Name that the server's certificate must have.", hidden=True)
    ] = None
    insecure_skip_tls_verify: Annotated[
        bool,
        typer.Option("--insecure-skip-tls-verify", help="Do not check the server's certificate: the connection is insecure.", hidden=True),
    ] = False
    cache_dir: Annotated[
        str | None, typer.Option("--cache-dir", metavar="DIRECTORY", help="Without effect: nothing is cached.", hidden=True)
    ] = None
    disable_compression: Annotated[
        bool, typer.Option("--disable-compression", help="Without effect: compressed answers are never asked for.", hidden=True)
    ] = False
    log_flush_frequency: Annotated[
        str | None,
        typer.Option("--log-flush-frequency", metavar="DURATION", help="Without effect: all is said at once.", hidden=True),
    ] = None
    vmodule: Annotated[
        str | None, typer.Option("--vmodule", metavar="PATTERN=N", help="Without effect: these are files of kubectl.", hidden=True)
    ] = None
    kuberc: Annotated[
        str | None,
        typer.Option("--kuberc", metavar="FILE", help="Without effect: its preferences are for kubectl's commands.", hidden=True),
    ] = None
    match_server_version: Annotated[
        bool, typer.Option("--match-server-version", help="Refused: the plugin's versions are not Kubernetes'.", hidden=True)
    ] = False
    warnings_as_errors: Annotated[
        bool, typer.Option("--warnings-as-errors", help="Refused: the API's warnings are not looked at.", hidden=True)
    ] = False
    profile_output: Annotated[
        str | None, typer.Option("--profile-output", metavar="FILE", help="Refused: the plugin does not profile itself.", hidden=True)
    ] = None

    def access(self) -> Access:
        """The same as a record of the request.

        Raises:
            UsageError: a time that is none, a namespace that can have no such name, a user extra without a value, a flag that cannot be
                kept.
        """
        self._refuse()
        return Access(
            kubeconfig=self.kubeconfig,
            context=self.context,
            cluster=self.cluster,
            user=self.user,
            namespace=namespace_name(self.namespace),
            as_user=self.as_user,
            as_groups=tuple(self.as_group or ()),
            as_uid=self.as_uid,
            as_user_extra=tuple(map(_extra, self.as_user_extra or ())),
            request_timeout_s=request_timeout_s(self.request_timeout),
            server=self.server,
            token=self.token,
            username=self.username,
            password=self.password,
            client_certificate=self.client_certificate,
            client_key=self.client_key,
            certificate_authority=self.certificate_authority,
            tls_server_name=self.tls_server_name,
            insecure_skip_tls_verify=self.insecure_skip_tls_verify,
        )

    def _refuse(self) -> None:
        """Raise UsageError for what would be a promise not kept."""
        if self.match_server_version:
            raise UsageError(
                "--match-server-version: this plugin's versions are not Kubernetes' versions",
                "leave it out; kubectl vxtrace version shows both",
            )
        if self.warnings_as_errors:
            raise UsageError("--warnings-as-errors: the API's warnings are not looked at here", "leave it out")
        if self.profile_output is not None:
            raise UsageError(
                "--profile-output: this plugin does not profile itself", "leave it out; --profile is the profile of the debug pods here"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpatientClusterFlags(ClusterFlags):
    """The same for a command that has an answer without the cluster, and does not wait long for one."""

    request_timeout: RequestTimeout = "3"


def _extra(text: str) -> tuple[str, str]:
    """Key and value of `--as-user-extra`. Raises UsageError where one is missing."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"--as-user-extra {text!r} has no key or no value", "write --as-user-extra KEY=VALUE")
    return key, value
