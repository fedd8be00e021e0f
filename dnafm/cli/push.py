"""`dnafm push`: a checkpoint on the Hugging Face Hub, with its model card."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

DESCRIPTION = """\
Publish a checkpoint on the Hugging Face Hub in one commit: weights, tokenizer, settings, metrics and a model card.

  dnafm push runs/mine ada/promoters
  dnafm push runs/mine ada/promoters --private --with_code --revision v2

The repository is made if it is not there, and updated if it holds a DNA FM. What the Hub has already is not sent
again, so an interrupted push goes on when it is called again.

The card is made from what dnafm fit, test or pretrain left in the folder: metrics, data, hyper-parameters, base model
and its licence. A README.md that you wrote there is taken as it is. Paths of this machine are shortened to file names.

The token is that of `hf auth login`, or HF_TOKEN.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm push`."""
    parser = subparsers.add_parser(
        "push", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder with config.json and model.safetensors")
    parser.add_argument("repo", metavar="REPO", help="OWNER/NAME, or NAME for a repository of your own")
    parser.add_argument("--private", action="store_true", help="make a repository that you alone can see")
    parser.add_argument(
        "--with_code",
        action="store_true",
        help="add the code of the model, so that trust_remote_code=True loads it where dnafm is not installed",
    )
    parser.add_argument("--revision", metavar="BRANCH", help="to push to, made if it is not there (default: main)")
    parser.add_argument("--commit_message", metavar="TEXT", help="of the commit (default: Upload, and the class)")


def run(args: argparse.Namespace) -> None:
    """Push as the arguments say."""
    from dnafm.checkpoints.publishing import push_checkpoint

    with _bars_on_terminals_alone():
        pushed = push_checkpoint(
            args.checkpoint,
            args.repo,
            private=args.private,
            with_code=args.with_code,
            revision=args.revision,
            commit_message=args.commit_message,
        )
    if not pushed.is_new:
        print(f"{pushed.repo_id} has all of this already: {pushed.url}")
        return
    print(f"{pushed.repo_id}: {', '.join(pushed.paths)}")
    print(pushed.url)


@contextmanager
def _bars_on_terminals_alone() -> Iterator[None]:
    """Keep the progress bars of huggingface_hub out of logs."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
