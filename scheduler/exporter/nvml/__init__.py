"""NVIDIA's driver, through the module `pynvml` of the package nvidia-ml-py."""
