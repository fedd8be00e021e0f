"""VCF and BCF files: all that the input had, and INFO of our own."""

import math
import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from dnafm.genomics.files import OutputStream, new_file
from dnafm.genomics.htslib import import_optional, quiet_htslib
from dnafm.genomics.variants import Variant
from dnafm.genomics.vcf import VcfReader
from dnafm.version import __version__

EXTENSIONS = (".vcf", ".vcf.gz", ".bcf")
_INFO_COLUMN = 7
_RESERVED = ";=,%: \t\r\n"


@dataclass(frozen=True)
class InfoField:
    """A definition of INFO.

    Attributes:
        id: key.
        number: of values: a number, `A` for one for each alternative allele, `R` with the reference allele before
            them, or `.` for any; 0 for a flag.
        type: of the values.
        description: what they are.
    """

    id: str
    number: str
    type: Literal["Float", "Integer", "String", "Flag"]
    description: str

    def to_line(self) -> str:
        """Return the line of the header."""
        description = self.description.replace("\\", "\\\\").replace('"', '\\"')
        return f'##INFO=<ID={self.id},Number={self.number},Type={self.type},Description="{description}">'


class VcfWriter:
    """Writes variants with new INFO to `.vcf`, `.vcf.gz` (bgzip) or `.bcf`.

    Variants that were read from a VCF keep all their columns. Use it in a `with` statement: the file is there after
    the block, and is not where the block fails.

    Args:
        path: of the file.
        source: whose header is kept, and whose variants are written; None for variants of tables.
        info: definitions of the INFO that is added; values that records have of them are replaced.
        command: what is run, for the header.
        contig_lengths: of the genome, for the header where it does not name contigs.
        index: `tbi` or `csi` to make the index of tabix when the file is whole; `.bcf` has `csi` alone, and contigs
            of more than 512 Mb need it.
        overwrite: replace an existing file.

    Raises:
        ValueError: the extension is none of `EXTENSIONS`, INFO of that name is defined in another way, or a format has
            no such index.
        OSError: see `new_file`.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        source: VcfReader | None = None,
        *,
        info: Sequence[InfoField] = (),
        command: str = "",
        contig_lengths: Mapping[str, int] | None = None,
        index: Literal["tbi", "csi"] | None = None,
        overwrite: bool = False,
    ):
        self.path = Path(path)
        self._extension = next((each for each in EXTENSIONS[::-1] if self.path.name.endswith(each)), "")
        self._index = index
        self._check_format()
        self._info = {each.id: each for each in info}
        self._n_samples = 0
        header = self._header(source, command, contig_lengths or {})
        self._stack = ExitStack()
        self._temporary = self._stack.enter_context(new_file(self.path, overwrite=overwrite))
        # BCF is made of text at the end: its records need a header in which all is defined.
        self._text = self._temporary.with_suffix(".vcf.gz") if self._extension == ".bcf" else self._temporary
        if self._text != self._temporary:
            self._stack.callback(self._text.unlink, missing_ok=True)
        self._stream = OutputStream(self._text, self.path, is_compressed=self._extension != ".vcf")
        self._stack.callback(self._stream.close)
        self._stream.write(header.encode())

    def __enter__(self) -> "VcfWriter":
        return self

    def __exit__(self, error_type: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        if error_type is None:
            self.close()
        else:
            self._stack.__exit__(error_type, error, traceback)

    def write(self, variant: Variant, info: Mapping[str, Any] | None = None) -> None:
        """Write a variant.

        Args:
            variant: of the source, or of a table.
            info: values by key: a number, text, True or False for a flag, a sequence of them, or None for none. A
                None or NaN in a sequence is a missing value.

        Raises:
            ValueError: a key is not defined, or has too few or too many values.
        """
        new = [self._entry(key, value, variant) for key, value in (info or {}).items()]
        columns = self._columns(variant)
        kept = [
            entry
            for entry in columns[_INFO_COLUMN].split(";")
            if entry not in ("", ".") and entry.split("=", 1)[0] not in (info or {})
        ]
        columns[_INFO_COLUMN] = ";".join(kept + [entry for entry in new if entry]) or "."
        self._stream.write(("\t".join(columns) + "\n").encode())

    def close(self) -> None:
        """Finish the file, give it its name, and index it.

        Raises:
            ValueError: records do not fit BCF, or cannot be indexed because they are not sorted; the file is there
                then.
        """
        with self._stack:
            self._stream.close()
            if self._extension == ".bcf":
                self._make_bcf()
        if self._index is not None:
            index_variants(self.path, kind=self._index)

    def _check_format(self) -> None:
        if not self._extension:
            raise ValueError(
                f"{self.path}: the extension says the format, and must be one of {', '.join(EXTENSIONS)}."
            )
        if self._index is not None and self._extension == ".vcf":
            raise ValueError(f"{self.path}: plain text has no index. Write .vcf.gz.")
        if self._index == "tbi" and self._extension == ".bcf":
            raise ValueError(f"{self.path}: the index of BCF is csi, not tbi.")

    def _header(self, source: VcfReader | None, command: str, contig_lengths: Mapping[str, int]) -> str:
        columns = "\t".join(("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"))
        lines = ["##fileformat=VCFv4.3", columns] if source is None else source.header_text.splitlines()
        *lines, columns = lines
        # Behind FORMAT, samples have a column each.
        self._n_samples = max(0, columns.count("\t") - 8)
        defined = set(lines)
        for each in self._info.values():
            self._check_definition(each, lines)
        # htslib makes up a line without length for each contig of an index.
        lines = [line for line in lines if not _is_bare_contig(line, contig_lengths)]
        if not any(line.startswith("##contig=") for line in lines):
            lines += [f"##contig=<ID={name},length={length}>" for name, length in contig_lengths.items()]
        lines += [line for each in self._info.values() if (line := each.to_line()) not in defined]
        lines.append(f"##dnafm_version={__version__}")
        if command:
            lines.append(f"##dnafm_command={' '.join(command.split())}")
        return "\n".join([*lines, columns]) + "\n"

    def _check_definition(self, new: InfoField, lines: Sequence[str]) -> None:
        for line in lines:
            if line.startswith(f"##INFO=<ID={new.id},") and line != new.to_line():
                raise ValueError(
                    f"{self.path}: the input defines INFO {new.id} in another way: {line} Remove it with "
                    f"`bcftools annotate -x INFO/{new.id}`."
                )

    def _columns(self, variant: Variant) -> list[str]:
        if variant.record is not None:
            try:
                with quiet_htslib():
                    return str(variant.record).rstrip("\n").split("\t")
            except ValueError as error:
                raise ValueError(f"{variant.place}: the record cannot be written as text ({error}).") from error
        alternatives = ",".join(variant.alternative_alleles) or "."
        position = str(variant.start_bp + 1)
        columns = [variant.contig, position, variant.id or ".", variant.reference_allele, alternatives, ".", ".", "."]
        return columns + ["."] * (self._n_samples + 1 if self._n_samples else 0)

    def _entry(self, key: str, value: Any, variant: Variant) -> str:
        definition = self._info.get(key)
        if definition is None:
            raise ValueError(f"INFO {key} is not defined; the writer was given {', '.join(self._info) or 'none'}.")
        if definition.type == "Flag":
            return key if value else ""
        if value is None:
            return ""
        values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
        n_alternatives = len(variant.alternative_alleles)
        due = {"A": n_alternatives, "R": n_alternatives + 1, ".": len(values)}.get(definition.number)
        due = int(definition.number) if due is None else due
        if len(values) != due:
            raise ValueError(f"{variant.to_text()}: INFO {key} has {len(values)} values, and {due} are due.")
        return f"{key}={','.join(_formatted(each, definition) for each in values)}"

    def _make_bcf(self) -> None:
        options = ("--no-version", "-Ob", "-o", str(self._temporary), str(self._text))
        try:
            with quiet_htslib():
                import_optional("pysam.bcftools").view(*options, catch_stdout=False)
        except import_optional("pysam.utils").SamtoolsError as error:
            raise ValueError(
                f"{self.path}: BCF cannot hold these records: it needs all contigs, FILTER and INFO in the header. "
                "Write .vcf.gz, or add the contigs with `bcftools reheader --fai`."
            ) from error


def index_variants(path: str | os.PathLike, *, kind: Literal["tbi", "csi"] = "tbi") -> None:
    """Make the index of a `.vcf.gz` or `.bcf` file beside it.

    Raises:
        ValueError: the records are not sorted, or are too far along a contig for `tbi`.
    """
    name = os.fspath(path)
    temporary = f"{name}.{uuid.uuid4().hex}.tmp"
    preset = "bcf" if name.endswith(".bcf") else "vcf"
    try:
        with quiet_htslib() as pysam:
            pysam.tabix_index(name, preset=preset, force=True, csi=kind == "csi", index=temporary)
        os.replace(temporary, f"{name}.{kind}")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name}: no index can be made. The file itself is whole. Sort it, as with `bcftools sort`; contigs of "
            "more than 512 Mb need csi."
        ) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _is_bare_contig(line: str, contig_lengths: Mapping[str, int]) -> bool:
    return line.startswith("##contig=<ID=") and line.removeprefix("##contig=<ID=").rstrip(">") in contig_lengths


def _formatted(value: Any, definition: InfoField) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "."
    if definition.type == "Float":
        # As many digits as htslib keeps.
        return "." if math.isnan(float(value)) else f"{float(value):.6g}"
    if definition.type == "Integer":
        return str(int(value))
    return "".join(quote(character, safe="") if character in _RESERVED else character for character in str(value))
