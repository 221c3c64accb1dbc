"""The command line's flags: what `cli.py` binds and commands take.

- `grammar`: kubectl's way to write flags, put into words that Click understands
- `called`: which command is called, by any of its names
- `examples`, `manual`, `help`: what is to be said of each command, and `--help`
- `refusal`: Click's errors in the words of all others
- `values`: what a flag may say (formats, profiles) and how its text is read (durations)
- `cluster`: kubectl's own flags: which cluster, and as whom
- `records`: the flags that belong together, each with its name, help and default, as one record that knows what it means;
  and how Typer, which reads one flag from each parameter, gets to read records
"""
