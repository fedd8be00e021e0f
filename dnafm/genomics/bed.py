"""BED files, from three to twelve columns and with more of one's own.

Columns: contig, start, end (0-based, half-open), name, score, strand; then, in BED12, thickStart, thickEnd, itemRgb,
blockCount, blockSizes, blockStarts. https://genome.ucsc.edu/FAQ/FAQformat.html#format1
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dnafm.genomics.files import located_lines, written_file
from dnafm.genomics.intervals import Interval, check_within, parse_position

_NOT_RECORDS = ("#", "track ", "track\t", "browser ", "browser\t")
_SEPARATORS = "\t\r\n"


@dataclass(frozen=True, slots=True)
class BedRecord:
    """A row of a BED file.

    Attributes:
        interval: its bases; the strand is `.` without a sixth column, name and score are None without a column or
            where they are `.`, and the columns from the seventh on are in `extra`.
        place: file and line, for messages.
    """

    interval: Interval
    place: str

    def thick(self) -> Interval | None:
        """Return what is drawn thick, such as coding parts, from columns 7 and 8; None where it is empty."""
        start_bp, end_bp = self._numbers(self._columns(2, "thickStart and thickEnd"), "thickStart and thickEnd")
        if start_bp == end_bp:
            return None
        return self._part(start_bp, end_bp, "thickStart and thickEnd")

    def blocks(self) -> tuple[Interval, ...]:
        """Return the blocks, such as exons, from columns 10 to 12.

        Raises:
            ValueError: names file and line, where there are fewer columns, or blocks that do not fit each other.
        """
        count, sizes, starts = self._columns(6, "blocks")[3:6]
        (n_blocks,) = self._numbers([count], "blockCount")
        lengths_bp = self._numbers(sizes.rstrip(",").split(","), "blockSizes")
        offsets_bp = self._numbers(starts.rstrip(",").split(","), "blockStarts")
        if not n_blocks == len(lengths_bp) == len(offsets_bp):
            raise ValueError(
                f"{self.place}: blockCount is {n_blocks}, with {len(lengths_bp)} sizes and {len(offsets_bp)} starts."
            )
        origin_bp = self.interval.start_bp
        return tuple(
            self._part(origin_bp + offset_bp, origin_bp + offset_bp + length_bp, "block")
            for offset_bp, length_bp in zip(offsets_bp, lengths_bp, strict=True)
        )

    def _columns(self, n_extra: int, what: str) -> tuple[str, ...]:
        if len(self.interval.extra) < n_extra:
            n_columns = 6 + len(self.interval.extra)
            raise ValueError(f"{self.place}: {what} need {6 + n_extra} columns; at most {n_columns} are there.")
        return self.interval.extra[:n_extra]

    def _numbers(self, texts: Iterable[str], what: str) -> list[int]:
        numbers = []
        for text in texts:
            number = parse_position(text)
            if number is None:
                raise ValueError(f"{self.place}: {what}: {text!r} is no number of bases.")
            numbers.append(number)
        return numbers

    def _part(self, start_bp: int, end_bp: int, what: str) -> Interval:
        whole = self.interval
        if not whole.start_bp <= start_bp < end_bp <= whole.end_bp:
            raise ValueError(f"{self.place}: {what} {start_bp} to {end_bp} is no part of {whole.to_region()}.")
        return Interval(whole.contig, start_bp, end_bp, whole.strand, whole.name, whole.score)


def read_bed(
    path: str | os.PathLike, *, region: Interval | None = None, contig_lengths: Mapping[str, int] | None = None
) -> Iterator[BedRecord]:
    """Yield the rows of a BED file, plain or compressed with gzip or bgzip, in their order.

    Args:
        path: the file. Columns are separated by tabs, or by spaces in rows without a tab; `track`, `browser` and
            comment lines are skipped.
        region: only rows that overlap it, through the index of tabix where there is one.
        contig_lengths: of the genome, which rows must lie in.

    Raises:
        ValueError: names file and line, where a row is none, is empty, or ends behind its contig.
    """
    for place, line in located_lines(path, region):
        if not line.strip() or line.startswith(_NOT_RECORDS) or line in ("track", "browser"):
            continue
        try:
            interval = _parse(line)
            if region is not None and not interval.overlaps(region):
                continue
            if contig_lengths is not None:
                check_within(interval, contig_lengths)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        yield BedRecord(interval, place)


def write_bed(
    path: str | os.PathLike, intervals: Iterable[Interval], *, track: str | None = None, overwrite: bool = False
) -> int:
    """Write intervals as BED6, with more columns where they have `extra`, and return how many.

    Args:
        path: of the file, which appears when it is whole; `.gz` and `.bgz` are compressed with bgzip.
        intervals: all with as many extra columns.
        track: what follows `track ` in a first line for browsers, such as `name=scores itemRgb=On`.
        overwrite: replace an existing file.

    Raises:
        ValueError: names the interval that cannot be written.
        OSError: see `new_file`.
    """
    n_written, n_extra = 0, None
    with written_file(path, overwrite=overwrite) as stream:
        if track is not None:
            stream.write(f"track {_checked(track)}\n".encode())
        for interval in intervals:
            n_extra = len(interval.extra) if n_extra is None else n_extra
            if len(interval.extra) != n_extra:
                raise ValueError(
                    f"{os.fspath(path)}: {interval} has {len(interval.extra)} extra columns, and those before it "
                    f"{n_extra}. All rows of a BED file have the same columns."
                )
            stream.write(_line(interval).encode())
            n_written += 1
    return n_written


def coloured(interval: Interval, red_green_blue: tuple[int, int, int]) -> tuple[str, str, str]:
    """Return columns 7 to 9 of BED9, for `Interval.extra`: thick all over, in a colour of three numbers 0 to 255."""
    if not all(0 <= value <= 255 for value in red_green_blue):
        raise ValueError(f"The colour {red_green_blue} must be three numbers from 0 to 255.")
    return str(interval.start_bp), str(interval.end_bp), ",".join(map(str, red_green_blue))


def _parse(line: str) -> Interval:
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) < 3:
        raise ValueError(f"{len(fields)} columns, and at least 3 are due: contig, start, end.")
    contig, start, end, name, score, strand = (*fields[:6], *(".",) * (6 - len(fields)))
    start_bp, end_bp = parse_position(start), parse_position(end)
    if start_bp is None or end_bp is None:
        raise ValueError(f"start {start!r} and end {end!r} are no positions.")
    return Interval(
        contig, start_bp, end_bp, strand, None if name in ("", ".") else name, _score(score), tuple(fields[6:])
    )


def _score(text: str) -> float | None:
    if text in ("", "."):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"the score {text!r} is no number; column 5 has it, or '.' for none.")
    return value


def _line(interval: Interval) -> str:
    # By its shortest form: 7, not 7.0.
    score = "." if interval.score is None else f"{interval.score!r}".removesuffix(".0")
    columns = [interval.contig, str(interval.start_bp), str(interval.end_bp), interval.name or ".", score]
    line = "\t".join(map(_checked, (*columns, interval.strand, *interval.extra))) + "\n"
    if line.startswith(_NOT_RECORDS):
        raise ValueError(f"The contig {interval.contig!r} would be read as a comment or a track line.")
    return line


def _checked(text: str) -> str:
    if any(separator in text for separator in _SEPARATORS):
        raise ValueError(f"{text!r} has a tab or a line end, which separate the columns and rows of BED.")
    return text
