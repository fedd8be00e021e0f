"""Intervals of a genome: 0-based, half-open, along the + strand."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

STRANDS = ("+", "-", ".")
_REGION = re.compile(r"(?P<contig>\S+):(?P<start>[0-9,]+)-(?P<end>[0-9,]+)", re.ASCII)
# No chromosome needs more, and Python refuses to read numbers of thousands of digits.
_MAX_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Interval:
    """Bases of a contig.

    Attributes:
        contig: name of the chromosome or scaffold.
        start_bp: of the first base, from 0.
        end_bp: behind the last base.
        strand: `+`, `-`, or `.` where it is unknown or means nothing. Coordinates do not depend on it.
        name: of the feature.
        score: of the feature.
        extra: further columns, as text.

    Raises:
        ValueError: the interval holds no base, starts before 0, or its strand is none.
    """

    contig: str
    start_bp: int
    end_bp: int
    strand: str = "+"
    name: str | None = None
    score: float | None = None
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.contig:
            raise ValueError("An interval needs the name of a contig, and this one is empty.")
        if self.start_bp < 0:
            raise ValueError(f"start_bp is {self.start_bp}; positions are counted from 0.")
        if self.start_bp >= self.end_bp:
            raise ValueError(
                f"start_bp {self.start_bp} must be below end_bp {self.end_bp}: intervals are half-open and not empty."
            )
        if self.strand not in STRANDS:
            raise ValueError(f"The strand is {self.strand!r}; it must be one of {', '.join(STRANDS)}.")

    def __len__(self) -> int:
        """Return the number of bases."""
        return self.end_bp - self.start_bp

    def __str__(self) -> str:
        return f"{self.to_region()}({self.strand})"

    @property
    def is_reverse(self) -> bool:
        """Whether it is on the - strand."""
        return self.strand == "-"

    def shifted(self, offset_bp: int, *, contig_length_bp: int | None = None) -> "Interval":
        """Return it moved towards the end of the contig, or the start where negative, without what falls off."""
        return self._clipped(self.start_bp + offset_bp, self.end_bp + offset_bp, contig_length_bp)

    def expanded(
        self, left_bp: int, right_bp: int | None = None, *, contig_length_bp: int | None = None
    ) -> "Interval":
        """Return it with more bases on both sides, or fewer where negative, without what falls off the contig.

        Args:
            left_bp: towards the start of the contig, whatever the strand.
            right_bp: towards its end; by default as many.
            contig_length_bp: of the contig; without it, only the start is a limit.
        """
        right_bp = left_bp if right_bp is None else right_bp
        return self._clipped(self.start_bp - left_bp, self.end_bp + right_bp, contig_length_bp)

    def centred_window(self, size_bp: int, *, contig_length_bp: int | None = None) -> "Interval":
        """Return `size_bp` bases around the middle, shifted at the ends of the contig rather than cut.

        The middle of an even window is its base `size_bp // 2`: of one base at p, a window of 4 is p - 2 to p + 2.

        Raises:
            ValueError: the window is larger than the contig.
        """
        if size_bp < 1:
            raise ValueError(f"size_bp is {size_bp}; a window has at least one base.")
        start_bp = (self.start_bp + self.end_bp - size_bp) // 2
        if contig_length_bp is not None:
            if size_bp > contig_length_bp:
                raise ValueError(
                    f"A window of {size_bp} bases is larger than {self.contig}, which has {contig_length_bp}. Make it "
                    "smaller."
                )
            start_bp = min(start_bp, contig_length_bp - size_bp)
        start_bp = max(start_bp, 0)
        return replace(self, start_bp=start_bp, end_bp=start_bp + size_bp)

    def overlaps(self, other: "Interval") -> bool:
        """Return whether both have a base in common, whatever their strands."""
        return self.contig == other.contig and self.start_bp < other.end_bp and other.start_bp < self.end_bp

    def contains(self, other: "Interval") -> bool:
        """Return whether it has all bases of another one, whatever their strands."""
        return self.contig == other.contig and self.start_bp <= other.start_bp and other.end_bp <= self.end_bp

    def intersection(self, other: "Interval") -> "Interval | None":
        """Return the bases in common, with the strand, name, score and columns of this one; None without any."""
        if not self.overlaps(other):
            return None
        start_bp, end_bp = max(self.start_bp, other.start_bp), min(self.end_bp, other.end_bp)
        return replace(self, start_bp=start_bp, end_bp=end_bp)

    def to_region(self) -> str:
        """Return the text of samtools and browsers, which counts from 1 and includes the end: `chr1:1-100`."""
        return f"{self.contig}:{self.start_bp + 1}-{self.end_bp}"

    def _clipped(self, start_bp: int, end_bp: int, contig_length_bp: int | None) -> "Interval":
        start_bp = max(start_bp, 0)
        if contig_length_bp is not None:
            end_bp = min(end_bp, contig_length_bp)
        if start_bp >= end_bp:
            raise ValueError(
                f"Nothing of {self} is left: bases {start_bp} to {end_bp} of {self.contig} hold none. Move or shrink "
                "it by less."
            )
        return replace(self, start_bp=start_bp, end_bp=end_bp)


def parse_region(text: str, *, contig_lengths: Mapping[str, int] | None = None) -> Interval:
    """Read a region as samtools and browsers write it, on the + strand.

    Args:
        text: `chr1:1-100`, counted from 1 and with the end; thousands may have commas. The name of a contig alone
            means all of it, where its length is known.
        contig_lengths: names and lengths of the contigs.

    Raises:
        ValueError: the text is no region, or lies beyond the end of its contig.
    """
    if contig_lengths is not None and text in contig_lengths:
        return Interval(text, 0, contig_lengths[text])
    match = _REGION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no region. Write it as contig:start-end, counted from 1: chr1:1-100.")
    start, end = (parse_position(match[group].replace(",", "")) for group in ("start", "end"))
    if start is None or end is None or not 1 <= start <= end:
        raise ValueError(f"The region {text!r} holds no base: it counts from 1 and includes its end.")
    interval = Interval(match["contig"], start - 1, end)
    if contig_lengths is not None:
        check_within(interval, contig_lengths)
    return interval


def check_within(interval: Interval, contig_lengths: Mapping[str, int]) -> None:
    """Raise a ValueError where the contig is none of these, or ends before the interval does."""
    if interval.contig not in contig_lengths:
        known = ", ".join(list(contig_lengths)[:5])
        raise ValueError(f"There is no contig {interval.contig!r}; the genome has {known}, ... Are both named alike?")
    length_bp = contig_lengths[interval.contig]
    if interval.end_bp > length_bp:
        raise ValueError(
            f"{interval.to_region()} ends behind {interval.contig}, which has {length_bp} bases. Is it of the same "
            "assembly?"
        )


def merge_intervals(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the bases that any interval has as disjoint intervals, sorted by contig and start, without strand."""
    merged: list[Interval] = []
    for interval in sorted(intervals, key=lambda each: (each.contig, each.start_bp)):
        last = merged[-1] if merged else None
        if last is not None and last.contig == interval.contig and interval.start_bp <= last.end_bp:
            merged[-1] = replace(last, end_bp=max(last.end_bp, interval.end_bp))
        else:
            merged.append(Interval(interval.contig, interval.start_bp, interval.end_bp, "."))
    return merged


def parse_position(text: str) -> int | None:
    """Return a number without sign that is written in digits, or None."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else None
