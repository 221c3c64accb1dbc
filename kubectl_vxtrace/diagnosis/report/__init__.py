"""From a matched case and its findings to the report."""
