"""The nets of the benchmarks as one would write them in PyTorch.

Modules with weights are made in the order of the layers in the prototxt, by which `agreement.start_equal` pairs them.
"""
