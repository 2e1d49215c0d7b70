"""How much memory a command takes at most: `python peak.py COMMAND…` runs it, and writes the MB to stdout.

What a process has taken at most includes, on Linux, what the process it was forked from had taken then: whoever starts
the command should be small, and so is this.
"""

import os
import sys

if __name__ == "__main__":
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execvp(sys.argv[1], sys.argv[1:])
    _, status, usage = os.wait4(child, 0)
    print(usage.ru_maxrss / 1000 if sys.platform == "linux" else usage.ru_maxrss / 1e6)
    sys.exit(os.waitstatus_to_exitcode(status))
