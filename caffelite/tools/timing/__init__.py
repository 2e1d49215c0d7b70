"""Where the time of a net goes: the machine's peak, what the layers achieve of it, and a trace to look into.

What layers have to do (`work`), the times they took (`layers`) and what the machine can do (`machine`) make a `report`;
`trace` writes a file for Perfetto.
"""

TRACES = (".json", ".json.gz")
"""Endings of files that a trace can be written to."""
