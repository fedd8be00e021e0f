"""`dnafm score` on some hundred damaged VCF, BED and FASTA files: a result, or an error of one line, and no litter."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("pysam")
pytest.importorskip("pyarrow")

import pyarrow.parquet
import pysam

from dnafm import DNAFMConfig, DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.cli import main as cli

N_MUTANTS = 54
CONTIGS = {"chr1": "ACGTTGCAAGGCTTATACCGGATCAATGCCGTTAAGCACTGATCGTTACGGATCCATTGCA", "chr2": "GGCATNNACGTTAGCAaccgtAA"}
VCF = """##fileformat=VCFv4.2
##INFO=<ID=AF,Number=A,Type=Float,Description="frequency">
##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">
##FILTER=<ID=low,Description="low">
##contig=<ID=chr1,length=61>
##contig=<ID=chr2,length=23>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone
chr1\t5\trs1\tt\tG\t10\tPASS\tAF=0.5\tGT\t0/1
chr1\t9\t.\tAG\tA,<DEL>,*\t.\tlow\tAF=0.1,.,.\tGT\t1|2
chr1\t30\trs3\tC\tCATT\t.\t.\t.\tGT\t./.
chr1\t31\t.\tG\tA,C,T\t1e-3\t.\t.\tGT\t2/3
chr2\t2\t.\tG\t.\t.\t.\t.\tGT\t./.
chr2\t12\trs6\tTAG\tT\t.\tPASS\tAF=1\tGT\t1/1
"""
BED = """track name=some
chr1\t1\t10\tone\t3.5\t-
chr1\t25\t40\ttwo\t.\t+
chr2\t0\t23
"""
TABLE = "chrom\tpos\tref\talt\nchr1\t5\tT\tG\nchr1\t9\tAG\tA\nchr1\t31\tG\tA\nchr2\t2\tG\tC\n"
FASTA = "".join(f">{name} of a test\n{bases[:23]}\n{bases[23:46]}\n{bases[46:]}\n" for name, bases in CONTIGS.items())
FASTA = FASTA.replace("\n\n", "\n")
TEXTS = {"vcf": VCF, "bed": BED, "fasta": FASTA}
ODD_BYTES = (b"\t", b"\n", b"\r", b"\0", b"-1", b"-", b"9" * 30, b"2147483648", b"\xff\xfe", b":", b";=,", b"%", b">")
ODD_TEXTS = (b"A", b"0", b" ", b'"', b".", b"*", b"<", b"chr1", b"R", b"@", b"[chr2:5[", "é".encode(), b"N" * 40)
OUTPUTS = ("out.tsv", "out.vcf.gz", "out.parquet", "out.bcf", "out.vcf", "out.jsonl")


def flipped(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def inserted(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    data[start : start + rng.choice((0, 1, 3))] = rng.choice((*ODD_BYTES, *ODD_TEXTS))
    return bytes(data)


def cut(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data))])


def with_a_changed_line(data: bytearray, rng: random.Random) -> bytes:
    lines = bytes(data).splitlines(keepends=True)
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    action = rng.randrange(4)
    if action == 0:
        del lines[first]
    elif action == 1:
        lines.insert(second, lines[first])
    elif action == 2:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        lines[first] = lines[first][: rng.randrange(len(lines[first]) + 1)] + b"\n"
    return b"".join(lines)


def with_a_changed_field(data: bytearray, rng: random.Random) -> bytes:
    lines = bytes(data).split(b"\n")
    number = rng.choice([i for i, line in enumerate(lines) if b"\t" in line] or [0])
    fields = lines[number].split(b"\t")
    place = rng.randrange(len(fields))
    fields[place : place + 1] = [] if rng.random() < 0.3 else [rng.choice((*ODD_BYTES, *ODD_TEXTS, b""))]
    lines[number] = b"\t".join(fields)
    return b"\n".join(lines)


def in_another_encoding(data: bytearray, rng: random.Random) -> bytes:
    text = bytes(data).decode("latin-1")
    return rng.choice(
        (
            text.encode("utf-16"),
            text.encode("utf-8-sig"),
            text.replace("\n", "\r\n").encode(),
            text.replace("\n", "\r").encode(),
            text.lower().encode(),
        )
    )


MUTATIONS: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    flipped,
    inserted,
    cut,
    with_a_changed_line,
    with_a_changed_field,
    with_a_changed_field,
    in_another_encoding,
)


def mutated(data: bytes, rng: random.Random) -> bytes:
    return rng.choice(MUTATIONS)(bytearray(data), rng)


def write(path: Path, data: bytes, *, is_compressed: bool) -> Path:
    """The file as it is, or compressed with bgzip."""
    if not is_compressed:
        path.write_bytes(data)
        return path
    path = path.with_name(f"{path.name}.gz")
    with pysam.BGZFile(str(path), "wb") as stream:
        stream.write(data)
    return path


def make_inputs(folder: Path, *, is_compressed: bool, has_fasta_index: bool) -> dict[str, Path]:
    """Sound files; of compressed VCF with its index."""
    folder.mkdir()
    paths = {
        kind: write(folder / f"in.{kind}", text.encode(), is_compressed=is_compressed) for kind, text in TEXTS.items()
    }
    if is_compressed:
        pysam.tabix_index(str(paths["vcf"]), preset="vcf", force=True)
    if has_fasta_index:
        pysam.faidx(str(paths["fasta"]))
    return paths


def damage(path: Path, kind: str, rng: random.Random, *, is_compressed: bool) -> None:
    """Damage a file, a compressed one before its compression or after it; its index stays what it was."""
    if is_compressed and rng.random() < 0.5:
        path.write_bytes(mutated(path.read_bytes(), rng))
    else:
        plain = path.with_suffix("") if is_compressed else path
        write(plain, mutated(TEXTS[kind].encode(), rng), is_compressed=is_compressed)


def n_rows(path: Path) -> int:
    """How many records of VCF, or rows of alleles, there are in a whole output."""
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).num_rows
    if path.suffix in (".tsv", ".jsonl"):
        return len(path.read_text(encoding="utf-8").splitlines()) - (path.suffix == ".tsv")
    verbosity = pysam.set_verbosity(0)
    with pysam.VariantFile(str(path)) as file:
        n_records = sum(1 for record in file if str(record))
    pysam.set_verbosity(verbosity)
    return n_records


def arguments(paths: dict[str, Path], kind: str, output: Path) -> list[str]:
    """By intervals a table is filtered, and a compressed VCF, which has an index, is looked up in it."""
    words = ["score", "--vcf", paths["vcf"], "--fasta", paths["fasta"], "-o", output, "--window", 12, "--flank", 1]
    if kind == "bed":
        words += ["--regions", paths["bed"]]
        if paths["vcf"].suffix != ".gz":
            table = paths["vcf"].with_name("in.tsv")
            table.write_text(TABLE)
            words[1:3] = ["--variants", table]
    return [*map(str, words)]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A folder with a model that runs in a millisecond."""
    folder = tmp_path_factory.mktemp("backbone")
    config = DNAFMConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, max_position_embeddings=34
    )
    DNAFMForMaskedLM(config).save_pretrained(folder)
    DNAFMTokenizer(model_max_length=34).save_pretrained(folder)
    return folder


def check_result(printed: str, output: Path) -> None:
    """The file has a row for each of what was counted."""
    found = re.match(r"([\d,]+) variants, ([\d,]+) alleles: [\d,]+ with scores in ", printed)
    assert n_rows(output) == int(found[2 if output.suffix in (".tsv", ".jsonl", ".parquet") else 1])


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("kind", ["vcf", "bed", "fasta"])
def test_a_damaged_file_is_scored_or_refused_in_one_line(tmp_path, capfd, backbone, kind, is_compressed):
    """Whatever the damage: exit code 0 and all rows, or 1 with one line and no output; nothing else is there."""
    rng = random.Random(f"{kind} {is_compressed}")
    codes = []
    for number in range(N_MUTANTS):
        folder = tmp_path / str(number)
        has_fasta_index = number % 4 == 0
        paths = make_inputs(folder, is_compressed=is_compressed, has_fasta_index=has_fasta_index)
        damage(paths[kind], kind, rng, is_compressed=is_compressed)
        output = folder / OUTPUTS[number % len(OUTPUTS)]
        rule = ("error", "skip", "warn")[number % 3]
        words = [*arguments(paths, kind, output), "--backbone", str(backbone), "--ref_mismatch", rule]
        capfd.readouterr()
        codes.append(cli.main(words))
        printed, errors = capfd.readouterr()
        new = {path.name for path in folder.iterdir() if not path.name.startswith("in.")}
        if codes[-1] == 0:
            assert (errors, new) == ("", {output.name})
            check_result(printed, output)
        else:
            assert (codes[-1], printed, errors.count("\n")) == (1, "", 1)
            assert errors.startswith("dnafm: error: ")
            # Finished chunks are kept: the same command goes on when the input is mended.
            assert new <= {f"{output.name}.parts"}
    assert set(codes) == {0, 1}


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("kind", ["vcf", "bed"])
def test_the_undamaged_files_are_scored(tmp_path, capfd, backbone, kind, is_compressed):
    """What the mutants are made of is sound, so that they are refused for their damage alone."""
    for extension in OUTPUTS:
        folder = tmp_path / extension
        paths = make_inputs(folder, is_compressed=is_compressed, has_fasta_index=False)
        output = folder / extension
        assert cli.main([*arguments(paths, kind, output), "--backbone", str(backbone)]) == 0
        printed, errors = capfd.readouterr()
        assert errors == ""
        check_result(printed, output)
