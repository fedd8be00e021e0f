"""What the options of `dnafm generate` name: templates, constraints, and how bases are drawn."""

import argparse
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnafm.analysis.generation_sampling import Sampling
    from dnafm.analysis.generation_templates import Template
    from dnafm.analysis.sequence_constraints import SequenceConstraints


def sampling_of(args: argparse.Namespace) -> "Sampling":
    """Return how bases are drawn.

    Raises:
        ValueError: a number is out of its range.
    """
    from dnafm.analysis.generation_sampling import Sampling

    names = ("rounds", "order", "temperature", "top_p", "refinement_rounds", "refinement_share", "seed")
    return Sampling(**{name: getattr(args, name) for name in names})


def constraints_of(args: argparse.Namespace) -> "SequenceConstraints":
    """Return the constraints.

    Raises:
        ValueError: they contradict each other, or a sequence to compare with is none.
    """
    from dnafm.analysis.generation_templates import read_records
    from dnafm.analysis.sequence_constraints import SequenceConstraints
    from dnafm.genomics.sequences import check_nucleotides

    given = []
    for name, sequence in read_records(args.identity_to) if args.identity_to is not None else ():
        try:
            check_nucleotides(sequence)
        except ValueError as error:
            raise ValueError(f"{args.identity_to}: in {name}: {error}") from error
        given.append(sequence.upper().replace("U", "T"))
    return SequenceConstraints(
        gc=None if args.gc is None else tuple(args.gc),
        forbid=tuple(args.forbid),
        require=tuple(args.require),
        both_strands=args.both_strands,
        max_homopolymer=args.max_homopolymer,
        max_identity=args.max_identity,
        identity_to=tuple(given),
    )


def templates_of(args: argparse.Namespace, *, longest_bp: int) -> "Iterator[Template]":
    """Yield the templates.

    Args:
        args: of the command.
        longest_bp: bases that the model reads at once.

    Raises:
        ValueError: one has no place to fill, or a region is not in the genome.
    """
    from dnafm.analysis.generation_templates import (
        FLANK_BP,
        free_template,
        parse_template,
        read_templates,
        region_template,
    )
    from dnafm.cli.region_options import regions_of

    if args.length is not None:
        yield free_template(args.length)
    elif args.fasta is None:
        yield from read_templates(args.template) if os.path.exists(args.template) else [_parsed(args, parse_template)]
    else:
        for text in args.region or [args.regions]:
            own = argparse.Namespace(input=text, fasta=args.fasta, contig_aliases=args.contig_aliases)
            for region in regions_of(own, window_bp=max(0, FLANK_BP if args.flank is None else args.flank)):
                yield region_template(region, longest_bp=longest_bp, flank_bp=args.flank)


def _parsed(args: argparse.Namespace, parse: Any) -> "Template":
    try:
        return parse(args.template)
    except ValueError as error:
        raise ValueError(f"TEMPLATE {args.template!r} is no file, and as a sequence: {error}") from error
