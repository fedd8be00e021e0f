"""Time and peak memory of loading a checkpoint of real size against reading its files raw, and of one forward pass.

A checkpoint with random weights is made on disk, one shard in memory at a time, and removed at the end, also on
Ctrl-C. Each row runs in a process of its own, with the libraries imported before the clock starts. Before each the
kernel is told to forget the pages of the files (`posix_fadvise`), so that both sides read from the disk, unless
`--warm` is given.

Weights that are loaded in the dtype of the files are the pages of the files themselves, mapped into memory, and a page
is read when it is first looked at. So the clock runs on until every page of every weight has been looked at, and
memory is told twice: `resident` counts those pages, and `own` does not (anonymous and shared memory, which cannot be
dropped; sampled every 5 ms). Both are peaks over the process as it was before loading, in multiples of the weights in
their final dtype.

    python benchmarks/bench_load.py --size 300m
    python benchmarks/bench_load.py --size 7b          # 15 GB on disk, 29 GB with --source_dtype float32
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from tqdm import tqdm

from dnafm import DNAFMConfig, DNAFMForMaskedLM
from dnafm.environment import describe_device
from dnafm.training.accounting import n_parameters
from dnafm.training.architectures import PRESETS

SIZES = {"tiny": PRESETS["tiny"].fields, "300m": PRESETS["300m"].fields, "7b": PRESETS["dnafm"].fields}
CASES = {
    "raw": "read raw",
    "load": "from_pretrained",
    "offload": 'device_map="auto", 40 % in memory',
    "forward": "load and run 4,000 bases",
}
SHARD_BYTES = {"tiny": 10**6, "300m": 10**8, "7b": 10**9}
TARGET_DTYPE = torch.bfloat16
FORWARD_BASES = 4000
SAMPLE_S = 0.005
READ_BYTES = 2**24


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="300m", help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where the checkpoint is made; default: the system's own for such")
    parser.add_argument("--source_dtype", choices=("bfloat16", "float32"), default="bfloat16", help="of the files")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    parser.add_argument("--rounds", type=int, default=1, help="the fastest counts (default: %(default)s)")
    parser.add_argument("--warm", action="store_true", help="leave the files in the page cache")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def make_checkpoint(folder, size, dtype):
    """Write random weights shard by shard, with config and index."""
    config = DNAFMConfig(**SIZES[size], dtype=dtype)
    with torch.device("meta"):
        model = DNAFMForMaskedLM(config)
    tied = set(model.all_tied_weights_keys)
    shapes = {name: weight.shape for name, weight in model.state_dict().items() if name not in tied}
    shards, room = [], 0
    for name, shape in shapes.items():
        n_bytes = shape.numel() * dtype.itemsize
        if not shards or n_bytes > room:
            shards.append([])
            room = SHARD_BYTES[size]
        shards[-1].append(name)
        room -= n_bytes
    places = {}
    generator = torch.Generator().manual_seed(0)
    for number, names in enumerate(tqdm(shards, desc="writing shards", disable=None), start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file({name: random_weight(name, shapes[name], dtype, generator) for name in names}, folder / file)
        with open(folder / file, "rb") as written:
            os.fsync(written.fileno())  # pages that are not on the disk yet cannot be dropped
        places |= dict.fromkeys(names, file)
    config.save_pretrained(folder)
    total = sum(shape.numel() for shape in shapes.values())
    index = {"metadata": {"total_size": total * dtype.itemsize}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def check_room(folder, arguments):
    """Raise unless the disk has room for the checkpoint, and for what is offloaded in another dtype."""
    n_weights = n_parameters(DNAFMConfig(**SIZES[arguments.size]))
    needed = n_weights * (getattr(torch, arguments.source_dtype).itemsize + TARGET_DTYPE.itemsize)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(f"{folder} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are needed: try --folder.")


def random_weight(name, shape, dtype, generator):
    if len(shape) == 1:
        return torch.ones(shape, dtype=dtype) if name.endswith("norm.weight") else torch.zeros(shape, dtype=dtype)
    return torch.empty(shape, dtype=dtype).normal_(std=0.02, generator=generator)


def run_child(case, folder):
    """Do one thing, and tell the parent when it began and what it took."""
    if case == "raw":
        start = begin()
        read_raw(folder)
        return {"seconds": time.monotonic() - start}
    transformers.logging.disable_progress_bar()
    options = {}
    if case == "offload":
        options = {"device_map": "auto", "max_memory": memory_limits(folder), "offload_folder": folder / "offload"}
    start = begin()
    model = DNAFMForMaskedLM.from_pretrained(folder, dtype=TARGET_DTYPE, **options)
    returned = time.monotonic() - start
    touch(model)
    figures = {"seconds": time.monotonic() - start, "returned_s": returned}
    if case == "forward":
        figures["forward_s"] = forward_seconds(model)
    return figures


def begin():
    """Forget the peak so far, and say that the work begins."""
    Path("/proc/self/clear_refs").write_text("5")
    print("begin", flush=True)
    return time.monotonic()


def read_raw(folder):
    buffer = bytearray(READ_BYTES)
    for file in sorted(folder.glob("*.safetensors")):
        with open(file, "rb", buffering=0) as raw:
            while raw.readinto(buffer):
                pass


def memory_limits(folder):
    total = json.loads((folder / "model.safetensors.index.json").read_text())["metadata"]["total_size"]
    source = DNAFMConfig.from_pretrained(folder).dtype
    return {"cpu": int(0.4 * total * TARGET_DTYPE.itemsize / source.itemsize), "disk": total}


def touch(model):
    """Look at one number in each page of each weight that is in memory."""
    step = os.sysconf("SC_PAGE_SIZE") // TARGET_DTYPE.itemsize
    for weight in model.parameters():
        if weight.device.type != "meta":
            weight.detach().reshape(-1)[::step].sum()


def forward_seconds(model):
    input_ids = torch.randint(5, 9, (1, FORWARD_BASES + 2), generator=torch.Generator().manual_seed(0))
    start = time.monotonic()
    with torch.inference_mode():
        logits = model(input_ids).logits
    seconds = time.monotonic() - start
    if not torch.isfinite(logits).all():
        raise ValueError("The logits are not finite.")
    return seconds


def measure(arguments, case, folder):
    """Run a case in a process of its own, and sample its memory from outside."""
    if not arguments.warm:
        drop_pages(folder)
    command = [sys.executable, __file__, "--child", case, "--folder", str(folder), "--threads", str(arguments.threads)]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as child,
    ):
        try:
            return sampled(child)
        except EOFError:
            errors.seek(0)
            raise SystemExit(f"{CASES[case]}: the process ended with {child.wait()}\n{errors.read()}") from None


def sampled(child):
    """The figures of a process, and by how much its memory rose at most since it said that it begins."""
    if child.stdout.readline() != "begin\n":
        raise EOFError
    before = peak = memory_of(child.pid)
    os.set_blocking(child.stdout.fileno(), False)
    while not (answer := child.stdout.readline()):
        if child.poll() is not None:
            raise EOFError
        now = memory_of(child.pid)
        peak = {name: max(peak[name], now[name]) for name in peak}
        time.sleep(SAMPLE_S)
    return {**json.loads(answer), **{name: peak[name] - before[name] for name in peak}, "total": peak["resident"]}


def memory_of(pid):
    """Bytes: what the process owns now, and its highest resident size since `begin` (Linux only)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
    return {"own": 1024 * (kib["RssAnon"] + kib["RssShmem"]), "resident": 1024 * kib["VmHWM"]}


def drop_pages(folder):
    for file in folder.rglob("*"):
        if file.is_file():
            with open(file, "rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def report(arguments, n_weights, rows):
    weights = n_weights * TARGET_DTYPE.itemsize
    state = "in the page cache" if arguments.warm else "not in the page cache"
    lines = [
        f"{describe_device('cpu')}; torch {torch.__version__}, transformers {transformers.__version__}; files in "
        f"{arguments.source_dtype}, {state}; {n_weights:,} weights, {weights / 1e9:.2f} GB in bfloat16",
        "",
        "| | seconds | / raw | peak own / weights | peak resident / weights | peak resident of the process, GB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for case, row in rows.items():
        ratio = f"{row['seconds'] / rows['raw']['seconds']:.2f}" if "raw" in rows else ""
        lines.append(
            f"| {CASES[case]} | {row['seconds']:.2f} | {ratio} | {row['own'] / weights:.3f} | "
            f"{row['resident'] / weights:.3f} | {row['total'] / 1e9:.2f} |"
        )
    if "load" in rows:
        lines += [
            "",
            f"from_pretrained returned after {rows['load']['returned_s']:.2f} s, before pages were looked at.",
        ]
    if "forward" in rows:
        lines += ["", f"The forward pass over {FORWARD_BASES:,} bases took {rows['forward']['forward_s']:.2f} s."]
    return "\n".join(lines)


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the checkpoint is removed then, too
    if arguments.child:
        print(json.dumps(run_child(arguments.child, arguments.folder)), flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="bench_load_", dir=arguments.folder) as name:
        folder = Path(name)
        check_room(folder, arguments)
        n_weights = make_checkpoint(folder, arguments.size, getattr(torch, arguments.source_dtype))
        rows = {}
        for case in arguments.cases:
            rounds = [measure(arguments, case, folder) for _ in range(arguments.rounds)]
            rows[case] = min(rounds, key=lambda row: row["seconds"])
    print(report(arguments, n_weights, rows))
    if arguments.json:
        arguments.json.write_text(json.dumps({"weights": n_weights, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
