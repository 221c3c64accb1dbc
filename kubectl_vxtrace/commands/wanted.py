"""What a trace is to deliver in the end."""

from dataclasses import dataclass

from kubectl_vxtrace.bundle.destination import Destination
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.records import STDOUT, ExitFlags, ReportFlags
from kubectl_vxtrace.flags.values import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How the report is printed, where the bundle goes (None for nowhere), and how the verdict becomes an exit code."""

    form: ReportFlags
    bundle: Destination | None
    exits: ExitFlags

    def check(self) -> None:
        """Refuse, before anything is made, what could not be delivered in the end.

        Raises:
            UsageError: with what to do next.
        """
        self.form.check()
        if self.bundle is None:
            if self.form.output is Output.NAME:
                raise UsageError("-o name prints the bundle's path, and --bundle none writes no bundle", "leave one of them out")
        elif self.bundle_on_stdout:
            if self.form.pcap == STDOUT:
                raise UsageError("--bundle - and --pcap - both take stdout", "name a file with one of them")
            if self.form.output is not Output.TABLE:
                raise UsageError(
                    f"--bundle - takes stdout, and -o {self.form.output} needs it too", "name a file with --bundle, or leave -o out"
                )
        else:
            self.bundle.check()
        if self.bundle_on_stdout or self.form.pcap == STDOUT:
            stdout.refuse_terminal()

    @property
    def bundle_on_stdout(self) -> bool:
        """Whether stdout carries the bundle, and nothing else."""
        return self.bundle is not None and self.bundle.place is None
