"""What Click says of a command line that it cannot take, in the words of all other errors."""

import difflib
import re

# Typer brings its own Click along and raises its exceptions; of these it hands on BadParameter alone.
from typer._click.exceptions import BadOptionUsage, BadParameter, ClickException, MissingParameter, NoSuchOption
from typer._click.exceptions import UsageError as ClickUsageError
from typer.core import TyperArgument, TyperOption

from kubectl_vxtrace.errors import UsageError

__all__ = ["ClickException", "refusal"]


def refusal(error: ClickException) -> UsageError:
    """The error as one of ours: what is wrong, and where to look."""
    context = error.ctx if isinstance(error, ClickUsageError) else None
    look = f"{context.command_path if context is not None else 'kubectl vxtrace'} --help has examples and all flags"
    match error:
        case NoSuchOption():
            known = [spelling for param in context.command.params for spelling in param.opts] if context is not None else []
            close = difflib.get_close_matches(error.option_name, [each for each in known if each.startswith("-")], n=3, cutoff=0.7)
            return UsageError(f"unknown flag: {error.option_name}", f"did you mean {' or '.join(close)}?" if close else look)
        case MissingParameter() if isinstance(error.param, TyperArgument):
            return UsageError(f"{error.param.metavar or error.param.name} is missing", look)
        case BadParameter() if isinstance(error.param, TyperOption):
            return UsageError(f"{max(error.param.opts, key=len)}: {_sentence(error.message)}", look)
        case BadParameter():
            return UsageError(_sentence(error.message or error.format_message()), look)
        case BadOptionUsage():
            return UsageError(f"{error.option_name} needs a value", look)
        case _:
            return UsageError(_sentence(error.format_message()), look)


def _sentence(text: str) -> str:
    """A sentence of Click's as our errors are written: a small letter first, no full stop."""
    text = re.sub(r"^Got unexpected extra argument\(s\) \((.*)\)$", r"nothing is expected after the names, but there is: \1", text)
    text = text.removeprefix("Value error, ").rstrip(".")
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
