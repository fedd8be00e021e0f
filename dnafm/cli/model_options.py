"""Options that many commands have: which model, which strand, in what precision and in what batches."""

from typing import Any

# What may be a parser or a group of one.
Parser = Any


def add_backbone(parser: Parser) -> None:
    """Add `--backbone`."""
    parser.add_argument(
        "--backbone",
        default="dnafm_tiny",
        metavar="NAME",
        help="pretrained model: dnafm (7B), dnafm_300m, dnafm_tiny (bundled), a folder or a Hub id "
        "(default: %(default)s)",
    )


def add_strand(parser: Parser, *, default: str, read: str = "which strand the model reads") -> None:
    """Add `--strand`; `read` begins its help."""
    parser.add_argument(
        "--strand",
        choices=("both", "forward", "reverse"),
        default=default,
        help=f"{read}; both are averaged (default: %(default)s)",
    )


def add_dtype(parser: Parser) -> None:
    """Add `--dtype`."""
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16", "auto"),
        default="float32",
        help="of weights and computation; auto: that of the checkpoint (default: %(default)s)",
    )


def add_batch(parser: Parser) -> None:
    """Add `--batch`."""
    parser.add_argument(
        "--batch", type=int, default=16_384, metavar="TOKENS", help="tokens of a batch (default: %(default)s)"
    )


def add_contig_aliases(parser: Parser) -> None:
    """Add `--contig_aliases`."""
    parser.add_argument(
        "--contig_aliases", action="store_true", help="also find contig 1 as chr1, and the reverse, in the genome"
    )


def check_batch(n_tokens: int) -> None:
    """Raise a ValueError where a batch holds no token."""
    if n_tokens < 1:
        raise ValueError(f"--batch is {n_tokens}; it must be at least 1 token.")
