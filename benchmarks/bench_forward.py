"""Tokens per second and peak memory of DNAFMModel against transformers' own EsmcModel of the same shape and dtype.

Tokens are those of the sequences; padding does not count. Both models run in turn in one process, so that a machine
that slows down slows both. On a CPU the seconds are those of the processor and not of the clock on the wall, which
other programs would spoil; with one thread they are the same on an idle machine. Peak memory is that of a process of
its own for each model.

    python benchmarks/bench_forward.py                       # a small model, for CPUs
    python benchmarks/bench_forward.py --hidden 4352 --layers 32 --heads 32 --intermediate 11584   # 7B, for GPUs
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import torch
import transformers
from esmc_peer import esmc_config
from transformers import EsmcModel

from dnafm import DNAFMConfig, DNAFMModel

EQUAL_LENGTH_BASES = 1000
MIXED_LENGTHS_BASES = (200, 4000)
MODELS = ("dnafm", "esmc")
# What can be timed: whether lengths are mixed, and whether a backward pass follows.
CASES = {
    "equal, forward": (False, False),
    "equal, forward + backward": (False, True),
    "mixed, forward": (True, False),
    "mixed, forward + backward": (True, True),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--intermediate", type=int, default=704)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8, help="sequences in a batch")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each model and case; the median is printed")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="on a CPU; default: %(default)s")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--measure_memory", nargs=2, metavar=("MODEL", "CASE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def build_model(name, arguments):
    shape = {
        "vocab_size": 16,
        "hidden_size": arguments.hidden,
        "intermediate_size": arguments.intermediate,
        "num_hidden_layers": arguments.layers,
        "num_attention_heads": arguments.heads,
        "max_position_embeddings": 4002,
    }
    config = DNAFMConfig(**shape)
    torch.manual_seed(0)
    model = DNAFMModel(config) if name == "dnafm" else EsmcModel(esmc_config(config))
    return model.to(arguments.device, getattr(torch, arguments.dtype))


def build_batch(mixed, arguments):
    generator = torch.Generator().manual_seed(0)
    if mixed:
        lengths = torch.randint(*MIXED_LENGTHS_BASES, (arguments.batch,), generator=generator) + 2
        lengths[0] = MIXED_LENGTHS_BASES[1] + 2
    else:
        lengths = torch.full((arguments.batch,), EQUAL_LENGTH_BASES + 2)
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    ids = torch.randint(5, 9, mask.shape, generator=generator) * mask
    return {"input_ids": ids.to(arguments.device), "attention_mask": mask.to(arguments.device)}


def run_once(model, batch, backward):
    if not backward:
        with torch.no_grad():
            model(**batch)
    else:
        hidden_states = model(**batch).last_hidden_state
        (hidden_states * batch["attention_mask"][..., None]).float().square().mean().backward()
        model.zero_grad()
    if batch["input_ids"].device.type == "cuda":
        torch.cuda.synchronize()


def time_case(models, batch, backward, runs):
    """Median seconds of each model; they run in turn."""
    clock = time.process_time if batch["input_ids"].device.type == "cpu" else time.perf_counter
    seconds = {name: [] for name in models}
    for name in models:
        run_once(models[name], batch, backward)
    for _ in range(runs):
        for name in models:
            start = clock()
            run_once(models[name], batch, backward)
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_memory_mib(arguments):
    """Memory that one pass adds at its peak to that of the loaded model; runs in a process of its own."""
    name, case = arguments.measure_memory
    mixed, backward = CASES[case]
    model, batch = build_model(name, arguments), build_batch(mixed, arguments)
    if arguments.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run_once(model, batch, backward)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    warm_up = {name: rows[:1, :8] for name, rows in batch.items()}
    run_once(model, warm_up, backward)
    before = reset_peak_of_process()
    run_once(model, batch, backward)
    return (peak_of_process() - before) / 2**10


def reset_peak_of_process():
    """Make the kernel forget the peak so far, and return the present resident memory in KiB (Linux only)."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return peak_of_process()


def peak_of_process():
    """Peak resident memory in KiB since the last reset."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def peak_memory_in_subprocess(name, case):
    command = [sys.executable, *sys.argv, "--measure_memory", name, case]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def describe_machine(arguments):
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            processor = next(
                (line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor
            )
    device = (
        torch.cuda.get_device_name() if arguments.device == "cuda" else f"{processor}, {arguments.threads} threads"
    )
    return f"{device}; torch {torch.__version__}, transformers {transformers.__version__}, {arguments.dtype}"


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.measure_memory:
        print(peak_memory_mib(arguments))
        return
    models = {name: build_model(name, arguments) for name in MODELS}
    parameters = sum(parameter.numel() for parameter in models["dnafm"].parameters())
    print(f"{describe_machine(arguments)}; {parameters / 1e6:.1f} M parameters, {arguments.batch} sequences")
    print(models["dnafm"].kernel_report())
    titles = ("tokens", "padded", "dnafm tok/s", "esmc tok/s", "ratio", "dnafm MiB", "esmc MiB")
    print(f"{'case':26}" + "".join(f"{title:>12}" for title in titles))
    rows = []
    for case in arguments.cases:
        mixed, backward = CASES[case]
        batch = build_batch(mixed, arguments)
        tokens, padded = int(batch["attention_mask"].sum()), batch["attention_mask"].numel()
        seconds = time_case(models, batch, backward, arguments.runs)
        memory = {name: peak_memory_in_subprocess(name, case) for name in MODELS}
        rows.append({"case": case, "tokens": tokens, "padded": padded, "seconds": seconds, "memory_mib": memory})
        rates = (tokens / seconds["dnafm"], tokens / seconds["esmc"])
        print(
            f"{case:26}{tokens:12}{padded:12}{rates[0]:12.0f}{rates[1]:12.0f}{rates[0] / rates[1]:12.2f}"
            f"{memory['dnafm']:12.0f}{memory['esmc']:12.0f}",
            flush=True,
        )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"machine": describe_machine(arguments), "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
