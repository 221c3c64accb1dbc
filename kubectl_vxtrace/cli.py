"""The command line as a process: calls the command, says what fails in one voice, and is the only place that ends the process."""

import atexit
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from typer.main import get_group

from kubectl_vxtrace import last_net, signals
from kubectl_vxtrace.app import PROGRAM, app
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import ExitCode, VxtraceError
from kubectl_vxtrace.flags.called import called
from kubectl_vxtrace.flags.grammar import flags_of, normalised
from kubectl_vxtrace.flags.refusal import ClickException, refusal

# By which kubectl and our own scripts ask for completion; the second wants no descriptions.
COMPLETE_WORDS = ("__complete", "__completeNoDesc")


def run() -> NoReturn:
    """Run the command line and exit with the contract's code."""
    if sys.argv[1:2] and sys.argv[1] in COMPLETE_WORDS:
        _complete(sys.argv[1:])
    code: int
    console = Stderr(verbose=_wants_details(sys.argv[1:]))
    last_net.spread(console)
    try:
        code = _call(sys.argv[1:])
    except VxtraceError as error:
        console.error(error)
        code = error.exit_code
    except KeyboardInterrupt:
        console.warn("interrupted")
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = ExitCode.CANNOT_RUN  # whoever read our output has gone: there is nobody to tell
    except Exception as error:
        last_net.say(error, console)
        code = ExitCode.CANNOT_RUN
    _end(code)


def _complete(words: Sequence[str]) -> NoReturn:
    """Answer a shell that asks what could be typed, and end; nothing is asked of the user or said to him meanwhile."""
    from kubectl_vxtrace.commands import complete

    stdout.guard()
    complete.run(words[1:], get_group(app), _causes, described=words[0] == COMPLETE_WORDS[0])
    _end(ExitCode.DELIVERED)


def _causes(start: str) -> Sequence[str]:
    """The causes whose name begins with `start`; imported when they are wanted."""
    from kubectl_vxtrace.commands.explain import starting_with

    return starting_with(start)


def _wants_details(words: Sequence[str]) -> bool:
    return any(word == "--verbose" or (word.startswith("-v") and not word.startswith("--")) for word in words)


def _end(code: int) -> NoReturn:
    """End the process, and leave nothing to the interpreter's own end: it would wait for threads that still wait for a node and have
    nothing to add, and in its last moments a signal would change the exit code."""
    signals.ending(code)
    stdout.finish()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(code)


def _call(words: Sequence[str]) -> int:
    """Call the command, and return its exit code; raises what it raises."""
    stdout.guard()
    group = get_group(app)
    flags = flags_of(group)
    call = called(words, flags)
    own = [call.name, *normalised(call.words, flags[call.name])] if call.name is not None else []
    try:
        code = group.main([*call.before, *own] or ["--help"], prog_name=PROGRAM, standalone_mode=False)
    except ClickException as error:
        raise refusal(error) from error
    except SystemExit as ended:  # Typer's answer where nobody reads stdout any more
        return ended.code if isinstance(ended.code, int) else ExitCode.CANNOT_RUN
    return code if isinstance(code, int) else ExitCode.DELIVERED
