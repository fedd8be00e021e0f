import gzip
import lzma
import re
import struct
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.data import encode_fasta
from dnafm.data.fasta import _BGZF_END, SOFT_MASK_BIT, TOKEN_ID_MASK
from dnafm.tokenization_dnafm import VOCABULARY, DNAFMTokenizer

LETTERS = "ACGTUNRYSWKMBDHV"


def encode(path):
    blocks = []
    sequences = encode_fasta(path, blocks.append)
    return sequences, b"".join(blocks)


def letters_of(codes):
    """Spell codes, in lower case where the soft-mask bit is set."""
    spelled = [(VOCABULARY[code & TOKEN_ID_MASK], code & SOFT_MASK_BIT) for code in codes]
    return "".join(letter.lower() if is_masked else letter for letter, is_masked in spelled)


def read_naively(text):
    records = [record.splitlines() for record in text.split(">")[1:]]
    meaning = str.maketrans("UuRYSWKMBDHVryswkmbdhv", "Tt" + "N" * 10 + "n" * 10)
    return {lines[0].split()[0]: "".join(lines[1:]).translate(meaning) for lines in records}


def bgzf_block(data):
    """Return a block as bgzip writes it: a gzip member whose extra field holds its size."""
    compressor = zlib.compressobj(wbits=-15)
    body = compressor.compress(data) + compressor.flush()
    header = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25)
    return header + body + struct.pack("<II", zlib.crc32(data), len(data))


@pytest.fixture
def write(tmp_path):
    def write(data, name="genome.fa"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def test_codes_are_token_ids_with_a_bit_for_lower_case(write):
    """By hand: A=5 G=6 C=7 T=8 N=10, U is T, R is N, lower case adds 128."""
    sequences, codes = encode(write(b">one first sequence\nAGC\nTNU\n>two\nRat\n"))
    assert list(codes) == [5, 6, 7, 8, 10, 8, 10, 128 + 5, 128 + 8]
    assert [(s.name, s.length_bp, s.offset) for s in sequences] == [("one", 6, 0), ("two", 3, 6)]


def test_ids_are_those_of_the_tokenizer(write):
    """Every accepted letter, in both cases, gets the id that DNAFMTokenizer gives it."""
    letters = LETTERS + LETTERS.lower()
    _, codes = encode(write(f">s\n{letters}\n".encode()))
    expected = DNAFMTokenizer()(letters, add_special_tokens=False)["input_ids"]
    assert [code & TOKEN_ID_MASK for code in codes] == expected


@st.composite
def fasta_texts(draw):
    """FASTA texts with any wrapping, line ends, case and blank lines."""
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    text = line_end * draw(st.integers(0, 2))
    for i in range(draw(st.integers(1, 4))):
        lines = draw(st.lists(st.text(LETTERS + LETTERS.lower(), max_size=9), max_size=5))
        lines.append(draw(st.sampled_from("ACGTacgtnN")))
        text += line_end.join([f">seq{i} of a genome", *lines]) + line_end * draw(st.integers(1, 3))
    return text.rstrip() if draw(st.booleans()) else text


@given(fasta_texts(), st.integers(1, 40))
def test_reader_agrees_with_a_naive_one(text, block_bytes):
    """Any layout and any size of block give the sequences that three lines of Python read."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr("dnafm.data.fasta._BLOCK_BYTES", block_bytes)
        path = Path(folder) / "genome.fa"
        path.write_bytes(text.encode())
        sequences, codes = encode(path)
    found = {s.name: letters_of(codes[s.offset : s.offset + s.length_bp]) for s in sequences}
    assert found == read_naively(text)


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, lzma.compress, lambda data: bgzf_block(data[:9]) + bgzf_block(data[9:]) + _BGZF_END],
    ids=["plain", "gzip", "xz", "bgzip"],
)
@pytest.mark.parametrize("name", ["genome.fa", "genome.fa.gz"])
def test_compression_is_told_by_content(write, compress, name):
    """Whatever the name says, the same bases come out."""
    path = write(compress(b">s\nACGTACGT\nAC\n"), name)
    assert letters_of(encode(path)[1]) == "ACGTACGTAC"


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_cut_compressed_file_is_refused(write, compress):
    """A download that stopped is an error, not a shorter genome."""
    path = write(compress(b">s\n" + bytes(b"ACGT"[i * i % 4] for i in range(9999)))[:-12])
    with pytest.raises(ValueError, match=r"genome\.fa:1: the compressed data are cut or damaged"):
        encode(path)


def test_bgzip_file_cut_between_blocks_is_refused(write):
    """Each block alone is a whole gzip file; only the missing end block tells."""
    with pytest.raises(ValueError, match="the block that ends every bgzip file is missing"):
        encode(write(bgzf_block(b">s\nACGT\n")))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ":1: the file holds no sequence"),
        (b"\n\n", ":1: the file holds no sequence"),
        (gzip.compress(b"", mtime=0), ":1: the file holds no sequence"),
        (b"\nACGT\n>s\nA\n", ":2: bases before the first header"),
        (b">s\nACGT\n\nACLT\n", ":4: 'L' is no nucleotide"),
        (b">s\nAC>T\n", ":2: '>' is no nucleotide"),
        (b">s\nAC-T\n", ":2: '-' is no nucleotide"),
        (b"\x89PNG\r\n", r":1: '\\x89' is no nucleotide"),
        (b">s\nA\n>t\n\n>u\nA\n", ":3: the sequence 't' has no bases"),
        (b">s\nA\n>t", ":3: the sequence 't' has no bases"),
        (b">s\nA\n>t\nA\n>s again\nA\n", ":5: the name 's' is that of line 1"),
        (b">s\nA\n> \nA\n", ":3: the header has no name"),
        (b">s\rACGT\r", ":1: lines end in CR alone"),
    ],
)
def test_what_is_no_fasta_is_refused_with_file_and_line(write, data, message):
    """The error names the file, the line and what is wrong there."""
    with pytest.raises(ValueError, match="^" + re.escape(str(write(data))) + message):
        encode(write(data))


def test_line_of_an_error_counts_lines_of_earlier_blocks(write, monkeypatch):
    """With blocks of one line, the bad letter in the 50th is still in line 50."""
    monkeypatch.setattr("dnafm.data.fasta._BLOCK_BYTES", 1)
    with pytest.raises(ValueError, match=":50: 'Z' is no nucleotide"):
        encode(write(b">s\n" + b"ACGT\n" * 48 + b"Z\n"))
