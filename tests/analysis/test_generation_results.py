import pytest

from dnafm.analysis.generation_results import GeneratedSequence, generated_sequences, generation_table
from dnafm.analysis.sequence_constraints import FailureReason

DONE = GeneratedSequence(
    "t_1", "t", "ACGT", 2, -1.25, guide_value=-0.123456789, gc=0.5, unmasking_values=(0.1, 0.2), acceptance_rate=1 / 3
)
FAILED = GeneratedSequence("t_2", "t", None, 2, failed=FailureReason.GC)


def test_header_tells_what_is_known():
    """As key=value; what is not known is left out."""
    header = ">t_1 log_likelihood=-1.25 guide_value=-0.123457 gc=0.5 n_designed=2 acceptance_rate=0.333333"
    assert DONE.to_fasta() == f"{header}\nACGT\n"


def test_failed_sample_is_no_record():
    """It has no sequence."""
    with pytest.raises(ValueError, match="t_2 failed"):
        FAILED.to_fasta()


def test_table_has_a_row_for_each_sample():
    """Null for what is not known, with the same types whatever the rows are."""
    pytest.importorskip("pyarrow")
    table = generation_table([DONE, FAILED])
    assert table.column_names == [
        "id",
        "template",
        "sequence",
        "n_designed",
        "log_likelihood",
        "guide_value",
        "gc",
        "identity",
        "acceptance_rate",
        "failed",
    ]
    assert table.to_pylist()[1] == {
        **dict.fromkeys(table.column_names),
        "id": "t_2",
        "template": "t",
        "n_designed": 2,
        "failed": "gc",
    }
    assert generation_table([FAILED]).schema == table.schema


def test_samples_come_back_from_their_table():
    """All that they are, with the values after each round."""
    pytest.importorskip("pyarrow")
    assert generated_sequences(generation_table([DONE, FAILED], with_rounds=True)) == [DONE, FAILED]
