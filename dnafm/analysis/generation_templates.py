"""What is to be designed: sequences in which some bases are fixed and some are to be filled."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dnafm.analysis.regions import Region
from dnafm.genomics import is_dna
from dnafm.genomics.files import numbered_lines
from dnafm.genomics.sequences import BASES

PLACE = "?"
_MASK = re.compile(r"\[MASK\]", re.IGNORECASE)
# Around a region that is designed again, where the context of the model allows it.
FLANK_BP = 256


@dataclass(frozen=True)
class Template:
    """A sequence with places to fill, and what is around it.

    Attributes:
        id: name.
        bases: A, C, G, T, and `?` for each place to fill; this is what is designed and written.
        before: bases in front of it, which the model sees.
        after: bases behind it, likewise.

    Raises:
        ValueError: there is no place to fill, or a fixed base is none of the four.
    """

    id: str
    bases: str
    before: str = field(default="", repr=False)
    after: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for offset, base in enumerate(self.bases):
            if base not in BASES and base != PLACE:
                raise ValueError(
                    f"{self.id}: {base!r} at offset {offset} is neither A, C, G, T, nor a place to fill. Write ? or "
                    "[MASK] for a base that is to be designed."
                )
        if PLACE not in self.bases:
            raise ValueError(f"{self.id}: there is no place to fill. Write ? or [MASK] for each base to be designed.")
        if not is_dna(self.before + self.after):
            raise ValueError(f"{self.id}: what is around it must be letters of DNA.")

    @property
    def n_window(self) -> int:
        """Bases that the model sees."""
        return len(self.before) + len(self.bases) + len(self.after)

    def window(self, sequence: str) -> str:
        """Return a sequence for this template with what is around it."""
        return self.before + sequence + self.after


def free_template(length: int, *, id: str = "design") -> Template:
    """Return a template all of whose bases are to be filled.

    Raises:
        ValueError: the length is less than 1.
    """
    if length < 1:
        raise ValueError(f"The length is {length}; a sequence has at least one base.")
    return Template(id, PLACE * length)


def parse_template(text: str, *, id: str = "design") -> Template:
    """Return a template from text: `?` or `[MASK]` is a place to fill, all else is fixed, as A, C, G, T (or U).

    Raises:
        ValueError: there is no place to fill, or another character.
    """
    return Template(id, _MASK.sub(PLACE, text).upper().replace("U", "T"))


def read_templates(path: str | os.PathLike) -> list[Template]:
    """Read templates from a FASTA file, plain or gzip; ids are the first words of the headers.

    Raises:
        ValueError: the file is no FASTA, or a record no template.
    """
    return [parse_template(text, id=name) for name, text in read_records(path)]


def read_records(path: str | os.PathLike) -> Iterator[tuple[str, str]]:
    """Yield id and text of the records of a FASTA file, whatever characters they have.

    Raises:
        ValueError: names file and line, where there is text before the first header, a header without a name, or a
            record without bases.
    """
    name, parts, place = "", list[str](), ""
    for number, line in numbered_lines(path):
        text = line.strip()
        if text.startswith(">"):
            if name:
                yield name, _joined(parts, place, name)
            name, parts, place = next(iter(text[1:].split()), ""), [], f"{os.fspath(path)}:{number}"
            if not name:
                raise ValueError(f"{place}: the header has no name. Write >name before each sequence.")
        elif text and not name:
            raise ValueError(f"{os.fspath(path)}:{number}: a FASTA file begins with a header, such as >name.")
        else:
            parts.append(text)
    if not name:
        raise ValueError(f"{os.fspath(path)}: there is no record in the file.")
    yield name, _joined(parts, place, name)


def region_template(region: Region, *, longest_bp: int, flank_bp: int | None = None) -> Template:
    """Return a template of a region, all of whose bases are to be designed again, along the + strand.

    Args:
        region: with the bases around it, as `interval_regions` gives it.
        longest_bp: bases that the model reads at once.
        flank_bp: bases on either side that the model sees, fewer at the ends of a contig; by default 256, or as many
            as the model reads.

    Raises:
        ValueError: the flank is negative.
    """
    if flank_bp is None:
        flank_bp = min(FLANK_BP, max(0, longest_bp - region.n_bases) // 2)
    if flank_bp < 0:
        raise ValueError(f"The flank is {flank_bp} bases; it must be at least 0.")
    end = region.offset + region.n_bases
    before = region.context[max(0, region.offset - flank_bp) : region.offset]
    return Template(region.id, PLACE * region.n_bases, before, region.context[end : end + flank_bp])


def check_templates(templates: Iterable[Template], *, longest_bp: int) -> list[Template]:
    """Return templates as a list.

    Args:
        templates: with ids of their own.
        longest_bp: bases that the model reads at once.

    Raises:
        ValueError: there is none, two have one id, or one is longer than the model reads with what is around it.
    """
    checked: dict[str, Template] = {}
    for template in templates:
        if template.id in checked:
            raise ValueError(f"Two templates are called {template.id!r}. Give each an id of its own.")
        if template.n_window > longest_bp:
            flanks = len(template.before) + len(template.after)
            raise ValueError(
                f"{template.id} has {len(template.bases)} bases and {flanks} around them; the model reads "
                f"{longest_bp}. Make it or the flank shorter."
            )
        checked[template.id] = template
    if not checked:
        raise ValueError("There is no template. Give at least one.")
    return list(checked.values())


def _joined(parts: list[str], place: str, name: str) -> str:
    text = "".join(parts)
    if not text:
        raise ValueError(f"{place}: {name} has no bases.")
    return text
