"""Compiles every Triton kernel for an H100, for which no GPU is needed, and prints the sizes of the binaries.

A script of its own: where TRITON_INTERPRET is set, as in the tests, kernels are not compiled.
"""
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from simipu.ops import _batch_norm_triton as batch_norm
from simipu.ops import _triton_kernels as kernels

ROWS = 'num_rows=i32 num_channels=i32'
STATISTICS = 'mean=*fp32 inverse=*fp32 scale=*fp32 shift=*fp32'
BLOCK = dict(ROWS=64, CHANNELS=64, PRECISION=tl.float32)
CASES = [
    (batch_norm._weighted_sums_kernel, f'rows=*bf16 weights=*fp32 mean=*fp32 partial=*fp32 {ROWS} rows_per_part=i32',
     dict(CENTRED=True, **BLOCK), batch_norm.NUM_WARPS),
    (batch_norm._normalize_relu_kernel, f'rows=*bf16 {STATISTICS} result=*bf16 {ROWS}', BLOCK, batch_norm.NUM_WARPS),
    (batch_norm._gradient_sums_kernel,
     f'rows=*bf16 grad=*bf16 {STATISTICS} partial=*fp32 {ROWS} rows_per_part=i32', BLOCK,
     batch_norm.NUM_WARPS),
    (batch_norm._gradient_kernel, f'rows=*bf16 grad=*bf16 weights=*fp32 {STATISTICS} mean_grad=*fp32 '
     f'mean_grad_standard=*fp32 result=*bf16 {ROWS}', BLOCK, batch_norm.NUM_WARPS),
    (kernels._sample_points_kernel, 'points=*fp32 taken=*i64 num_rows=i32 num_taken=i32', dict(BLOCK=16384), 32),
    (kernels._sample_by_distances_kernel, 'distances=*fp32 taken=*i64 num_rows=i32 num_taken=i32',
     dict(BLOCK=4096), 8),
    (kernels._ball_query_kernel, 'points=*fp32 centers=*fp32 rows=*i64 num_points=i32 num_centers=i32 num_columns=i32 '
     'low_0=fp32 high_0=fp32 k_0=i32 low_1=fp32 high_1=fp32 k_1=i32 low_2=fp32 high_2=fp32 k_2=i32 highest=fp32',
     dict(BLOCK=kernels.BLOCK_POINTS), 1),
    (kernels._gather_max_kernel, 'features=*bf16 rows=*i64 pooled=*bf16 winners=*i32 num_groups=i32 num_samples=i32 '
     'num_channels=i32', dict(GROUPS=kernels.BLOCK_GROUPS, CHANNELS=64, PRECISION=tl.float32), 4),
]


for kernel, types, constants, num_warps in CASES:
    signature = dict(pair.split('=') for pair in types.split()) | dict.fromkeys(constants, 'constexpr')
    values = {(kernel.arg_names.index(name), ): value for name, value in constants.items()}
    source = ASTSource(kernel, signature, values)
    compiled = triton.compile(source, target=GPUTarget('cuda', 90, 32),
                              options=dict(num_warps=num_warps, enable_fp_fusion=False))
    print(kernel.__name__, len(compiled.asm['cubin']))
