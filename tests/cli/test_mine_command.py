"""`dnafm mine`: from genomes to hits, and what is refused."""

import os
import random
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("pysam")
pytest.importorskip("pyarrow")
pytest.importorskip("lancedb")

import lancedb
import pyarrow.parquet as pq
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dnafm import DNAFMForSequenceClassification, DNAFMForTokenClassification, DNAFMTokenizer
from dnafm.analysis import mining_classify, mining_files
from dnafm.analysis.mining_queries import StoreQueries
from dnafm.genomics import read_bed, reverse_complement


def random_dna(n_bases: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=n_bases))


FIRST, SECOND = random_dna(2400, 0), random_dna(600, 1)


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_model):
    """A working directory with a model that reads 62 bases, and two genomes."""
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained("model")
    DNAFMTokenizer(model_max_length=64).save_pretrained("model")
    Path("first.fa").write_text(f">chr1\n{FIRST}\n>chr2\n{FIRST[:60]}{'N' * 200}\n")
    Path("second.fa").write_text(f">chr1\n{SECOND}\n")
    return tmp_path


@pytest.fixture
def store(place, dnafm):
    """A store of both genomes in windows of 60 bases every 30."""
    words = ["--backbone", "model", "--window", 60]
    assert dnafm("mine", "index", "first.fa", "second.fa", "-o", "store", *words)[0] == 0
    return "store"


def rows(folder="store"):
    return lancedb.connect(folder).open_table("windows").to_arrow()


def test_the_help_tells_each_action(dnafm):
    """Of the command, and of the actions."""
    code, printed, _ = dnafm("mine", "--help")
    assert code == 0
    for action in ("index", "query", "classify", "info"):
        assert f"dnafm mine {action}" in printed
        assert dnafm("mine", action, "--help")[0] == 0
    assert dnafm("mine")[0] == 2


def test_genomes_are_added_one_by_one(place, dnafm):
    """A store keeps its options; the second run names none, and the rows are those of one run."""
    options = ["--backbone", "model", "--window", 60, "--step", 20, "--vector_dtype", "float16"]
    code, printed, errors = dnafm("mine", "index", "first.fa", "-o", "store", *options)
    assert (code, errors) == (0, "")
    assert "first: 120 windows, 9 places of unknown bases skipped." in printed
    assert "120 windows added to store, which has 120, searched exactly." in printed
    assert dnafm("mine", "index", "second.fa", "-o", "store", "--genome_name", "other")[0] == 0
    names = ["--genome_name", "first", "other"]
    assert dnafm("mine", "index", "first.fa", "second.fa", "-o", "at_once", *options, *names)[0] == 0
    assert rows().equals(rows("at_once"))
    assert sorted(path.name for path in Path("store").iterdir()) == ["genomes.lance", "windows.lance"]


def test_info_tells_what_is_inside(store, dnafm):
    """Model, windows, genomes and their files."""
    code, printed, errors = dnafm("mine", "info", store)
    assert (code, errors) == (0, "")
    assert "store: 100 windows, 2 genomes" in printed
    assert re.search(rf"backbone  {Path('model').resolve()} \(weights [0-9a-f]{{16}}\), float32", printed)
    assert "60 bases every 30, strand forward" in printed
    assert f"first: complete\n  file      {Path('first.fa').resolve()}" in printed
    assert "contigs   2 with 2,660 bases" in printed
    assert "search    exact" in printed


def test_a_bed_of_hits_is_ranked_within_queries(store, dnafm):
    """Copies at window starts come first, with 1,000, on the strand that they are on."""
    Path("genes.fa").write_text(f">fwd\n{FIRST[300:360]}\n>rev\n{reverse_complement(SECOND[90:150])}\n")
    code, printed, errors = dnafm("mine", "query", store, "--fasta", "genes.fa", "-k", 3, "-o", "hits.bed")
    assert (code, errors) == (0, "")
    assert "2 queries: 6 hits in hits.bed." in printed
    found = [record.interval for record in read_bed("hits.bed")]
    assert [hit.name for hit in found] == ["fwd"] * 3 + ["rev"] * 3
    assert (found[0].to_region(), found[0].strand, found[0].score) == ("chr1:301-360", "+", 1000)
    assert (found[3].to_region(), found[3].strand, found[3].score) == ("chr1:91-150", "-", 1000)
    scores = [hit.score for hit in found]
    assert scores[:3] == sorted(scores[:3], reverse=True)


def test_hits_at_the_places_of_queries_are_left_out(store, dnafm):
    """In a genome of the store, whatever its file is called now; without the option they are the first hits."""
    Path("genes.bed").write_text("chr1\t300\t360\tgene\t0\t-\nchr1\t600\t660\tgene\t0\t+\n")
    Path("first.fa").rename("renamed.fa")
    words = ["mine", "query", store, "--bed", "genes.bed", "--fasta", "renamed.fa", "-k", 2]
    assert dnafm(*words, "-o", "with.tsv")[0] == 0
    assert dnafm(*words, "-o", "without.tsv", "--exclude_self")[0] == 0
    with_self, without = (
        [line.split("\t") for line in Path(name).read_text().splitlines()[1:]] for name in ("with.tsv", "without.tsv")
    )
    assert with_self[0][:7] == ["gene", "1", "first", "chr1", "300", "360", "-"]
    assert with_self[2][:7] == ["gene_2", "1", "first", "chr1", "600", "660", "+"]
    assert without[0][2:6] == with_self[1][2:6]
    for query, _, genome, contig, start, end, *_ in without:
        own = {"gene": (300, 360), "gene_2": (600, 660)}[query]
        assert (genome, contig) != ("first", "chr1") or int(start) >= own[1] or int(end) <= own[0]


def test_filters_choose_genomes_and_contigs(store, dnafm):
    """All formats have the same rows."""
    words = ["mine", "query", store, "--sequence", FIRST[:60], "-k", 5]
    assert dnafm(*words, "-o", "hits.parquet", "--genome", "second")[0] == 0
    assert set(pq.read_table("hits.parquet")["genome"].to_pylist()) == {"second"}
    assert dnafm(*words[:-1], 1, "-o", "hits.jsonl", "--contig", "chr2")[0] == 0
    assert '"contig": "chr2", "start_bp": 0' in Path("hits.jsonl").read_text()
    assert dnafm(*words, "-o", "hits.csv", "--min_score", 0.99999)[0] == 0
    assert len(Path("hits.csv").read_text().splitlines()) == 3


@pytest.fixture
def classifier(place, tiny_model):
    """A classifier of three classes in a folder."""
    model = tiny_model(DNAFMForSequenceClassification, id2label={0: "no", 1: "maybe", 2: "yes"})
    model.save_pretrained("tuned")
    DNAFMTokenizer(model_max_length=64).save_pretrained("tuned")


def test_classify_ranks_windows_by_probability(store, classifier, dnafm):
    """The probabilities of the task itself, of a store and of the same genomes without one."""
    words = ["--model", "tuned", "--target", "yes", "-k", 10]
    code, printed, errors = dnafm("mine", "classify", store, *words, "-o", "hits.parquet")
    assert (code, errors) == (0, "")
    assert "100 windows: 10 hits in hits.parquet." in printed
    found = pq.read_table("hits.parquet")
    assert found.column_names[-1] == "probability"
    windows = {("first", "chr2", 0): FIRST[:60], ("first", "chr2", 30): FIRST[30:60] + "N" * 30}
    for name, bases in (("first", FIRST), ("second", SECOND)):
        windows |= {(name, "chr1", start): bases[start : start + 60] for start in range(0, len(bases) - 59, 30)}
    tokens = AutoTokenizer.from_pretrained("tuned")(list(windows.values()), return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = AutoModelForSequenceClassification.from_pretrained("tuned").eval()(**tokens).logits
    expected = logits.softmax(dim=1)[:, 2].sort(descending=True).values[:10]
    assert found["probability"].to_pylist() == pytest.approx(expected.tolist(), abs=1e-6)
    words += ["--window", 60, "--step", 30, "-o", "files.parquet"]
    assert dnafm("mine", "classify", "first.fa", "second.fa", *words)[0] == 0
    assert pq.read_table("files.parquet").equals(found)


def test_classify_goes_on_where_it_stopped(store, classifier, dnafm, monkeypatch):
    """The hits are those of a run without interruption; a genome that was moved is told by what is in it."""
    for module in (mining_classify, mining_files):
        monkeypatch.setattr(module, "CHUNK_WINDOWS", 20)
    words = ["mine", "classify", store, "--model", "tuned", "--target", "yes", "-k", 5, "--merge", 0]
    assert dnafm(*words, "-o", "whole.bed")[0] == 0
    score, n_calls = mining_files.score_table, 0

    def failing(*arguments):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            raise KeyboardInterrupt
        return score(*arguments)

    monkeypatch.setattr(mining_files, "score_table", failing)
    assert dnafm(*words, "-o", "hits.bed")[0] == 130
    Path("first.fa").rename("moved.fa")
    code, printed, _ = dnafm(*words, "-o", "hits.bed", "--fasta", "moved.fa")
    assert code == 0
    assert "Went on from 2 finished chunks" in printed
    assert Path("hits.bed").read_bytes() == Path("whole.bed").read_bytes()


def test_query_goes_on_where_it_stopped(store, dnafm, monkeypatch):
    """The hits are those of a run without interruption; queries that were answered are not asked again."""
    monkeypatch.setattr(mining_files, "CHUNK_QUERIES", 2)
    Path("genes.fa").write_text("".join(f">q{i}\n{FIRST[30 * i : 30 * i + 60]}\n" for i in range(7)))
    words = ["mine", "query", store, "--fasta", "genes.fa", "-k", 3]
    assert dnafm(*words, "-o", "whole.tsv")[0] == 0
    answer, asked = StoreQueries.answer, []

    def failing(self, queries):
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.extend(query.id for query in queries)
        return answer(self, queries)

    with monkeypatch.context() as patch:
        patch.setattr(StoreQueries, "answer", failing)
        assert dnafm(*words, "-o", "hits.tsv")[0] == 130
    assert not Path("hits.tsv").exists()
    code, printed, _ = dnafm(*words, "-o", "hits.tsv")
    assert code == 0
    assert asked == ["q0", "q1", "q2", "q3"]
    assert "Went on from 2 finished chunks" in printed
    assert Path("hits.tsv").read_bytes() == Path("whole.tsv").read_bytes()
    assert not Path("hits.tsv.parts").exists()


def test_a_second_query_of_an_id_is_refused_or_numbered(store, dnafm):
    """As asked; by default it is refused, with the option that helps."""
    Path("genes.fa").write_text(f">q\n{FIRST[:60]}\n>q\n{FIRST[60:120]}\n")
    words = ["mine", "query", store, "--fasta", "genes.fa", "-k", 1, "-o", "hits.bed"]
    code, _, errors = dnafm(*words)
    assert code == 1
    assert "genes.fa:3: the id 'q' is that of genes.fa:1." in errors
    assert "duplicate_ids number" in errors
    assert dnafm(*words, "--duplicate_ids", "number")[0] == 0
    assert [record.interval.name for record in read_bed("hits.bed")] == ["q", "q_2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("index first.fa -o store --window 50", "store was made with window_bp 60, not 50"),
        ("index first.fa -o store --backbone dnafm_tiny", r"backbone '.*model' \(weights .*'dnafm_tiny' \(weights"),
        ("index first.fa -o store", "first.fa: this genome is in store already, as 'first'"),
        ("index first.fa -o new --backbone model --window 60 --step 0", "step_bp is 0; it must be 1 to 60"),
        ("index none.fa -o store", "none.fa: there is no such file"),
        ("index first.fa -o model", "model is no store of genomes"),
        ("index first.fa -o no/store", "no/store"),
        ("query store --sequence ACGT -k 1 -o hits.gff", "extension says the format"),
        ("query store --sequence ACGT -k 1 -o no/hits.bed", "The folder no does not exist"),
        ("query store --sequence ACGT -k 1 -o genes.bed", "genes.bed exists. .* replace it by --overwrite"),
        ("query none --sequence ACGT -k 1 -o hits.bed", "none: there is no such store"),
        ("query model --sequence ACGT -k 1 -o hits.bed", "model is no store of genomes"),
        ("query store --sequence ACGT -k 101 -o hits.bed", "k is 101, and store has 100 places"),
        ("query store --sequence MKVLE -k 1 -o hits.bed", "The query '1': .* Is it a protein"),
        ("query store --fasta protein.fa -k 1 -o hits.bed", "protein.fa:2: .*Is this a protein FASTA"),
        ("query store -k 1 -o hits.bed", "Name the queries"),
        ("query store --sequence A --fasta first.fa -k 1 -o hits.bed", "Name the queries"),
        ("query store --bed genes.bed -k 1 -o hits.bed", "--bed needs the genome"),
        ("query store --sequence ACGT --exclude_self -k 1 -o hits.bed", "--exclude_self needs the places"),
        ("query store --fasta query.fa --exclude_self -k 1 -o hits.bed", "query.fa is none of the genomes of store"),
        ("query store --fasta query.fa --backbone dnafm_tiny -k 1 -o hits.bed", "weights .*'dnafm_tiny'"),
        ("query store --sequence ACGT -k 1 -o hits.bed --batch 0", "--batch is 0"),
        ("classify store --model tuned --target si -o hits.bed", "'si'; the model has no, maybe, yes"),
        ("classify store --model tuned --target yes --window 10 -o hits.bed", "--window is that of the store"),
        ("classify store first.fa --model tuned --target yes -o hits.bed", "store is a store"),
        ("classify store --model tuned --target yes -k 101 -o hits.bed", "k is 101, and the genomes have 100 places"),
        ("classify store --model tuned --target yes -k 1 --min_score 1.5 -o hits.bed", "a probability lies in 0 to 1"),
        ("classify store --model none --target yes -o hits.bed", "'none' is neither"),
        ("classify first.fa --model tuned --target yes --window 63 -o hits.bed", "the model reads 1 to 62"),
        ("classify first.fa --model tuned --target yes --fasta first.fa -o hits.bed", "genomes of a store"),
        ("classify store --fasta query.fa --model tuned --target yes -o hits.bed", "query.fa is none of the genomes"),
        (
            "classify store --model tokens --target yes -o hits.bed",
            "tokens lacks weights of DNAFMForSequenceClassification",
        ),
        ("info query.fa", "query.fa is no store of genomes"),
    ],
)
def test_what_does_not_fit_is_one_line(refused, dnafm, words, message):
    """Exit code 1, and neither a file nor chunks are left behind."""
    before = {path.name for path in Path().iterdir()}
    code, _, errors = dnafm("mine", *words.split())
    assert code == 1
    assert errors.count("\n") == 1
    assert re.search(message, errors), errors
    assert {path.name for path in Path().iterdir()} - {"query.fa.fai"} == before


@pytest.fixture(scope="module")
def refused(tmp_path_factory, tiny_model):
    """What the commands above are run in: a store, models, and files that do not fit."""
    from dnafm.cli.main import main

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("refused"))
        tiny_model().save_pretrained("model")
        names = {0: "no", 1: "maybe", 2: "yes"}
        tiny_model(DNAFMForSequenceClassification, id2label=names).save_pretrained("tuned")
        tiny_model(DNAFMForTokenClassification).save_pretrained("tokens")
        for folder in ("model", "tuned", "tokens"):
            DNAFMTokenizer(model_max_length=64).save_pretrained(folder)
        Path("first.fa").write_text(f">chr1\n{FIRST}\n>chr2\n{FIRST[:60]}{'N' * 200}\n")
        Path("second.fa").write_text(f">chr1\n{SECOND}\n")
        Path("query.fa").write_text(f">q\n{FIRST[:60]}\n")
        Path("protein.fa").write_text(">p\nMKVLAAGE\n")
        Path("genes.bed").write_text("chr1\t300\t360\n")
        words = ["mine", "index", "first.fa", "second.fa", "-o", "store", "--backbone", "model", "--window", "60"]
        assert main(words) == 0
        yield


def test_a_store_that_cannot_be_made_is_named(place, dnafm):
    """A file is where the folder should be."""
    Path("taken").write_text("text")
    code, _, errors = dnafm("mine", "index", "first.fa", "-o", "taken", "--backbone", "model", "--window", 60)
    assert code == 1
    assert "taken is no store of genomes" in errors


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(place, dnafm):
    """Before anything is computed."""
    Path("locked").mkdir(mode=0o500)
    code, _, errors = dnafm("mine", "index", "first.fa", "-o", "locked/store", "--backbone", "model", "--window", 60)
    assert code == 1
    assert "locked/store" in errors


def test_a_missing_lancedb_is_named_with_its_extra(place, dnafm, monkeypatch):
    """In one line, before weights are loaded."""
    monkeypatch.setitem(sys.modules, "lancedb", None)
    code, _, errors = dnafm("mine", "info", "store")
    assert (code, errors) == (1, "dnafm: error: Genome mining needs lancedb: pip install 'dnafm[mining]'\n")
