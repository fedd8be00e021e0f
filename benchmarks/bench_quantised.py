"""Memory, accuracy and time of quantized weights, against float32: Markdown tables.

The first table is `dnafm_tiny`: `logits` are the largest and the mean difference from float32 over sequences of
Staphylococcus aureus, `Spearman` the rank correlation of masked log-likelihood ratios of all substitutions at the SNVs
of a strain. The second has the width of DNA FM 7B, two layers and random weights: it tells memory and time, and its
accuracy says nothing of trained weights. Milliseconds are those of the processor, median of the runs, one thread; on a
GPU those of its clock.

    pip install 'dnafm[quantized,genomics,train]'
    python benchmarks/bench_quantised.py
    python benchmarks/bench_quantised.py --device cuda     # with bitsandbytes as well
"""

import argparse
import gc
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torchao
import transformers
from scipy.stats import spearmanr
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, IntxWeightOnlyConfig, PerGroup
from transformers import BitsAndBytesConfig, TorchAoConfig

from dnafm import DNAFMConfig, DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.variant_scores import VariantScorer
from dnafm.checkpoints import backbone_location
from dnafm.environment import describe_device
from dnafm.genomics import ReferenceGenome, Variant, VariantKind, VcfReader

DATA = Path(__file__).parents[1] / "tests" / "genomics" / "fixtures"
# Divides every width of DNA FM 7B and of dnafm_tiny: a matrix of another width would silently stay as it is.
GROUP_SIZE = 64
N_SEQUENCES, SEQUENCE_BP, WINDOW_BP = 8, 254, 256
TITLES = ("weights, MB", "/ float32", "logits, max", "logits, mean", "Spearman", "ms")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--max_variants", type=int, default=100, help="SNVs, with three alleles each")
    parser.add_argument("--runs", type=int, default=5, help="timed forward passes (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=2, help="of DNA FM 7B's width; 0: no second table")
    return parser.parse_args()


def schemes(device):
    """Name of a row, dtype of activations, and how weights are quantized."""
    both = (torch.float32, torch.bfloat16)
    rows = [("unquantized", dtype, None) for dtype in both]
    rows += [("torchao int8", dtype, TorchAoConfig(Int8WeightOnlyConfig())) for dtype in both]
    if device == "cpu":
        packed = PrototypeInt4WeightOnlyConfig(group_size=GROUP_SIZE)
        in_bytes = IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(GROUP_SIZE))
        # The kernel of packed weights is some sixty times as slow in float32.
        rows += [("torchao int4", torch.bfloat16, TorchAoConfig(packed))]
        rows += [("torchao int4, a byte each", dtype, TorchAoConfig(in_bytes)) for dtype in both]
    else:
        tiled = Int4WeightOnlyConfig(group_size=GROUP_SIZE, int4_packing_format="tile_packed_to_4d")
        rows += [("torchao int4", torch.bfloat16, TorchAoConfig(tiled))]
        rows += [("bitsandbytes int8", torch.float16, BitsAndBytesConfig(load_in_8bit=True))]
        nf4 = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16}
        rows += [("bitsandbytes nf4", torch.bfloat16, BitsAndBytesConfig(load_in_4bit=True, **nf4))]
    return rows


def weight_bytes(model):
    """Bytes that the weights take, those inside a quantized tensor included."""
    return sum(tensor_bytes(weight) for weight in model.parameters())


def tensor_bytes(tensor):
    if not is_traceable_wrapper_subclass(tensor):
        return tensor.numel() * tensor.element_size()
    names, _ = tensor.__tensor_flatten__()
    return sum(tensor_bytes(getattr(tensor, name)) for name in names)


def forward_ms(model, input_ids, runs):
    """Median over the runs, after one that does not count."""
    clock = time.process_time if input_ids.device.type == "cpu" else time.perf_counter
    times = []
    for _ in range(runs + 1):
        start = clock()
        model(input_ids)
        if input_ids.device.type != "cpu":
            torch.accelerator.synchronize()
        times.append(1000 * (clock() - start))
    return statistics.median(times[1:])


def substitutions(max_variants):
    """All three alternatives at the SNVs of the strain RN4220."""
    with VcfReader(DATA / "rn4220.vcf.gz") as reader:
        snvs = [variant for variant in reader if variant.kinds == (VariantKind.SNV,)][:max_variants]
    return [
        Variant(snv.contig, snv.start_bp, snv.reference_allele, tuple("ACGT".replace(snv.reference_allele, "")))
        for snv in snvs
    ]


def variant_scores(model, tokenizer, genome, variants):
    scorer = VariantScorer(BasePredictor(model, tokenizer), genome, scores=["masked_llr"], window_bp=WINDOW_BP)
    return [allele.scores["masked_llr"] for scored in scorer.score(variants) for allele in scored.alleles]


def measure(location, arguments, input_ids, scores_of=None):
    """One row for each scheme; the first is float32, which the others are compared with."""
    rows, reference = [], {}
    for name, dtype, quantization in schemes(arguments.device):
        model = DNAFMForMaskedLM.from_pretrained(
            location, dtype=dtype, quantization_config=quantization, device_map=arguments.device
        )
        with torch.inference_mode():
            logits = model(input_ids).logits.float()
            row = {"name": f"{name}, {str(dtype).removeprefix('torch.')}", "bytes": weight_bytes(model)}
            row["ms"] = forward_ms(model, input_ids, arguments.runs)
            row["scores"] = scores_of(model) if scores_of else None
        reference = reference or {"logits": logits, **row}
        difference = (logits - reference["logits"]).abs()
        row |= {"max": difference.max().item(), "mean": difference.mean().item()}
        row["share"] = row["bytes"] / reference["bytes"]
        row["spearman"] = spearmanr(row["scores"], reference["scores"]).statistic if scores_of else None
        rows.append(row)
        del model
        gc.collect()
    return rows


def table(rows):
    lines = ["| | " + " | ".join(TITLES) + " |", "|---|" + "---:|" * len(TITLES)]
    for row in rows:
        spearman = "" if row["spearman"] is None else f"{row['spearman']:.4f}"
        lines.append(
            f"| {row['name']} | {row['bytes'] / 1e6:.2f} | {row['share']:.2f} | {row['max']:.4f} | "
            f"{row['mean']:.4f} | {spearman} | {row['ms']:.0f} |"
        )
    return "\n".join(lines)


def tiny_rows(arguments):
    location = backbone_location("dnafm_tiny")
    tokenizer = DNAFMTokenizer.from_pretrained(location)
    genome = ReferenceGenome(DATA / "nctc8325.fa.gz")
    variants = substitutions(arguments.max_variants)
    starts = [variant.start_bp - SEQUENCE_BP // 2 for variant in variants[:N_SEQUENCES]]
    sequences = [genome.fetch_bases(variants[0].contig, start, start + SEQUENCE_BP) for start in starts]
    input_ids = tokenizer(sequences, return_tensors="pt")["input_ids"].to(arguments.device)
    return measure(location, arguments, input_ids, lambda model: variant_scores(model, tokenizer, genome, variants))


def wide_rows(arguments):
    torch.manual_seed(0)
    input_ids = torch.randint(5, 9, (1, SEQUENCE_BP + 2)).to(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        config = DNAFMConfig(num_hidden_layers=arguments.layers)
        DNAFMForMaskedLM._from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
        return measure(folder, arguments, input_ids)


def main():
    arguments = parse_arguments()
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    print(
        f"{describe_device(arguments.device)}; torch {torch.__version__}, transformers {transformers.__version__}, "
        f"torchao {torchao.__version__}; groups of {GROUP_SIZE} for int4\n"
    )
    print(f"dnafm_tiny, {N_SEQUENCES} sequences of {SEQUENCE_BP} bases; {3 * arguments.max_variants} alleles\n")
    print(table(tiny_rows(arguments)), flush=True)
    if arguments.layers:
        print(f"\nDNA FM 7B's width, {arguments.layers} layers, random weights, one sequence\n")
        print(table(wide_rows(arguments)))


if __name__ == "__main__":
    main()
