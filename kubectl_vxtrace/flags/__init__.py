"""The command line's flags: what `cli.py` binds and commands take.

- `grammar`: kubectl's way to write flags, put into words that Click understands
- `values`: what a flag may say (formats, profiles) and how its text is read (durations)
- `records`: the flags that belong together, each with its name, help and default, as one record that knows what it means;
  and how Typer, which reads one flag from each parameter, gets to read records
"""
