"""`dnafm embed` gives the vectors of `Embedder`, in each format, from FASTA, BED and tables."""

import gzip
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("pysam")
pytest.importorskip("datasets")

import pyarrow as pa
import pyarrow.parquet as pq
import pysam
from safetensors.numpy import load_file
from transformers import AutoModel, AutoTokenizer

from dnafm.analysis.embedder import Embedder
from dnafm.checkpoints import backbone_location, loading
from dnafm.genomics import reverse_complement

CONTIG = "ACGTTGCAAGGCTTATACCGGATCAATGCCGTTAAGCACTGATCGTTACGGATCCATTGC"
RECORDS = {"long": CONTIG, "short": "gattaca", "rna": "ACGUUGNRY", "other": CONTIG[10:40]}
POOLED = ["parquet", "tsv", "csv.gz", "jsonl", "npy", "safetensors", "h5ad"]


@pytest.fixture(scope="module")
def pretrained():
    """The encoder of dnafm_tiny and its tokenizer."""
    location = backbone_location("dnafm_tiny")
    return AutoModel.from_pretrained(location).eval(), AutoTokenizer.from_pretrained(location)


@pytest.fixture
def vectors(pretrained):
    """The vectors that are due, (sequences, layers, hidden), or without pooling a list."""

    def embed(sequences, **options):
        of_rows = list(Embedder(*pretrained, **options).embed(sequences))
        return of_rows if options.get("pooling") == "none" else np.stack(of_rows)

    return embed


@pytest.fixture
def files(workplace):
    """FASTA, BED and tables, in the working directory."""
    records = "".join(f">{name} of a gene\n{bases[:20]}\n{bases[20:]}\n" for name, bases in RECORDS.items())
    Path("genes.fa").write_text(records)
    Path("genome.fa").write_text(f">chr1\n{CONTIG}\n>chr2\n{CONTIG[::-1]}\n")
    Path("peaks.bed").write_text("chr1\t5\t25\tpeak\t0\t+\nchr1\t5\t25\t.\t0\t-\nchr2\t0\t9\n")
    rows = "".join(f"{name},{bases},{n}\n" for n, (name, bases) in enumerate(RECORDS.items()))
    Path("genes.csv").write_text(f"gene,bases,007\n{rows}")
    return workplace


def read_vectors(path):
    """Return vectors by the library of the format: (rows, hidden), or (rows, layers, hidden)."""
    if path.endswith(".npy"):
        return np.load(path)
    if path.endswith(".safetensors"):
        return load_file(path)["embedding"]
    if path.endswith(".h5ad"):
        annotated = pytest.importorskip("anndata").read_h5ad(path)
        further = list(annotated.obsm.values())
        return np.stack([annotated.X, *further], axis=1) if further else annotated.X
    columns = [values for name, values in read_columns(path).items() if name.startswith("embedding")]
    arrays = [np.array(values, np.float32) for values in columns]
    return arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=1)


def read_columns(path):
    """Return the columns of a table, vectors as lists of numbers."""
    if path.endswith(".parquet"):
        return pq.read_table(path).to_pydict()
    data = Path(path).read_bytes()
    lines = (gzip.decompress(data) if path.endswith(".gz") else data).decode().splitlines()
    if ".jsonl" in path:
        rows = [json.loads(line) for line in lines]
        return {name: [row[name] for row in rows] for name in rows[0]}
    split = (lambda line: line.split("\t")) if ".tsv" in path else (lambda line: re.findall(r'"[^"]*"|[^,]+', line))
    names, *rows = map(split, lines)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return {
        name: [[float(x) for x in cell.strip('"').split(",")] for cell in cells] if "embedding" in name else cells
        for name, cells in columns.items()
    }


def read_ids(path):
    """Return the columns beside the vectors, as text."""
    if path.endswith(".h5ad"):
        rows = pytest.importorskip("anndata").read_h5ad(path).obs
        return {"id": list(rows.index), **{name: list(map(str, rows[name])) for name in rows}}
    columns = read_columns(f"{path}.ids.tsv" if path.endswith(("npy", "safetensors")) else path)
    return {name: list(map(str, values)) for name, values in columns.items() if not name.startswith("embedding")}


@pytest.mark.parametrize("layers", [[-1], [3, -1]])
@pytest.mark.parametrize("extension", POOLED)
def test_each_format_gives_back_the_vectors(files, dnafm, vectors, extension, layers):
    """To the last bit, with ids and coordinates of whole records, and no other file."""
    if extension == "h5ad":
        pytest.importorskip("anndata")
    before = set(files.iterdir())
    code, printed, errors = dnafm("embed", "genes.fa", "-o", f"out.{extension}", "--layer", *layers)
    assert (code, errors) == (0, "")
    assert f"4 sequences, 106 bases: vectors in out.{extension}.\n" in printed
    expected = vectors(RECORDS.values(), layers=tuple(layers))
    np.testing.assert_array_equal(read_vectors(f"out.{extension}"), expected if len(layers) > 1 else expected[:, 0])
    lengths = [str(len(bases)) for bases in RECORDS.values()]
    assert read_ids(f"out.{extension}") == {
        "id": list(RECORDS),
        "contig": list(RECORDS),
        "start_bp": ["0"] * 4,
        "end_bp": lengths,
        "strand": ["+"] * 4,
        "n_bases": lengths,
    }
    written = {path.name for path in set(files.iterdir()) - before if path.name != "cache"}
    beside = {f"out.{extension}.ids.tsv"} if extension in ("npy", "safetensors") else set()
    assert written == {f"out.{extension}", *beside}
    assert all(f"Beside it: {name}." in printed for name in beside)


def test_lists_of_parquet_have_a_fixed_size_and_the_options_are_kept(files, dnafm):
    """In the schema: of a vector, and the names of layers counted from the input."""
    assert dnafm("embed", "genes.fa", "-o", "out.parquet", "--layer", 0, -1, "--strand", "both")[0] == 0
    schema = pq.read_schema("out.parquet")
    assert schema.names[-2:] == ["embedding_0", "embedding_6"]
    assert schema.field("embedding_6").type == pa.list_(pa.float32(), 192)
    described = json.loads(schema.metadata[b"dnafm"])
    assert (described["backbone"], described["strand"], described["layers"]) == ("dnafm_tiny", "both", [0, 6])


@pytest.mark.parametrize("layers", [[-1], [3, -1]])
def test_vectors_of_bases(files, dnafm, vectors, layers):
    """One for each base, in parquet and as a tensor for each id."""
    words = ["embed", "genes.fa", "--pooling", "none", "--layer", *layers]
    for name in ("out.parquet", "out.safetensors"):
        assert dnafm(*words, "-o", name)[0] == 0
    columns, tensors = read_columns("out.parquet"), load_file("out.safetensors")
    expected = vectors(RECORDS.values(), layers=tuple(layers), pooling="none")
    for row, (name, of_layers) in enumerate(zip(RECORDS, expected, strict=True)):
        np.testing.assert_array_equal(tensors[name], of_layers if len(layers) > 1 else of_layers[0])
        lists = [values[row] for column, values in columns.items() if column.startswith("embedding")]
        np.testing.assert_array_equal(np.array(lists, np.float32), of_layers)


def test_options_are_those_of_the_embedder(files, dnafm, vectors):
    """Pooling, strand, windows, special tokens and the dtype of the file."""
    words = ["--pooling", "max", "--strand", "both", "--window", 16, "--overlap", 5]
    assert dnafm("embed", "genes.fa", "-o", "max.npy", *words, "--output_dtype", "float16")[0] == 0
    expected = vectors(RECORDS.values(), pooling="max", strand="both", window_bp=16, overlap_bp=5)[:, 0]
    found = np.load("max.npy")
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, expected.astype(np.float16))
    assert dnafm("embed", "genes.fa", "-o", "special.npy", "--special_tokens", "--batch", 64)[0] == 0
    expected = vectors(RECORDS.values(), special_tokens=True, max_tokens=64)[:, 0]
    np.testing.assert_array_equal(np.load("special.npy"), expected)


@pytest.mark.parametrize("extension", ["parquet", "safetensors", "h5ad", "tsv"])
def test_half_precision_is_held_by(files, dnafm, vectors, extension):
    """Each kind of file."""
    if extension == "h5ad":
        pytest.importorskip("anndata")
    assert dnafm("embed", "genes.fa", "-o", f"out.{extension}", "--output_dtype", "float16")[0] == 0
    expected = vectors(RECORDS.values())[:, 0].astype(np.float16)
    np.testing.assert_array_equal(read_vectors(f"out.{extension}").astype(np.float16), expected)


def test_intervals_are_read_along_their_strand(files, dnafm, vectors):
    """A minus strand is the reverse complement; ids are names, or regions where there are none."""
    assert dnafm("embed", "peaks.bed", "--fasta", "genome.fa", "-o", "out.parquet")[0] == 0
    plus, far = CONTIG[5:25], CONTIG[::-1][:9]
    np.testing.assert_array_equal(read_vectors("out.parquet"), vectors([plus, reverse_complement(plus), far])[:, 0])
    ids = read_ids("out.parquet")
    assert ids["id"] == ["peak", "chr1:6-25", "chr2:1-9"]
    assert (ids["contig"], ids["start_bp"], ids["end_bp"]) == (
        ["chr1"] * 2 + ["chr2"],
        ["5", "5", "0"],
        ["25", "25", "9"],
    )
    assert ids["strand"] == ["+", "-", "."]


def test_contigs_may_have_other_names_where_asked(files, dnafm):
    """1 for chr1; the output has the name of the genome."""
    Path("short.bed").write_text("1\t5\t25\n")
    words = ["embed", "short.bed", "--fasta", "genome.fa", "-o", "out.jsonl"]
    code, _, errors = dnafm(*words)
    assert code == 1
    assert "short.bed:1: genome.fa has no contig '1'. It has 'chr1'" in errors
    assert dnafm(*words, "--contig_aliases")[0] == 0
    assert read_ids("out.jsonl")["id"] == ["chr1:6-25"]


def test_tables_keep_their_other_columns(files, dnafm, vectors):
    """As they are written in csv, and with their types in parquet; the sequence alone is left out."""
    words = ["--sequence_column", "bases", "--id_column", "gene"]
    assert dnafm("embed", "genes.csv", "-o", "out.parquet", *words)[0] == 0
    columns = read_columns("out.parquet")
    assert [columns[name] for name in ("id", "007")] == [list(RECORDS), ["0", "1", "2", "3"]]
    assert list(columns) == ["id", "n_bases", "007", "embedding"]
    np.testing.assert_array_equal(read_vectors("out.parquet"), vectors(RECORDS.values())[:, 0])
    typed = pa.table(
        {
            "sequence": list(RECORDS.values()),
            "score": pa.array([1, None, 3, 4], pa.int32()),
            "tags": [["a"], [], None, ["b", "c"]],
            "nothing": pa.nulls(4),
        }
    )
    pq.write_table(typed, "typed.parquet")
    assert dnafm("embed", "typed.parquet", "-o", "typed_out.parquet")[0] == 0
    found = pq.read_table("typed_out.parquet")
    assert found["id"].to_pylist() == ["1", "2", "3", "4"]
    assert (found.schema.field("score").type, found["tags"].to_pylist()) == (pa.int32(), typed["tags"].to_pylist())
    assert found["score"].to_pylist() == typed["score"].to_pylist()


@pytest.mark.parametrize("name", ["genes.fa.gz", "bgzip.fa.gz"])
def test_compressed_fasta_is_the_same(files, dnafm, name):
    """Whether by gzip or bgzip."""
    if name.startswith("bgzip"):
        pysam.tabix_compress("genes.fa", name)
    else:
        Path(name).write_bytes(gzip.compress(Path("genes.fa").read_bytes()))
    for source, output in (("genes.fa", "plain.tsv"), (name, "compressed.tsv")):
        assert dnafm("embed", source, "-o", output)[0] == 0
    assert Path("plain.tsv").read_bytes() == Path("compressed.tsv").read_bytes()


def test_repeated_ids_are_an_error_or_numbered(files, dnafm):
    """Past those that the input has already; first ones and unique ones keep theirs."""
    names = ["a", "b", "a", "a_2", "a", "b"]
    Path("repeated.fa").write_text("".join(f">{name}\nACGT\n" for name in names))
    words = ["embed", "repeated.fa", "-o", "out.parquet"]
    code, _, errors = dnafm(*words)
    assert code == 1
    assert errors.startswith("dnafm: error: repeated.fa:5: the id 'a' is that of repeated.fa:1.")
    code, printed, _ = dnafm(*words, "--duplicate_ids", "number")
    assert code == 0
    assert "3 sequences with the id of an earlier one have a new id" in printed
    assert read_ids("out.parquet")["id"] == ["a", "b", "a_3", "a_2", "a_4", "b_2"]
    assert read_ids("out.parquet")["contig"] == names
    Path("repeated.csv").write_text("id,sequence\nx,ACGT\ny,ACGT\nx,ACGT\n")
    code, _, errors = dnafm("embed", "repeated.csv", "-o", "out.tsv")
    assert code == 1
    assert "repeated.csv, row 3: the id 'x' is that of repeated.csv, row 1." in errors


def test_large_safetensors_come_in_shards(files, dnafm, vectors):
    """The index tells the file of each tensor; what is replaced leaves no shard behind."""
    words = ["embed", "genes.fa", "-o", "out.safetensors"]
    code, printed, _ = dnafm(*words, "--max_shard_size", "1MB")
    assert code == 0
    whole = load_file("out.safetensors")["embedding"]
    code, _, errors = dnafm(*words)
    assert code == 1
    assert "out.safetensors exists" in errors
    # Two vectors of 192 x 4 bytes fit.
    code, printed, _ = dnafm(*words, "--max_shard_size", "2KB", "--overwrite")
    assert code == 0
    assert "vectors in out-00001-of-00002.safetensors" in printed
    index = json.loads(Path("out.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": whole.nbytes}
    assert index["weight_map"] == {
        "embedding.00001": "out-00001-of-00002.safetensors",
        "embedding.00002": "out-00002-of-00002.safetensors",
    }
    parts = [load_file(file)[name] for name, file in index["weight_map"].items()]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert {path.name for path in files.glob("out*")} == {
        *index["weight_map"].values(),
        "out.safetensors.ids.tsv",
        "out.safetensors.index.json",
    }
    assert "exists" in dnafm(*words)[2]
    assert dnafm(*words, "--pooling", "none", "--max_shard_size", "20KB", "--overwrite")[0] == 0
    index = json.loads(Path("out.safetensors.index.json").read_text())
    expected = dict(zip(RECORDS, vectors(RECORDS.values(), pooling="none"), strict=True))
    assert index["weight_map"].keys() == RECORDS.keys()
    for name, file in index["weight_map"].items():
        np.testing.assert_array_equal(load_file(file)[name], expected[name][0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["protein.fa"], r"protein.fa:3: 'E' at offset 1 is no nucleotide: .* Is this a protein FASTA\?"),
        (["empty.fa"], "empty.fa: the file is empty"),
        (["empty.bed", "--fasta", "genome.fa"], "empty.bed: there is no sequence in the file"),
        (["header.csv"], "header.csv has a header and no rows"),
        (["nameless.fa"], "nameless.fa:1: the header has no name"),
        (["headless.fa"], "headless.fa:1: bases before the first header"),
        (["bare.fa"], "bare.fa:1: the sequence 'x' has no bases"),
        (["cut.fa.gz"], "cut.fa.gz:[0-9]+: the compressed data are cut or damaged"),
        (["past.bed", "--fasta", "genome.fa"], "past.bed:2: chr1:51-61 ends behind chr1, which has 60 bases"),
        (["turned.bed", "--fasta", "genome.fa"], "turned.bed:1: start_bp 9 must be below end_bp 5"),
        (["absent.bed", "--fasta", "genome.fa"], "absent.bed:1: genome.fa has no contig 'chr9'"),
        (["peaks.bed"], "peaks.bed: the bases of a BED file are in a genome. Name it by fasta"),
        (["peaks.bed", "--fasta", "absent.fa"], "absent.fa: No such file"),
        (["absent.fa"], "absent.fa: there is no such file"),
        (["notes.txt"], "notes.txt: the extension tells the format"),
        (["genes.csv"], "genes.csv has no column 'sequence'; its columns are gene, bases, 007"),
        (["genes.csv", "--sequence_column", "base"], "Did you mean 'bases'"),
        (["genes.csv", "--sequence_column", "bases", "--id_column", "genes"], "no column 'genes'.* mean 'gene'"),
        (["genes.fa", "--id_column", "gene"], "those of a table, and genes.fa is none"),
        (["amino.csv"], "amino.csv, row 2: 'E' at offset 1 is no nucleotide"),
        (["hollow.csv"], "hollow.csv, row 1: in column 'sequence' is no sequence, but ''"),
        (["clash.csv"], "The input has a column 'n_bases', and so has what is written"),
        (["genes.fa", "-o", "out.xlsx"], "out.xlsx: the extension says the format, and must be one of .parquet"),
        (["genes.fa", "-o", "genes.csv"], "genes.csv exists"),
        (["genes.fa", "-o", "taken.npy"], "taken.npy.ids.tsv exists"),
        (["genes.fa", "-o", "absent/out.npy"], "The folder absent does not exist"),
        (["genes.fa", "-o", "out.npy", "--pooling", "none"], "vectors of bases go into .parquet or .safetensors"),
        (["genes.fa", "-o", "out.h5ad", "--pooling", "none"], "or pool by mean, cls or max"),
        (["genes.fa", "-o", "out.jsonl", "--pooling", "none"], "or pool by mean, cls or max"),
        (["nested.jsonl", "-o", "nested.tsv"], "cannot hold struct<.*>, as 'x' is"),
        (["nested.jsonl", "-o", "nested.h5ad"], "AnnData cannot hold struct<.*>, as 'x' is"),
        (["genes.fa", "-o", "out.safetensors", "--max_shard_size", "much"], "max_shard_size is 'much'"),
        (["genes.fa", "--layer", "7"], "Layer 7 is none of the model's"),
        (["genes.fa", "--layer", "6", "-1"], "have one twice"),
        (["genes.fa", "--contig_aliases"], "about the genome of a BED file"),
        (["genes.fa", "--backbone", "absent"], "The backbone 'absent' is neither"),
    ],
)
def test_wrong_input_is_one_line_before_weights_are_loaded(files, dnafm, monkeypatch, words, message):
    """With exit code 1, the file and its line or row, and nothing that is left."""
    if "h5ad" in "".join(words):
        pytest.importorskip("anndata")
    texts = {
        "protein.fa": ">a\nACGT\nMEKL\n",
        "empty.fa": "",
        "empty.bed": "# nothing\n",
        "header.csv": "id,sequence\n",
        "nameless.fa": ">\nACGT\n",
        "headless.fa": "ACGT\n",
        "bare.fa": ">x\n>y\nACGT\n",
        "past.bed": "chr1\t0\t60\nchr1\t50\t61\n",
        "turned.bed": "chr1\t9\t5\n",
        "absent.bed": "chr9\t5\t9\n",
        "notes.txt": "ACGT\n",
        "amino.csv": "sequence\nACGT\nMEKL\n",
        "hollow.csv": 'id,sequence\na,""\n',
        "clash.csv": "sequence,n_bases\nACGT,4\n",
        "nested.jsonl": '{"sequence": "ACGT", "x": {"y": 1}}\n',
        "taken.npy.ids.tsv": "",
    }
    for name, text in texts.items():
        Path(name).write_text(text)
    Path("cut.fa.gz").write_bytes(gzip.compress(Path("genes.fa").read_bytes())[:-20])
    monkeypatch.setattr(loading, "load_model", lambda *_, **__: pytest.fail("weights are loaded"))
    before = set(files.iterdir())
    code, printed, errors = dnafm("embed", *(words if "-o" in words else [*words, "-o", "out.parquet"]))
    assert (code, printed) == (1, "")
    assert errors.count("\n") == 1
    assert re.search(message, errors)
    assert not [path for path in set(files.iterdir()) - before if path.suffix != ".fai" and path.name != "cache"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--window", 1_000_000], "window_bp is 1000000; the model reads 1 to 1024 bases"),
        (["--window", 16, "--overlap", 16], "overlap_bp is 16"),
        (["--batch", 0], "max_tokens is 0"),
        (["--window", 16, "--special_tokens"], "genes.fa:1: the sequence has 60 bases and is read in windows of 16"),
    ],
)
def test_options_that_do_not_fit_the_model_are_one_line(files, dnafm, words, message):
    """And leave nothing."""
    code, printed, errors = dnafm("embed", "genes.fa", "-o", "out.parquet", *words)
    assert (code, printed) == (1, "")
    assert errors.count("\n") == 1
    assert message in errors
    assert not list(files.glob("out*"))


def test_missing_library_is_told_before_weights_are_loaded(files, dnafm, monkeypatch):
    """With the extra that has it."""
    monkeypatch.setitem(sys.modules, "anndata", None)
    code, _, errors = dnafm("embed", "genes.fa", "-o", "out.h5ad")
    assert code == 1
    assert errors == "dnafm: error: Files of AnnData need anndata: pip install 'dnafm[anndata]'\n"
    assert not list(files.glob("out*"))


@pytest.mark.parametrize("strand", ["forward", "both"])
def test_tracks_beside_the_vectors_are_those_of_ism(files, dnafm, strand):
    """The same bytes, for the intervals of the input; the vectors are what they are without."""
    options = ("peaks.bed", "--fasta", "genome.fa", "--strand", strand, "--stride", "4", "--window", "32")
    assert dnafm("embed", *options, "-o", "alone.npy")[0] == 0
    assert dnafm("embed", *options, "-o", "peaks.npy", "--entropy_track", "embed.bw")[0] == 0
    assert dnafm("ism", *options, "--entropy_track", "ism.bw")[0] == 0
    assert Path("embed.bw").read_bytes() == Path("ism.bw").read_bytes()
    np.testing.assert_array_equal(np.load("peaks.npy"), np.load("alone.npy"))


def test_track_of_a_table_is_refused(files, dnafm):
    """A table has no genome along which it could lie; nothing is made."""
    code, output, errors = dnafm(
        "embed", "genes.csv", "--sequence_column", "bases", "-o", "genes.npy", "--entropy_track", "e.bw"
    )
    assert (code, output) == (1, "")
    assert errors.startswith("dnafm: error: A track lies along a genome, and genes.csv is a table.")
    assert not {"genes.npy", "e.bw", "genes.npy.parts"} & {path.name for path in Path().iterdir()}
