"""Real fixtures, and small files."""

from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def genome_path():
    """The chromosome of S. aureus NCTC 8325, compressed with bgzip and indexed."""
    return FIXTURES / "nctc8325.fa.gz"


@pytest.fixture(scope="session")
def vcf_path():
    """What differs in S. aureus RN4220: 109 records, compressed with bgzip and indexed."""
    return FIXTURES / "rn4220.vcf.gz"


@pytest.fixture
def write(tmp_path):
    """Factory of files of text or bytes."""

    def write(data, name):
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write
