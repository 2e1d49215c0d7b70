"""`python -m benchmarks`: everything `make bench` measures."""

from . import lenet, lrn, memory_format, recurrent, startup

if __name__ == "__main__":
    lenet.main()
    memory_format.main()
    lrn.main()
    recurrent.main()
    startup.main()
