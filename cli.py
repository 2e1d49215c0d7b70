"""Runs the command line from a checkout: `python cli.py train --solver solver.prototxt`."""

from caffelite.commands import main

if __name__ == "__main__":
    main()
