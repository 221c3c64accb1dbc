"""Commands whose parameters are records of flags, for Typer."""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any


def flag_records(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, with the fields of each of its records as parameters of their own, in the record's place.

    Typer makes one flag of each parameter of a signature and knows no records (typer.utils.get_params_from_function). What is returned has
    the signature that it reads; called with the flags' values, it makes the records and calls `command` with them.

    Raises:
        ValueError: two records of a command have a field of the same name.
    """
    flags: list[inspect.Parameter] = []
    records: dict[str, type[Any]] = {}
    for parameter in inspect.signature(command).parameters.values():
        record = parameter.annotation
        if isinstance(record, type) and is_dataclass(record):
            records[parameter.name] = record
            flags += [
                inspect.Parameter(field.name, parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
                for field in fields(record)
            ]
        else:
            flags.append(parameter.replace(kind=parameter.KEYWORD_ONLY))

    @wraps(command)
    def with_records(**values: Any) -> None:
        made = {name: record(**{field.name: values.pop(field.name) for field in fields(record)}) for name, record in records.items()}
        command(**values, **made)

    with_records.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]
    with_records.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return with_records
