"""Unpadded tokens per second, model-FLOPs utilisation and peak memory of DNA FM on one device, beside transformers.

Random weights in the shape of DNA FM; `dnafm` is `DNAFMForMaskedLM`, `esmc` transformers' own `EsmcForMaskedLM` of the
same shape, which pads, with its `sdpa` attention. Three modes: a forward pass in bfloat16; a training step of LoRA
adapters (rank 16, queries and values) on bfloat16 weights; a training step of all weights, float32 under autocast with
AdamW, on fewer layers. A batch has about `--tokens` tokens, in sequences of equal length or of 200 to 4,000 mixed.

Utilisation is the model's operations (`dnafm.training.accounting`; a forward pass counts once, LoRA twice, as no
gradient of the frozen weights is needed, full training three times; what checkpointing computes again and padding do
not count) over time and over the rate of large bfloat16 matrix products, measured in the same run. Times are medians,
by CUDA events after warm-up. Kernels that cannot run are listed with the reason.

    python benchmarks/bench_gpu.py                                # DNA FM 7B on a GPU of 80 GB
    python benchmarks/bench_gpu.py --size tiny --device cpu --tokens 1000 --runs 1 --batches 256 mixed     # a trial
"""

import argparse
import datetime
import gc
import json
import re
import statistics
import time
import warnings
from pathlib import Path

import torch
import transformers
from esmc_peer import esmc_config
from peft import LoraConfig, get_peft_model
from transformers import EsmcForMaskedLM

from dnafm import DNAFMConfig, DNAFMForMaskedLM
from dnafm.environment import describe_device
from dnafm.kernels_dnafm import ROPE_IMPLEMENTATIONS, KernelRequest, rope_obstacle, select_attention
from dnafm.training.accounting import device_peak_flops, forward_flops
from dnafm.training.architectures import PRESETS, enable_gradient_checkpointing

SIZES = {"tiny": "tiny", "300m": "300m", "7b": "dnafm"}
PASSES = {"inference": 1, "lora": 2, "full": 3}
ATTENTION = ("flash_attention_2", "sdpa", "flex_attention", "eager")
MIXED_TOKENS = (200, 4000)
DTYPE = torch.bfloat16
MATRIX_SIZE = {"cpu": 1024, "cuda": 8192}
TITLES = ("mode", "batch", "model", "attention, rope", "ms", "tokens/s", "utilisation", "peak GB", "/ esmc")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="7b", help="default: %(default)s")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: %(default)s")
    parser.add_argument("--modes", nargs="+", choices=PASSES, default=list(PASSES), help="default: all")
    parser.add_argument("--batches", nargs="+", default=["512", "1024", "4000", "mixed"], help="lengths, or mixed")
    parser.add_argument("--tokens", type=int, default=16_000, help="of a batch, about (default: %(default)s)")
    parser.add_argument("--attention", nargs="+", choices=ATTENTION, default=["flash_attention_2", "sdpa"])
    parser.add_argument("--rope", nargs="+", choices=ROPE_IMPLEMENTATIONS, default=["eager", "flash_attn", "liger"])
    parser.add_argument("--full_layers", type=int, default=4, help="of the model that is trained whole")
    parser.add_argument("--gradient_checkpointing", action="store_true", help="of both models, in training")
    parser.add_argument(
        "--fp8", action="store_true", help="also inference with torchao's FP8, in the encoder's layers"
    )
    parser.add_argument("--warmup", type=int, default=3, help="passes before the clock starts (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=10, help="timed passes (default: %(default)s)")
    parser.add_argument("--profile", action="store_true", help="also write where the time of the first rows goes")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="folder")
    return parser.parse_args()


def shape_of(arguments, mode):
    config = DNAFMConfig(**PRESETS[SIZES[arguments.size]].fields)
    layers = min(arguments.full_layers, config.num_hidden_layers) if mode == "full" else config.num_hidden_layers
    return {**PRESETS[SIZES[arguments.size]].fields, "num_hidden_layers": layers}


def build_model(name, mode, arguments):
    """A model on the device, with what is to be trained requiring gradients."""
    config, dtype = DNAFMConfig(**shape_of(arguments, mode)), torch.float32 if mode == "full" else DTYPE
    torch.manual_seed(0)
    with torch.device(arguments.device):
        if name == "dnafm":
            model = DNAFMForMaskedLM._from_config(config, dtype=dtype)
        else:
            model = EsmcForMaskedLM._from_config(esmc_config(config), dtype=dtype, attn_implementation="sdpa")
    if mode == "inference":
        return model.eval()
    if arguments.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    if mode == "lora":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft reads a property by its old name
            model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"]))
    return model.train()


def sequence_lengths(kind, n_tokens):
    """Tokens of each sequence: all equal, or drawn until the batch is full."""
    if kind != "mixed":
        return [int(kind)] * max(1, n_tokens // int(kind))
    shortest, longest = MIXED_TOKENS[0], min(MIXED_TOKENS[1], n_tokens // 2)
    generator, lengths = torch.Generator().manual_seed(0), [longest]
    while sum(lengths) < n_tokens:
        lengths.append(int(torch.randint(shortest, longest, (1,), generator=generator)))
    return lengths


def build_batch(lengths, device):
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 9, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    batch = {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def step_of(model, batch, mode):
    """A function that does one pass, or one step of training."""
    if mode == "inference":
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}

        @torch.inference_mode()
        def step():
            model(**inputs)

        return step
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    device = batch["input_ids"].device.type

    def step():
        with torch.autocast(device, DTYPE, enabled=mode == "full"):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def median_seconds(step, arguments):
    """Median time of a step, on the device's own clock."""
    for _ in range(arguments.warmup):
        step()
    return statistics.median(one_time(step, arguments.device) for _ in range(arguments.runs))


def one_time(step, device):
    if device == "cpu":
        start = time.perf_counter()
        step()
        return time.perf_counter() - start
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    torch.cuda.synchronize()
    events[0].record()
    step()
    events[1].record()
    torch.cuda.synchronize()
    return events[0].elapsed_time(events[1]) / 1000


def matrix_rate(arguments):
    """Operations per second of a large product of bfloat16 matrices."""
    size = MATRIX_SIZE[arguments.device]
    first, second = (torch.randn(size, size, device=arguments.device, dtype=DTYPE) for _ in range(2))
    return 2 * size**3 / median_seconds(lambda: first @ second, arguments)


def kernel_pairs(model, arguments):
    """Attention and rotary kernels that run here, one varied at a time, and the reasons of the others."""
    request = KernelRequest.of(next(model.parameters()).to(DTYPE), model.config, training=False)
    attention, reasons = [], []
    for name in arguments.attention:
        try:
            select_attention(name, request)
            attention.append(name)
        except ValueError as error:
            reasons.append(str(error))
    obstacles = {name: rope_obstacle(name, request) for name in arguments.rope if name != "auto"}
    reasons += [f"rope_implementation={name!r} {reason}" for name, reason in obstacles.items() if reason]
    pairs = [(name, "auto") for name in attention]
    return pairs + [(attention[0], name) for name, reason in obstacles.items() if not reason], reasons


def measure(model, mode, kind, arguments, rate):
    """Time and memory of one batch, or that there is not memory enough."""
    lengths = sequence_lengths(kind, arguments.tokens)
    row = {"mode": mode, "batch": f"{len(lengths)} x {kind}", "tokens": sum(lengths)}
    step = step_of(model, build_batch(lengths, arguments.device), mode)
    if arguments.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        seconds = median_seconds(step, arguments)
    except torch.OutOfMemoryError:
        return {**row, "error": "out of memory"}
    flops = PASSES[mode] * forward_flops(DNAFMConfig(**shape_of(arguments, mode)), lengths)
    row |= {"seconds": seconds, "tokens_per_s": sum(lengths) / seconds, "utilisation": flops / seconds / rate}
    if arguments.device == "cuda":
        row["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return row


def rows_of(mode, arguments, rate, reasons):
    """Rows of both models in one mode; a model is gone before the next is built."""
    rows = []
    model = build_model("esmc", mode, arguments)
    for kind in arguments.batches:
        rows.append({**measure(model, mode, kind, arguments, rate), "model": "esmc", "kernels": "sdpa, its own"})
    model = release(model) or build_model("dnafm", mode, arguments)
    config = model.base_model.model.config if mode == "lora" else model.config
    pairs, found = kernel_pairs(model, arguments)
    reasons.update(dict.fromkeys(found))
    for attention, rope in pairs:
        (model.base_model.model if mode == "lora" else model).set_attn_implementation(attention)
        config.rope_implementation = rope
        for kind in arguments.batches:
            row = measure(model, mode, kind, arguments, rate)
            rows.append({**row, "model": "dnafm", "kernels": f"{attention}, {rope}"})
        if arguments.profile and (attention, rope) == pairs[0]:
            profile(model, mode, arguments)
    if arguments.fp8 and mode == "inference":
        rows += fp8_rows(model, arguments, rate, pairs[0])
    release(model)
    peers = {row["batch"]: row.get("tokens_per_s") for row in rows if row["model"] == "esmc"}
    return [{**row, "ratio": ratio(row.get("tokens_per_s"), peers[row["batch"]])} for row in rows]


def ratio(ours, theirs):
    return ours / theirs if ours and theirs else None


def release(model):
    model.to("meta")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def fp8_rows(model, arguments, rate, kernels):
    """Inference with weights and activations of the layers in FP8, and how far the logits move."""
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_

    batch = build_batch(sequence_lengths("mixed", arguments.tokens), arguments.device)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    model.set_attn_implementation(kernels[0])
    model.config.rope_implementation = kernels[1]
    with torch.inference_mode():
        expected = model(**inputs).logits.float()
        quantize_(model.model.layers, Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()))
        error = (model(**inputs).logits.float() - expected).norm() / expected.norm()
    name = {"model": "dnafm, FP8", "kernels": ", ".join(kernels), "relative_logits_error": error.item()}
    return [{**measure(model, "inference", kind, arguments, rate), **name} for kind in arguments.batches]


def profile(model, mode, arguments):
    step = step_of(model, build_batch(sequence_lengths("mixed", arguments.tokens), arguments.device), mode)
    step()
    with torch.profiler.profile() as profiler:
        step()
    key = "self_cuda_time_total" if arguments.device == "cuda" else "self_cpu_time_total"
    text = profiler.key_averages().table(sort_by=key, row_limit=25)
    (arguments.output / f"{file_stem(arguments)}-profile-{mode}.txt").write_text(text)


def file_stem(arguments):
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return f"{datetime.date.today()}-{slug}-{arguments.size}"


def markdown(head, rows, reasons):
    lines = [head, "", "| " + " | ".join(TITLES) + " |", "|---|---|---|---|" + "---:|" * 5]
    for row in rows:
        fields = [row["mode"], row["batch"], row["model"], row["kernels"]]
        if "error" in row:
            lines.append(f"| {' | '.join(fields)} | {row['error']} | | | | |")
            continue
        memory = f"{row['peak_gb']:.1f}" if "peak_gb" in row else ""
        fields += [f"{1000 * row['seconds']:.1f}", f"{row['tokens_per_s']:,.0f}", f"{row['utilisation']:.1%}", memory]
        lines.append(f"| {' | '.join(fields)} | {'' if row['ratio'] is None else format(row['ratio'], '.2f')} |")
    lines += [""] * bool(reasons) + [f"Not run: {reason}" for reason in reasons]
    errors = {row["relative_logits_error"] for row in rows if "relative_logits_error" in row}
    lines += [f"FP8 moves the logits of the mixed batch by {error:.2%}, relative to their norm." for error in errors]
    return "\n".join(lines) + "\n"


def main():
    arguments = parse_arguments()
    if arguments.fp8 and arguments.device != "cuda":
        raise SystemExit("--fp8 needs --device cuda, of compute capability 8.9 or more.")
    arguments.output.mkdir(parents=True, exist_ok=True)
    rate, reasons = matrix_rate(arguments), {}
    stated = device_peak_flops(torch.device(arguments.device))
    head = (
        f"{datetime.date.today()}; {describe_device(arguments.device)}; torch {torch.__version__}, transformers "
        f"{transformers.__version__}; DNA FM {arguments.size}, full training on {arguments.full_layers} layers; "
        f"measured matrix rate {rate / 1e12:.4g} TFLOP/s" + (f" of {stated / 1e12:.4g} stated" if stated else "")
    )
    rows = []
    for mode in arguments.modes:
        rows += rows_of(mode, arguments, rate, reasons)
        # Written after each mode: what was measured stays, whatever happens to the next.
        stem = arguments.output / file_stem(arguments)
        stem.with_suffix(".md").write_text(markdown(head, rows, reasons))
        figures = {"head": head, "matrix_flops": rate, "rows": rows, "not_run": list(reasons)}
        stem.with_suffix(".json").write_text(json.dumps(figures, indent=1))
    print(markdown(head, rows, reasons), end="")


if __name__ == "__main__":
    main()
