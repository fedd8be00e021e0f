"""`dnafm doctor`: what this machine offers, and which kernels would run."""

import argparse
import platform

DESCRIPTION = """\
Show devices, how fast each dtype multiplies matrices on them, installed kernel packages, and which attention and
rotary kernels `auto` chooses for DNA FM 7B, with the reason why no faster one runs.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `dnafm doctor`, which has no options of its own."""
    subparsers.add_parser("doctor", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)


def run(args: argparse.Namespace) -> None:
    """Print what `dnafm.environment` finds."""
    from dnafm import environment
    from dnafm.kernels_dnafm import version_of

    packages = ("dnafm", "torch", "transformers", "tokenizers", "accelerate", "peft")
    print(f"Python {platform.python_version()}; " + ", ".join(version_of(package) for package in packages))
    print("\nKernel packages")
    for package in environment.kernel_packages():
        print(f"  {package.name:28} {package.kernels}: {package.obstacle or 'ready'}")
    for device in environment.devices():
        _print_device(device)


def _print_device(device) -> None:
    from dnafm import environment

    print(f"\n{device.name}: {device.description}")
    for rate, report in zip(device.rates, device.reports, strict=True):
        print(
            f"  {environment.short_name(rate.dtype):9} {1000 * rate.tflops:9.0f} GFLOP/s {rate.speedup:5.2f}x   "
            f"auto: {report.attention.name} attention, {report.rope.name} rotary embedding"
        )
    for line in environment.advice(device):
        print(f"  - {line}")
    for kernel, reasons in _reasons(device).items():
        print(f"  - no {kernel}: {'; '.join(reasons)}")


def _reasons(device) -> dict[str, list[str]]:
    """Kernel: why it was passed over, each reason once, for the dtypes together."""
    reasons: dict[str, list[str]] = {}
    for report in device.reports:
        for kernel, reason in (*report.attention.passed_over, *report.rope.passed_over):
            known = reasons.setdefault(kernel, [])
            if reason not in known:
                known.append(reason)
    return reasons
