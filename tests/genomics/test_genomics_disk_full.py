import subprocess
import sys

import pytest

NAMES = ("t.bed", "t.bed.gz", "t.vcf", "t.vcf.gz", "t.bcf", "t.bw")
SCRIPT = """
import random, resource, sys
import numpy as np
from dnafm.genomics import InfoField, Interval, TrackSegment, VcfWriter, parse_variant_text, write_bed, write_bigwig

def write(name, rng):
    if ".bed" in name:
        write_bed(name, (Interval("c", i, i + 1, name=f"{rng.getrandbits(120):x}") for i in range(30_000)))
    elif name.endswith(".bw"):
        write_bigwig(name, [TrackSegment("c", 0, np.random.rand(99_999))], contig_lengths={"c": 10**6})
    else:
        with VcfWriter(name, info=[InfoField("S", "A", "Float", "x")], contig_lengths={"c": 10**6}) as writer:
            for i in range(30_000):
                writer.write(parse_variant_text(f"c:{i + 1}:A:G"), {"S": rng.random()})

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for name in sys.argv[1:]:
    try:
        write(name, random.Random(0))
    except OSError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_full_disk_is_an_error_of_one_line_and_leaves_nothing(tmp_path):
    """A limit on the size of files stands for the disk; the temporary files are gone too."""
    paths = [str(tmp_path / name) for name in NAMES]
    result = subprocess.run([sys.executable, "-c", SCRIPT, *paths], capture_output=True, text=True, check=True)
    for path, line in zip(paths, result.stdout.splitlines(), strict=True):
        assert line.startswith((f"{path} ", f"{path}: "))
        assert "Is the disk full" in line
    assert not list(tmp_path.iterdir())
