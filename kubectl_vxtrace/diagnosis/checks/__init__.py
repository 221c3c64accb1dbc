"""One question each: does this explain what was lost? A check takes a case and yields findings."""
