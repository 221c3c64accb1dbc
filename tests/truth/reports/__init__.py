"""The second table: mechanisms that were reported in public, each made by hand on the lab and proven before the trace.

The first table's faults are the plugin's own causes. These are what people had: each row names the report, makes what happened there with
the commands that a person would type, proves with tcpdump and the kernel's counters that packets die where the row says, and only then asks
the plugin. Nothing here shares code with it. `python -m tests.truth --only reports WORD...` runs those whose names have one of these words,
`--without-fault` tries each proof on the lab as it is, where none may hold.
"""
