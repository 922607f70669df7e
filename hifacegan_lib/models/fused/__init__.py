"""Suppression in fused forms: strips on the CPU, Triton kernels on CUDA."""
