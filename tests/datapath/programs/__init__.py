"""Programs that run in the pods: files of their own, on the standard library alone, started by path."""
