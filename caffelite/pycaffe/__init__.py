"""The API of the original's Python module (`python/caffe/pycaffe.py`), for scripts that exist.

Process-global mode, device and seed live here and nowhere else.
"""
