"""Scratch memory of matrix products, which torch takes from its own allocator where the tensors lie."""

from __future__ import annotations


def workspace_bytes(capability: tuple[int, int]) -> int:
    """Bytes that torch takes for cuBLAS, in one piece, on a card of compute ``capability`` (major, minor).

    ``parseChosenWorkspaceSize`` in `aten/src/ATen/cuda/CublasHandlePool.cpp
    <https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/cuda/CublasHandlePool.cpp>`_: two buffers of 4096 KiB
    and eight of 16 KiB, or 32 MiB from compute capability 9.0 on. cublasLt works in the same bytes
    (``unified_cublas_and_lt_workspaces``).

    In torch 2.11 to 2.13 one piece is taken at the first matrix product of every handle and kept for good
    (``setWorkspaceForHandle``), and every thread has a handle of its own. The backward pass runs on a thread of
    autograd's, so training holds **two**, one from the first product of the forward pass and one from the first of the
    backward pass; inference holds one. Torch 2.15 takes a piece for each product and gives it back
    (``isCUDABlasWorkspaceCachingEnabled``).

    >>> workspace_bytes((7, 5)), workspace_bytes((9, 0))
    (8519680, 33554432)
    """
    return 32 << 20 if capability >= (9, 0) else 2 * (4096 << 10) + 8 * (16 << 10)
