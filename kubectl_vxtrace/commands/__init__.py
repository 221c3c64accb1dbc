"""The commands, one file for each: what `cli.py` calls once flags are records.

- `pod`: resolve, trace, analyse, deliver, and remove what was made; `dry_run` is its `--dry-run`
- `analyze`: the same from what is on disk
- `check`, `cleanup`, `version`, `schema`, `explain`, `completion`: an answer on stdout
- `complete`: what a shell gets that asks what could be typed; the scripts of `shells/` ask it

`delivery` is what `pod` and `analyze` share: from a recording to a report on stdout, a bundle and an exit code. `stdout` is the one place
that prints there. A command returns its exit code, or nothing where that is 0; what it cannot do it raises.
"""
