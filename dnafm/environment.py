"""What this machine offers: devices, how fast each dtype is on them, kernels, and what `auto` would choose."""

import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from .configuration_dnafm import DNAFMConfig
from .kernels_dnafm import (
    FLASH_DTYPES,
    KernelReport,
    KernelRequest,
    import_error_of,
    kernel_loaders,
    report_kernels,
    version_of,
)

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Large enough to keep a processor busy, small enough that the slowest dtype takes well under a second.
MATRIX_SIZE = {"cpu": 512, "other": 4096}


@dataclass(frozen=True)
class MatrixRate:
    """How fast a dtype multiplies matrices here.

    Attributes:
        dtype: The dtype.
        tflops: Measured rate in 10^12 floating-point operations per second, median of five runs.
        speedup: The rate divided by that of float32.
    """

    dtype: torch.dtype
    tflops: float
    speedup: float


@dataclass(frozen=True)
class Device:
    """A device, its dtypes and its kernels.

    Attributes:
        name: `"cpu"` or the accelerator, such as `"cuda"`.
        description: What the hardware calls itself.
        rates: Measured rates, one for each of float32, bfloat16 and float16.
        reports: The kernels that `auto` chooses for DNA FM 7B, one for each of the same dtypes.
    """

    name: str
    description: str
    rates: tuple[MatrixRate, ...]
    reports: tuple[KernelReport, ...]


@dataclass(frozen=True)
class KernelPackage:
    """A package that brings faster kernels.

    Attributes:
        name: Name and version of the package.
        kernels: What it is used for.
        obstacle: Why it cannot be used, with the command that installs it; `None` if it imports.
    """

    name: str
    kernels: str
    obstacle: str | None


def devices() -> list[Device]:
    """The processor, and the accelerator where there is one."""
    names = ["cpu"]
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None:
        names.append(accelerator.type)
    return [
        Device(name, describe_device(name), matrix_rates(name), tuple(automatic_kernels(name, d) for d in DTYPES))
        for name in names
    ]


def kernel_packages() -> list[KernelPackage]:
    """Packages with attention and rotary kernels, installed or not."""
    return [
        KernelPackage(version_of(package), kernels, import_error_of(load, extra))
        for package, kernels, load, extra in kernel_loaders()
    ]


def automatic_kernels(device: str, dtype: torch.dtype) -> KernelReport:
    """What `auto` chooses for DNA FM 7B on a device in a dtype."""
    config = DNAFMConfig()
    capability = torch.cuda.get_device_capability() if device == "cuda" else None
    request = KernelRequest(device, capability, dtype, config.head_dim, config.rotary_dim)
    return report_kernels("auto", "auto", request)


def is_bf16_fast(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def matrix_rates(device: str) -> tuple[MatrixRate, ...]:
    """Measure the matrix multiplication of a device in each dtype."""
    size = MATRIX_SIZE["cpu" if device == "cpu" else "other"]
    rates = [measured_matmul_flops(torch.device(device), dtype, size=size, rounds=5) / 1e12 for dtype in DTYPES]
    return tuple(MatrixRate(dtype, rate, rate / rates[0]) for dtype, rate in zip(DTYPES, rates, strict=True))


def measured_matmul_flops(
    device: torch.device, dtype: torch.dtype, *, size: int | None = None, rounds: int = 7
) -> float:
    """Multiply square matrices and return the operations per second of the median round.

    Args:
        device: where.
        dtype: of the matrices.
        size: rows and columns; by default 1,024 on a processor, and 8,192 elsewhere, where it takes longer to start a
            smaller product than to compute it.
        rounds: how many are timed, after one that is not.
    """
    size = size or (1024 if device.type == "cpu" else 8192)
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        matrix @ matrix
        if device.type != "cpu":
            torch.accelerator.synchronize()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds[1:])


def describe_device(device: str) -> str:
    """What the hardware calls itself, with its memory or its threads."""
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, {torch.cuda.device_count()} device(s)"
    if device != "cpu":
        return device
    return f"{_processor_name()}, {torch.get_num_threads()} threads"


def advice(device: Device) -> list[str]:
    """What to do, or not to do, on this device."""
    rates = {rate.dtype: rate for rate in device.rates}
    lines = []
    if rates[torch.bfloat16].speedup >= 1.5:
        lines.append(f"load with dtype=torch.bfloat16: {rates[torch.bfloat16].speedup:.1f} times float32 here")
    else:
        lines.append("stay in float32: bfloat16 is not faster here")
    if device.name == "cpu" and rates[torch.float16].speedup < 1.5:
        lines.append("keep off float16: it is no faster than float32 here, and its range is small")
    if device.name == "cuda" and not any(r.attention.name == "flash_attention_2" for r in device.reports):
        lines.append(f"FlashAttention-2 does not run in any of {', '.join(map(short_name, FLASH_DTYPES))}")
    return lines


def short_name(dtype: torch.dtype) -> str:
    """`float32` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
