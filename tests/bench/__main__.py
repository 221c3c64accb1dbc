"""`python -m tests.bench NAME [options]`: one benchmark, printed as a ratio against a peer in the same run."""

import argparse
import importlib
import pkgutil
import sys

import tests.bench


def benchmarks() -> list[str]:
    """The modules of this folder that are benchmarks: those with `main(arguments)` and `add_arguments(parser)`."""
    names = [module.name for module in pkgutil.iter_modules(tests.bench.__path__) if module.name != "__main__"]
    return [name for name in names if hasattr(importlib.import_module(f"tests.bench.{name}"), "main")]


def main() -> int:
    """Run one benchmark; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    for name in benchmarks():
        module = importlib.import_module(f"tests.bench.{name}")
        module.add_arguments(commands.add_parser(name, description=module.__doc__))
    arguments = parser.parse_args()
    status: int = importlib.import_module(f"tests.bench.{arguments.name}").main(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
