"""Entropy and log-probability of each base along a genome, against single passes of the plain model."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM

from dnafm import DNAFMTokenizer
from dnafm.analysis.base_tracks import read_tracks, track_bases
from dnafm.analysis.track_windows import track_chunks, track_reads
from dnafm.genomics import Interval, ReferenceGenome, reverse_complement

pytest.importorskip("pysam")

TOKENIZER = DNAFMTokenizer(model_max_length=64)
IDS = TOKENIZER.convert_tokens_to_ids(list("ACGT"))
CONTIGS = {
    "long": "GATTACAGGCTTAACCNRGATATCGCGATTTGCCATAAGCCTTAGGCATTACCGGTTCAA",
    "short": "ACGUTGN",
    "unknown": "NNNNN",
    "one": "C",
}
WINDOW_BP, STRIDE = 16, 3


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    """Contigs that are longer and shorter than a window, in both cases, and one of N alone."""
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text("".join(f">{name}\n{bases.lower()}\n" for name, bases in CONTIGS.items()))
    return ReferenceGenome(path)


@pytest.fixture(scope="module")
def plain_log_probabilities(checkpoint):
    """Log-probabilities (bases, 4) of a window with some places masked, of one pass of the plain model and strand."""
    model = AutoModelForMaskedLM.from_pretrained(checkpoint).eval()

    def compute(window, masked, strand):
        if strand == "both":
            of_strands = [compute(window, masked, each) for each in ("forward", "reverse")]
            return (sum(of_strands) / 2).log_softmax(-1)
        text = "".join("[MASK]" if i in masked else base for i, base in enumerate(window))
        if strand == "reverse":
            places = {len(window) - 1 - i for i in masked}
            text = "".join("[MASK]" if i in places else b for i, b in enumerate(reverse_complement(window)))
        with torch.no_grad():
            log_p = model(**TOKENIZER(text, return_tensors="pt")).logits[0, 1:-1, IDS].log_softmax(-1)
        return log_p.flip(0, 1) if strand == "reverse" else log_p

    return compute


def deepest_window(place, n_bases):
    """Start of the window in which a base lies deepest: one begins every 8 bases, the last ends with the contig."""
    last = max(0, n_bases - WINDOW_BP)
    starts = [*range(0, last, WINDOW_BP // 2), last]
    return max(starts, key=lambda start: (min(place - start, start + min(WINDOW_BP, n_bases) - 1 - place), -start))


def slow_numbers(bases, compute, strand, *, masked):
    """(2, bases): entropy in bits and log-probability in nats, one base after the other."""
    starts = [deepest_window(place, len(bases)) for place in range(len(bases))]
    numbers = np.full((2, len(bases)), np.nan)
    for place, start in enumerate(starts):
        beside = [i for i, other in enumerate(starts) if other == start and i % STRIDE == place % STRIDE]
        hidden = {i - start for i in beside if bases[i] in "ACGT"} if masked else set()
        if bases[place] in "ACGT":
            log_p = compute(bases[start : start + WINDOW_BP], hidden, strand)[place - start].double()
            numbers[:, place] = -(log_p.exp() * log_p).sum() / np.log(2), log_p["ACGT".index(bases[place])]
    return numbers


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
def test_numbers_are_those_of_single_passes_of_the_plain_model(
    predictor_of, genome, plain_log_probabilities, masked, strand
):
    """Of contigs in the order of the genome, with no number for N and R; U is T."""
    options = {"masked": masked, "stride": STRIDE, "window_bp": WINDOW_BP}
    parts = list(track_bases(predictor_of(strand), genome, **options))
    assert [(part.contig, part.start_bp) for part in parts] == [("long", 0), ("short", 0), ("unknown", 0), ("one", 0)]
    for part, bases in zip(parts, CONTIGS.values(), strict=True):
        expected = slow_numbers(bases.replace("U", "T"), plain_log_probabilities, strand, masked=masked)
        np.testing.assert_allclose([part.entropy_bits, part.log_probability], expected, atol=1e-5)
        assert part.entropy_bits.dtype == part.log_probability.dtype == np.float32


def fake_genome(bases, fetched=None):
    """A genome of one contig that tells how many bases are fetched at once."""

    def fetch_bases(contig, start_bp, end_bp):
        if fetched is not None:
            fetched.append(end_bp - start_bp)
        return bases[start_bp:end_bp]

    return SimpleNamespace(contig_lengths={"c": len(bases)}, resolve=lambda name: name, fetch_bases=fetch_bases)


@given(
    bases=st.text("ACGTN", min_size=1, max_size=90),
    window_bp=st.integers(1, 40),
    stride=st.integers(2, 12),
    chunk_bp=st.integers(1, 60),
)
def test_each_base_is_hidden_once(bases, window_bp, stride, chunk_bp):
    """With a quarter of the window on either side, and others hidden beside it at multiples of the stride alone."""
    n_hidden, n_asked = Counter(), Counter()
    for chunk in track_chunks(fake_genome(bases), None, window_bp=window_bp, chunk_bp=chunk_bp):
        for read in (read for piece in chunk for read in track_reads(piece, stride=stride)):
            n_hidden.update(read.masked.tolist())
            n_asked.update(read.asked.tolist())
            assert read.bases == bases[read.start_bp : read.start_bp + window_bp]
            assert len(read.bases) == min(window_bp, len(bases))
            assert (np.diff(read.masked) % stride == 0).all()
            end_bp = read.start_bp + len(read.bases)
            assert read.start_bp == 0 or read.masked[0] - read.start_bp >= window_bp // 4
            assert end_bp == len(bases) or end_bp - 1 - read.masked[-1] >= (window_bp - 1) // 4
    expected = dict.fromkeys((i for i, base in enumerate(bases) if base != "N"), 1)
    assert n_hidden == n_asked == expected


@given(
    edges=st.lists(st.tuples(st.integers(0, 89), st.integers(1, 30)), min_size=1, max_size=5),
    masked=st.booleans(),
    chunk_bp=st.integers(1, 60),
)
def test_regions_ask_about_their_bases_alone(edges, masked, chunk_bp):
    """Each once, though regions overlap; and what is hidden for a base is what it is for the whole contig."""
    bases = "ACGTTGCANACGGTATTAGC" * 4 + "GATTACAGAT"
    genome, options = fake_genome(bases), {"window_bp": 16, "chunk_bp": chunk_bp}
    intervals = [Interval("c", start, min(start + n, len(bases)), "-") for start, n in edges]
    asked_of = {}
    for of in (intervals, None):
        reads = [
            read
            for chunk in track_chunks(genome, of, **options)
            for piece in chunk
            for read in track_reads(piece, masked=masked, stride=4)
        ]
        asked_of[of is None] = {
            place: (read.start_bp, read.bases, read.masked.tolist()) for read in reads for place in read.asked.tolist()
        }
        assert len(asked_of[of is None]) == sum(len(read.asked) for read in reads)
    wanted = {i for each in intervals for i in range(each.start_bp, each.end_bp) if bases[i] != "N"}
    assert asked_of[False] == {place: asked_of[True][place] for place in wanted}


def test_parts_are_the_merged_regions(predictor_of, genome):
    """At both ends of a contig, on any strand and in any order: the numbers of the whole genome, in pieces, too."""
    whole = {part.contig: part for part in track_bases(predictor_of("both"), genome, window_bp=WINDOW_BP)}
    edges = [("one", 0, 1, "-"), ("long", 55, 60, "+"), ("long", 0, 20, "-"), ("long", 10, 23, "+")]
    intervals = [Interval(*each) for each in edges]
    counts = []
    parts = list(track_bases(predictor_of("both"), genome, intervals, window_bp=WINDOW_BP, on_progress=counts.append))
    assert [(part.contig, part.start_bp, len(part.entropy_bits)) for part in parts] == [
        ("long", 0, 23),
        ("long", 55, 5),
        ("one", 0, 1),
    ]
    assert sum(counts) == 29
    chunks = list(track_chunks(genome, intervals, window_bp=WINDOW_BP, chunk_bp=20))
    assert len(chunks) > 2
    in_pieces = [part for chunk in chunks for part in read_tracks(predictor_of("both"), chunk)]
    for part in [*parts, *in_pieces]:
        own = slice(part.start_bp, part.start_bp + len(part.entropy_bits))
        np.testing.assert_allclose(part.entropy_bits, whole[part.contig].entropy_bits[own], atol=1e-5)
        np.testing.assert_allclose(part.log_probability, whole[part.contig].log_probability[own], atol=1e-5)


def test_long_contigs_are_fetched_in_pieces():
    """A chunk and the window around it at most; where there is nothing but N, no window is read."""
    fetched = []
    bases = "ACGT" * 5_000 + "N" * 60_000 + "ACGT" * 5_000
    chunks = list(track_chunks(fake_genome(bases, fetched), None, window_bp=1024, chunk_bp=10_000))
    assert [sum(piece.n_bases for piece in chunk) for chunk in chunks[1:-1]] == [9 * 1024] * (len(chunks) - 2)
    assert max(fetched) <= 10_000 + 1024
    starts = [read.start_bp for chunk in chunks for piece in chunk for read in track_reads(piece, masked=False)]
    assert not [start for start in starts if 20_000 <= start < 79_000 - 1024]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 1}, "stride is 1; it must be at least 2"),
        ({"window_bp": 63}, "window_bp is 63; the model reads 1 to 62 bases"),
        ({"intervals": [Interval("short", 5, 8)]}, "short:6-8 ends behind short, which has 7 bases"),
        ({"intervals": [Interval("chr1", 5, 8)]}, "has no contig 'chr1'"),
    ],
)
def test_what_cannot_be_read_is_refused(predictor_of, genome, options, message):
    """The message names the value and the rule."""
    with pytest.raises(ValueError, match=message):
        next(track_bases(predictor_of("forward"), genome, **options))
