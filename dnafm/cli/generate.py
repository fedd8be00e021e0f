"""`dnafm generate`: sequences that a model designs, towards a guide and within constraints."""

import argparse
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accelerate import PartialState  # type: ignore[import-untyped]

    from dnafm.analysis.generation_guides import Guidance
    from dnafm.analysis.generation_results import GeneratedSequence

DESCRIPTION = """\
Design DNA by masked diffusion: the places to fill start masked and are filled in rounds, drawing from what the model
predicts of A, C, G and T. All else is kept exactly.

  dnafm generate --length 200 -n 10 -o designs.fa
  dnafm generate "TATAAT??????????[MASK]ATG" -n 5 --unique -o designs.fa --gc 0.4 0.6 --forbid GAATTC GGTCTC
  dnafm generate templates.fa -o designs.fa --table designs.tsv --max_homopolymer 5
  dnafm generate --fasta genome.fa --region chr1:1001-1060 -o designs.fa --flank 500
  dnafm generate --length 60 -n 100 -o designs.fa --guide runs/splice --target donor --strength 2 \\
      --refinement_rounds 10 --plot course.png

With a guide, a fine-tuned SequenceClassification or SequenceRegression, each round of unmasking weighs some
candidates by exp(strength x value), and refinement goes on by Metropolis-Hastings steps of one base. The value is the
log-probability of a class in nats, or a number in the unit of its data; the guide reads the written sequence alone.

A backbone that was trained under conditions, as a class or an expression level, designs for one by itself:

  dnafm fit --model Diffusion --model.condition value --data.path promoters.csv --data.label_column expression \\
      --trainer.output_dir runs/promoters
  dnafm generate --length 80 -n 20 -o designs.fa --backbone runs/promoters --condition 12.5 --guidance_scale 1

Constraints hold for each sequence that is written, its fixed bases included. A sample for which they cannot be met
within --max_tries is left out of the FASTA file, and the table says why. Equal seeds give equal sequences.

A run that was interrupted goes on when it is started again with the same options; until the end its results are in
OUTPUT.parts. Several processes share the work:

  torchrun --nproc_per_node 8 --module dnafm generate --length 200 -n 10000 --unique -o designs.fa --backbone dnafm"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm generate`."""
    from dnafm.cli.generation_options import add_generation_options

    parser = subparsers.add_parser(
        "generate", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_generation_options(parser)


def run(args: argparse.Namespace) -> None:
    """Generate as the arguments say."""
    from dnafm.analysis.chunked_runs import process_state
    from dnafm.cli.console import distributed_run
    from dnafm.cli.generation_options import check_generation_options
    from dnafm.training.progress import quiet_transformers

    check_generation_options(args)
    with distributed_run(), quiet_transformers(keep_warnings=True):
        _generate(args, process_state())


def _generate(args: argparse.Namespace, state: "PartialState") -> None:
    from tqdm import tqdm

    from dnafm.analysis.generation import n_passes
    from dnafm.analysis.generation_runs import GenerationRun
    from dnafm.analysis.generation_samples import Designer
    from dnafm.analysis.regions import longest_window_bp
    from dnafm.cli.generation_inputs import constraints_of, sampling_of, templates_of
    from dnafm.cli.scored_models import conditioned, load_predictor

    sampling, constraints = sampling_of(args), constraints_of(args)
    predictor = conditioned(load_predictor(args, state.device), args)
    templates = list(templates_of(args, longest_bp=longest_window_bp(predictor.tokenizer)))
    guidance = _guidance(args, state.device)
    options: dict[str, Any] = {"n_samples": args.n, "sampling": sampling, "has_likelihood": not args.no_likelihood}
    total = n_passes(templates, is_guided=guidance is not None, **options)
    # Silent where stderr is no terminal.
    is_silent = None if state.is_main_process else True
    with tqdm(desc="generating", unit=" passes", total=total, disable=is_silent, leave=False) as bar:
        designer = Designer(
            predictor,
            guidance=guidance,
            constraints=constraints,
            unique=args.unique,
            max_tries=args.max_tries,
            on_progress=bar.update,
            **options,
        )
        run = GenerationRun(
            designer,
            templates,
            output=args.output or args.table,
            settings=_identities(args),
            overwrite=args.overwrite,
            state=state,
        )
        n_resumed = run.finish()
    if run.is_main_process:
        _print_summary(args, _write(args, run.results()), n_resumed)
    run.remove()


def _identities(args: argparse.Namespace) -> dict[str, Any]:
    """Return what tells the model, its condition and the guide from others."""
    from dnafm.cli.scored_models import model_identity

    identity = model_identity(backbone=args.backbone, model=args.guide, dtype=args.dtype)
    own = {name: getattr(args, name) for name in ("condition", "guidance_scale", "target")}
    return {**own, "guide": identity.pop("model"), **identity}


def _guidance(args: argparse.Namespace, device: Any) -> "Guidance | None":
    from dnafm.analysis.generation_guides import Guidance, OutputGuide
    from dnafm.analysis.regions import longest_window_bp
    from dnafm.cli.scored_models import load_output

    if args.guide is None:
        return None
    problem = _problem_of(args.guide)
    # What it reads is checked for each template.
    own = argparse.Namespace(model=args.guide, dtype=args.dtype, strand=args.strand, batch=args.batch, window=1)
    output, reader = load_output(own, device)
    link: Any = {"regression": "number", "multi_label_classification": "label"}.get(problem, "class")
    target = args.target
    if target is None and len(output.names) == 1:
        target = output.names[0]
    if target not in output.names:
        given = "is missing" if target is None else f"is {target!r}"
        raise ValueError(f"--target {given}; {args.guide} has {', '.join(output.names)}. Name one of them.")
    guide = OutputGuide(output, target, link, longest_window_bp(reader.tokenizer))
    return Guidance(guide, args.strength, args.candidates)


def _problem_of(guide: str) -> str:
    """Return the kind of problem that a checkpoint solves, empty where it does not say.

    Raises:
        ValueError: it is no DNA FM, and its tokens mean something else.
    """
    from transformers import PreTrainedConfig

    from dnafm.checkpoints import backbone_location
    from dnafm.configuration_dnafm import RELEASED_MODEL_TYPE, DNAFMConfig

    fields, _ = PreTrainedConfig.get_config_dict(backbone_location(guide))
    if (found := fields.get("model_type")) not in (DNAFMConfig.model_type, RELEASED_MODEL_TYPE):
        raise ValueError(f"--guide {guide} is a model of type {found!r}, with other tokens; it must be a DNA FM.")
    return fields.get("problem_type") or ""


def _write(args: argparse.Namespace, chunks: "Iterable[list[GeneratedSequence]]") -> Counter[str | None]:
    """Write what was kept, and return the number of samples by reason of failure, None for those with a sequence."""
    from dnafm.analysis.generation_results import generation_schema, generation_table
    from dnafm.data.prediction_tables import PredictionWriter
    from dnafm.genomics.files import written_file
    from dnafm.reports.generation_figures import plot_guide_values

    counts: Counter[str | None] = Counter()
    shown: list[GeneratedSequence] = []
    with ExitStack() as stack:
        fasta = table = None
        if args.output is not None:
            fasta = stack.enter_context(written_file(args.output, overwrite=args.overwrite))
        if args.table is not None:
            writer = PredictionWriter(args.table, schema=generation_schema(), overwrite=args.overwrite)
            table = stack.enter_context(writer)
        for index, chunk in enumerate(chunks):
            counts.update(None if each.failed is None else each.failed.value for each in chunk)
            if fasta is not None:
                fasta.write("".join(each.to_fasta() for each in chunk if each.sequence is not None).encode())
            if table is not None:
                table.write_chunk(index, generation_table(chunk))
            if args.plot is not None:
                shown += chunk
    if args.plot is not None and counts[None]:
        plot_guide_values(shown, args.plot, guide_name=f"guide: {args.target or 'value'}")
    return counts


def _print_summary(args: argparse.Namespace, counts: Counter[str | None], n_resumed: int) -> None:
    if n_resumed:
        print(f"Went on from {n_resumed:,} finished chunks of an earlier run.")
    failed = {reason: n for reason, n in counts.most_common() if reason is not None}
    where = " and ".join(path for path in (args.output, args.table, args.plot) if path is not None)
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in failed.items())
    print(
        f"{counts[None]:,} sequences written to {where}; {sum(failed.values()):,} failed"
        + (f": {reasons}." if failed else ".")
    )
