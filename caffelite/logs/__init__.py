"""What a run says: records, the sinks that write them down, and the parser that reads them back.

Importing a name imports its module only; rich is imported when a progress bar is made.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["records"],
    submod_attrs={
        "bridge": ["LogBridge"],
        "glog": ["GlogFile", "GlogText"],
        "jsonl": ["JsonLines"],
        "parse": ["Timed", "parse_text", "read", "read_text"],
        "progress": ["Progress"],
        "run_record": ["RunRecord", "find_run"],
        "text": ["Line", "lines", "number"],
    },
)
