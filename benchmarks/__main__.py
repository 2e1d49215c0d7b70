"""`python -m benchmarks`: everything `make bench` measures."""

from . import lenet, memory_format

if __name__ == "__main__":
    lenet.main()
    memory_format.main()
