"""`dnafm.mine.Index`: what was planted in a genome is found, and what does not fit is refused."""

import gzip
import re

import numpy as np
import pytest
import torch

pytest.importorskip("pyarrow")
pytest.importorskip("lancedb")

import dnafm
from dnafm import DNAFMForSequenceClassification, DNAFMModel, DNAFMTokenizer
from dnafm.analysis import mining_runs
from dnafm.analysis.mining import Index
from dnafm.analysis.mining_models import fingerprint
from dnafm.genomics import Interval, reverse_complement

WINDOW, STEP = 60, 30
TOKENIZER = DNAFMTokenizer(model_max_length=64)
QUIET = pytest.mark.filterwarnings("ignore:Shorter than the windows")


def random_dna(n_bases, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n_bases))


def mutated(sequence, share, seed):
    generator = np.random.default_rng(seed)
    bases = np.array(list(sequence))
    for place in np.flatnonzero(generator.random(len(bases)) < share):
        bases[place] = generator.choice(list("ACGT".replace(bases[place], "")))
    return "".join(bases)


# Three genes, copies of which stand at the starts of windows: as they are, and the first one reversed.
GENES = [random_dna(WINDOW, seed) for seed in (1, 2, 3)]
BACKGROUND = random_dna(1500, 0)
PLANTED = {300: GENES[0], 600: GENES[1], 900: reverse_complement(GENES[0])}


def planted_genome():
    bases = list(BACKGROUND)
    for start, gene in PLANTED.items():
        bases[start : start + WINDOW] = gene
    return "".join(bases)


def write_fasta(path, **contigs):
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    return path


@pytest.fixture(scope="module")
def model(tiny_model):
    torch.manual_seed(0)
    return tiny_model()


def create(path, model, **options):
    return Index.create(path, model, **{"tokenizer": TOKENIZER, "window_bp": WINDOW, "step_bp": STEP, **options})


@pytest.fixture(scope="module")
def index(model, tmp_path_factory):
    """A store of two genomes, the second one with the third gene."""
    folder = tmp_path_factory.mktemp("mined")
    made = create(folder / "store", model)
    made.add(
        [
            write_fasta(folder / "first.fa", chr1=planted_genome(), short=random_dna(20, 9)),
            write_fasta(folder / "second.fna", chr1=GENES[2] + random_dna(300, 8)),
        ]
    )
    return made


def places(hits):
    return list(zip(*(hits[name].to_pylist() for name in ("genome", "contig", "start_bp", "strand")), strict=True))


def test_exact_copies_at_window_starts_are_found_first(index):
    """On both strands, in both genomes, with a cosine of 1."""
    hits = index.query({"a": GENES[0], "b": GENES[1], "c": GENES[2]}, k=2)
    assert hits["query_id"].to_pylist() == ["a", "a", "b", "b", "c", "c"]
    assert hits["rank"].to_pylist() == [1, 2] * 3
    found = places(hits)
    assert set(found[:2]) == {("first", "chr1", 300, "+"), ("first", "chr1", 900, "-")}
    assert found[2] == ("first", "chr1", 600, "+")
    assert found[4] == ("second", "chr1", 0, "+")
    np.testing.assert_allclose(hits["cosine"].to_numpy()[[0, 1, 2, 4]], 1, atol=1e-5)


def test_ranks_are_those_of_all_pairs_of_vectors(index, model):
    """The cosines of a query's vectors and those of all windows, computed without a store."""
    genome = planted_genome()
    starts = range(0, len(genome) - WINDOW + 1, STEP)
    bases = [genome[start : start + WINDOW] for start in starts]
    windows = dnafm.embed(model, bases, tokenizer=TOKENIZER, pooling="max")
    query = mutated(GENES[1], 0.1, seed=5)
    strands = dnafm.embed(model, [query, reverse_complement(query)], tokenizer=TOKENIZER, pooling="max")
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (windows, strands)]
    best = (unit[0] @ unit[1].T).max(axis=1)
    hits = index.query([query], k=10, genomes=["first"], contigs=["chr1"])
    np.testing.assert_allclose(hits["cosine"].to_numpy(), np.sort(best)[::-1][:10], atol=1e-5)
    assert hits["start_bp"].to_pylist()[0] == starts[int(best.argmax())]


def test_one_strand_is_searched_where_one_is_asked_for(index):
    """The reversed copy is not found then."""
    hits = index.query([GENES[0]], k=5, strand="forward")
    assert places(hits)[0] == ("first", "chr1", 300, "+")
    assert set(hits["strand"].to_pylist()) == {"+"}
    assert ("first", "chr1", 900, "-") not in places(hits)


def test_a_store_of_both_strands_finds_the_same_copies(model, tmp_path):
    """Queries are read on one strand then, and a place is one hit."""
    both = create(tmp_path / "store", model, strand="both")
    both.add(write_fasta(tmp_path / "first.fa", chr1=planted_genome()))
    assert len(both) == 2 * 49
    hits = both.query([GENES[0]], k=49)
    assert set(places(hits)[:2]) == {("first", "chr1", 300, "+"), ("first", "chr1", 900, "-")}
    assert sorted(hits["start_bp"].to_pylist()) == list(range(0, 1441, STEP))


def test_a_long_query_is_cut_and_its_place_is_one_hit(index):
    """150 bases are windows at 0, 30, 60 and 90, each of which is in the store as it is."""
    genome = planted_genome()
    hits = index.query([genome[30:180]], k=3, merge_bp=0)
    first = hits.slice(0, 1).to_pylist()[0]
    assert (first["start_bp"], first["end_bp"], first["strand"]) == (30, 180, "+")
    assert first["cosine"] == pytest.approx(1, abs=1e-5)


@QUIET
def test_hits_at_the_querys_own_place_are_left_out(index):
    """Every window that overlaps it, and none in a contig of the same name of another genome."""
    own = ("first", Interval("chr1", 290, 310))
    hits = index.query([planted_genome()[290:310]], k=60, loci=[own])
    spans = zip(*(hits[name].to_pylist() for name in ("genome", "contig", "start_bp", "end_bp")), strict=True)
    left_out = {270, 300, 240} | {start for start in range(0, 1441, STEP) if start < 310 and start + WINDOW > 290}
    in_contig = {start for genome, contig, start, _ in spans if (genome, contig) == ("first", "chr1")}
    assert in_contig == set(range(0, 1441, STEP)) - left_out
    assert "second" in hits["genome"].to_pylist()


def test_a_lowest_score_ends_the_hits(index):
    """Those above it are the same as without."""
    everything = index.query([GENES[0]], k=20)
    lowest = everything["cosine"][4].as_py()
    assert index.query([GENES[0]], k=20, min_score=lowest).equals(everything.slice(0, 5))


def test_a_query_shorter_than_a_window_warns_once(index):
    """It is embedded as it is."""
    with pytest.warns(UserWarning, match=r"Shorter than the windows of 60 bases.*: 2 of the queries") as caught:
        hits = index.query([GENES[0][:20], GENES[1][:20], GENES[2]], k=1)
    assert len(caught) == 1
    assert len(hits) == 3


def test_the_same_genome_is_refused_a_second_time(index, tmp_path):
    """Whatever its file is called, however it is compressed, and also twice in one call."""
    copy = tmp_path / "copy.fa.gz"
    copy.write_bytes(gzip.compress(f">chr1\n{(GENES[2] + random_dna(300, 8)).lower()}\n".encode()))
    with pytest.raises(
        ValueError, match=r"copy\.fa\.gz: this genome is in .* already, as 'second' from .*second\.fna"
    ):
        index.add(copy)
    new = write_fasta(tmp_path / "new.fa", c=random_dna(100, 10))
    with pytest.raises(ValueError, match=r"this genome is in .* already, as 'new'"):
        index.add([new, new], names=["new", "other"])
    assert [genome.name for genome in index.genomes] == ["first", "second"]


def test_two_genomes_of_one_name_are_refused(index, tmp_path):
    """Another name helps."""
    other = write_fasta(tmp_path / "first.fa", c=random_dna(100, 11))
    with pytest.raises(ValueError, match=r"has another genome of the name 'first', from .* another name"):
        index.add(other)
    with pytest.raises(ValueError, match="2 names for 1 genomes"):
        index.add(other, names=["a", "b"])


def test_a_genome_is_added_later_without_touching_the_others(model, tmp_path):
    """The rows of the first one stay as they are, and the vectors of the second one are those that it has alone."""
    paths = [write_fasta(tmp_path / f"{name}.fa", c=random_dna(200, seed)) for seed, name in enumerate("ab")]
    grown, alone = create(tmp_path / "grown", model), create(tmp_path / "alone", model)
    grown.add(paths[0])
    before = grown._store.windows.to_arrow()
    grown.add(paths[1])
    alone.add(paths[1])
    after = grown._store.windows.to_arrow()
    assert after.slice(0, len(before)).equals(before)
    assert after.slice(len(before)).equals(alone._store.windows.to_arrow())


def test_a_failed_run_goes_on_where_it_stopped(model, tmp_path, monkeypatch):
    """Finished chunks are not computed again, and the rows are those of a run without interruption."""
    monkeypatch.setattr(mining_runs, "CHUNK_WINDOWS", 8)
    path = write_fasta(tmp_path / "a.fa", c=random_dna(1000, 12))
    whole, stopped = create(tmp_path / "whole", model), create(tmp_path / "stopped", model)
    assert whole.add(path) == 0
    table_of, n_calls = mining_runs.window_table, 0

    def failing(*arguments):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            raise KeyboardInterrupt
        return table_of(*arguments)

    monkeypatch.setattr(mining_runs, "window_table", failing)
    with pytest.raises(KeyboardInterrupt):
        stopped.add(path)
    (genome,) = stopped.genomes
    assert not genome.is_complete
    with pytest.raises(ValueError, match="is empty"):
        stopped.query([GENES[0]], k=1)
    assert Index.open(tmp_path / "stopped", model, tokenizer=TOKENIZER).add(path) == 2
    assert n_calls == 3 + 5 - 2
    again = Index.open(tmp_path / "stopped", model, tokenizer=TOKENIZER)
    assert again._store.windows.to_arrow().equals(whole._store.windows.to_arrow())
    assert [genome.is_complete for genome in again.genomes] == [True]
    assert sorted(path.name for path in (tmp_path / "stopped").iterdir()) == ["genomes.lance", "windows.lance"]


def test_another_model_is_refused_by_both_names(index, tiny_model):
    """Before it is asked anything, whatever its name is."""
    torch.manual_seed(1)
    other = tiny_model()
    opened = Index.open(index._store.path, other, tokenizer=TOKENIZER)
    names = f"weights {index.settings.weights}.*weights {fingerprint(other)}"
    with pytest.raises(ValueError, match=f"was made with the backbone.*{names}"):
        opened.query([GENES[0]], k=1)


def test_a_fingerprint_is_that_of_the_encoders_weights(model, tiny_model):
    """Not of their dtype, nor of a head around them; one weight that differs is seen."""
    own = fingerprint(model)
    assert len(own) == 16
    torch.manual_seed(0)
    copy = tiny_model()
    assert fingerprint(copy) == own
    assert fingerprint(copy.to(torch.bfloat16)) == own
    around = tiny_model(DNAFMForSequenceClassification)
    around.model.load_state_dict(model.state_dict())
    assert fingerprint(around) == own
    with torch.no_grad():
        around.model.layers[1].mlp.up_proj.weight[0, 0] += 1
    assert fingerprint(around) != own


def test_a_model_by_name_is_remembered(tmp_path, model):
    """A store that is opened later loads what it was made with; a path is found from elsewhere, too."""
    model.save_pretrained(tmp_path / "backbone")
    TOKENIZER.save_pretrained(tmp_path / "backbone")
    made = Index.create(tmp_path / "store", str(tmp_path / "backbone"), window_bp=WINDOW, pooling="mean", layer=1)
    made.add(write_fasta(tmp_path / "a.fa", c=random_dna(300, 13)))
    again = Index.open(tmp_path / "store")
    assert again.settings.backbone == str(tmp_path / "backbone")
    assert (again.settings.layer, again.settings.pooling, again.settings.step_bp) == (1, "mean", 30)
    assert again.query([random_dna(300, 13)[:60]], k=1)["start_bp"].to_pylist() == [0]


def test_an_empty_store_and_too_many_hits_are_refused(index, model, tmp_path):
    """K is compared with the places that are searched."""
    empty = create(tmp_path / "store", model)
    with pytest.raises(ValueError, match="is empty"):
        empty.query([GENES[0]], k=1)
    n_places = len(index)
    with pytest.raises(ValueError, match=re.escape(f"k is {n_places + 1}, and {index._store.path} has {n_places}")):
        index.query([GENES[0]], k=n_places + 1)
    with pytest.raises(ValueError, match=r"k is 12, and what is searched of .* has 11 places"):
        index.query([GENES[0]], k=12, genomes=["second"])
    assert len(index.query([GENES[0]], k=n_places)) == n_places


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"genomes": ["frist"]}, "has no genome 'frist' .*'first'"),
        ({"contigs": ["chr2"]}, "has no contig 'chr2' .*'chr1'"),
        ({"genomes": ["second"], "contigs": ["short"]}, "has no contig 'short'"),
        ({"k": 0}, "k is 0"),
        ({"min_score": 2}, "min_score is 2"),
        ({"merge_bp": -1}, "merge_bp is -1"),
        ({"strand": "reverse"}, "strand is 'reverse'"),
        ({"loci": []}, "0 loci for 1 sequences"),
    ],
)
def test_options_out_of_their_range_are_refused(index, options, message):
    """Names that are unknown with the nearest ones."""
    with pytest.raises(ValueError, match=message):
        index.query([GENES[0]], **{"k": 1, **options})


@pytest.mark.parametrize(
    ("sequence", "message"),
    [("MKVLAAGE", "'L' at offset .* Is it a protein"), ("", "at least one base"), ("N" * 70, "bases are unknown")],
)
def test_a_query_that_is_no_dna_is_refused_by_its_name(index, sequence, message):
    """The id stands in the message."""
    with pytest.raises(ValueError, match=f"The query 'bad'.*{message}"):
        index.query({"good": GENES[0], "bad": sequence}, k=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_bp": 63}, "window_bp is 63; the model reads 1 to 62 bases"),
        ({"pooling": "none"}, "a window has one vector"),
        ({"layer": 5}, "Layer 5 is none of the model's"),
        ({"vector_dtype": "int8"}, "vector_dtype is 'int8'"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_a_store_that_the_model_cannot_fill_is_not_made(model, tmp_path, options, message):
    """Nothing is left behind."""
    with pytest.raises(ValueError, match=message):
        create(tmp_path / "store", model, **options)
    assert not (tmp_path / "store").exists()


def test_a_store_need_not_be_on_a_disk(model, tmp_path, monkeypatch):
    """Chunks are in the working directory then, and gone at the end."""
    monkeypatch.chdir(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        # Each connection to memory is a database of its own.
        import lancedb

        connection = lancedb.connect("memory://store")
        patch.setattr(lancedb, "connect", lambda *_, **__: connection)
        elsewhere = create("memory://store", model)
        elsewhere.add(write_fasta(tmp_path / "a.fa", c=planted_genome()))
        assert places(elsewhere.query([GENES[1]], k=1)) == [("a", "c", 600, "+")]
    assert [path.name for path in tmp_path.iterdir()] == ["a.fa"]


def test_mine_is_found_in_the_package():
    """It is imported where it is first asked for."""
    assert dnafm.mine.Index is Index
    assert "mine" in dir(dnafm)
    assert DNAFMModel.__name__ == "DNAFMModel"
