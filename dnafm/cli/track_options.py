"""Options of commands that write numbers of bases as bigWig files, and writing them."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnafm.analysis.base_predictions import BasePredictor
    from dnafm.analysis.track_runs import TrackRun
    from dnafm.genomics import Interval, ReferenceGenome

# Option: what `dnafm.analysis.track_runs.TRACKS` call it.
_NUMBERS = {"entropy_track": "entropy_bits", "log_probability_track": "log_probability"}


def add_track_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of tracks."""
    group = parser.add_argument_group(
        "tracks",
        "A number for each base, as bigWig (.bw) for genome browsers. A base that is none of A, C, G\n"
        "and T has none; regions that overlap are one.",
    )
    group.add_argument(
        "--entropy_track", metavar="FILE", help="entropy of the predicted base, 0 (certain) to 2 bits, to write"
    )
    group.add_argument(
        "--log_probability_track", metavar="FILE", help="log p of the base that is there, in nats, to write"
    )
    group.add_argument(
        "--track_scores",
        choices=("masked", "unmasked"),
        help="hide every N-th base in each of N passes over a window, N being --stride, or read all bases in one pass "
        "(default: as --scores, where the command has it, or masked)",
    )
    group.add_argument(
        "--stride",
        type=int,
        default=8,
        metavar="N",
        help="from one hidden base to the next: with 8, 7 of 8 bases are seen in each of 8 passes, and each is hidden "
        "once; more is nearer to hiding each base alone, and takes longer (default: %(default)s)",
    )


def track_paths(args: argparse.Namespace) -> dict[str, str]:
    """Return the files that are asked for, by what they hold."""
    return {name: path for option, name in _NUMBERS.items() if (path := getattr(args, option)) is not None}


def check_track_options(args: argparse.Namespace) -> None:
    """Check what can be checked before weights are loaded.

    Raises:
        ValueError: an extension is not that of bigWig, both files are one, or the stride is out of its range.
        ImportError: a library is missing.
        OSError: a file exists, or its folder does not.
    """
    from dnafm.analysis.track_windows import check_stride
    from dnafm.cli.output_files import check_new_file
    from dnafm.genomics.bigwig import EXTENSIONS
    from dnafm.genomics.htslib import import_optional

    paths = track_paths(args)
    if not paths:
        return
    import_optional("pybigtools")
    check_stride(args.stride)
    for option in _NUMBERS:
        path = getattr(args, option)
        if path is not None and not path.endswith(EXTENSIONS):
            raise ValueError(f"--{option} {path}: the extension must be one of {', '.join(EXTENSIONS)}.")
    if len(set(paths.values())) < len(paths):
        raise ValueError(f"--entropy_track and --log_probability_track are both {args.entropy_track}. Name two files.")
    for path in map(Path, paths.values()):
        check_new_file(path, overwrite=args.overwrite)


def finish_tracks(
    args: argparse.Namespace,
    predictor: "BasePredictor",
    genome: "ReferenceGenome",
    intervals: "Iterable[Interval] | None" = None,
    *,
    model: Mapping[str, Any],
    masked: bool = True,
    window_bp: int | None = None,
) -> "TrackRun":
    """Compute the tracks that are asked for, and return them to `write_finished`; ranks share the work.

    Args:
        args: of the command.
        predictor: the model, and the strand that it reads.
        genome: of the intervals.
        intervals: in any order; by default all contigs.
        model: what tells the model from others, as JSON holds it.
        masked: whether bases are hidden, where --track_scores does not say so.
        window_bp: bases of a window.
    """
    from tqdm import tqdm

    from dnafm.analysis.track_runs import TrackRun

    tracks = TrackRun(
        predictor,
        genome,
        intervals,
        paths=track_paths(args),
        model=model,
        masked=masked if args.track_scores is None else args.track_scores == "masked",
        stride=args.stride,
        window_bp=window_bp,
        overwrite=args.overwrite,
    )
    # Silent where stderr is no terminal.
    is_silent = None if tracks.is_main_process else True
    with tqdm(desc="tracks", total=tracks.n_bases, unit=" bases", disable=is_silent, leave=False) as bar:
        n_resumed = tracks.finish(on_progress=bar.update)
    if n_resumed:
        print(f"Tracks went on from {n_resumed:,} finished chunks of an earlier run.")
    return tracks


def write_finished(tracks: "TrackRun") -> None:
    """Write the files, and print what is where."""
    for path, n_bases in tracks.write().items():
        print(f"{n_bases:,} bases have a number in {path}.")


def write_tracks(
    args: argparse.Namespace,
    predictor: "BasePredictor",
    genome: "ReferenceGenome",
    intervals: "Iterable[Interval] | None" = None,
    **options: Any,
) -> None:
    """Compute and write the tracks that are asked for.

    A command that writes other files, too, should finish all before it writes any: see `finish_tracks`. A run that is
    interrupted then goes on, where it would find the files of the first ones in its way.
    """
    write_finished(finish_tracks(args, predictor, genome, intervals, **options))
