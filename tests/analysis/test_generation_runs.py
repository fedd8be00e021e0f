"""Generation in chunks: interrupted, resumed and shared by ranks it gives what it gives in memory."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow")

from dnafm import DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.generation import generate, n_passes
from dnafm.analysis.generation_guides import Guidance
from dnafm.analysis.generation_runs import GenerationRun
from dnafm.analysis.generation_samples import Designer
from dnafm.analysis.generation_sampling import Sampling
from dnafm.analysis.generation_templates import Template, parse_template
from dnafm.analysis.sequence_constraints import SequenceConstraints

TOKENIZER = DNAFMTokenizer(model_max_length=64)
IDS = TOKENIZER.convert_tokens_to_ids(list("ACGT"))


class SkewedModel:
    """Always predicts the same, mostly A, so that sequences are often equal."""

    device = torch.device("cpu")

    def model(self, input_ids, attention_mask):
        logits = torch.zeros(*input_ids.shape, 16)
        logits[..., IDS] = torch.tensor([0.7, 0.15, 0.1, 0.05]).log()
        return SimpleNamespace(last_hidden_state=logits)

    def lm_head(self, states):
        return states


class CountGuide:
    """Counts C."""

    def scores(self, sequences):
        return np.array([sequence.count("C") for sequence in sequences], float)


class Rank:
    """One of some ranks in this process; before its second barrier the first one runs the others."""

    def __init__(self, number, n_ranks, others=lambda: None):
        self.process_index, self.num_processes, self.is_main_process = number, n_ranks, number == 0
        self.others, self.n_waits = others, 0

    def wait_for_everyone(self):
        self.n_waits += 1
        if self.n_waits == 2:
            self.others()


def designer_of(max_tokens=1000, **options):
    predictor = BasePredictor(SkewedModel(), TOKENIZER, strand="forward", max_tokens=max_tokens)
    return Designer(predictor, **{"sampling": Sampling(rounds=2), "has_likelihood": False, **options})


class Stops(Designer):
    """Is interrupted before the batch of a number."""

    def results(self, batch, earlier):
        made.append(batch[0].key)
        if len(made) == self.stop:
            raise KeyboardInterrupt
        return super().results(batch, earlier)


made: list[tuple[int, int]] = []


def stopped(designer, stop):
    own = Stops(**{name: getattr(designer, name) for name in Designer.__dataclass_fields__})
    object.__setattr__(own, "stop", stop)
    return own


def finish(designer, templates, output, *, n_ranks=1, stop=0):
    """Run on some ranks, until `stop` batches were begun; return the results, None where it was interrupted."""
    made.clear()
    designer = stopped(designer, stop)

    def run_of(rank):
        return GenerationRun(designer, templates, output=output, settings={}, state=rank)

    def others():
        for number in range(1, n_ranks):
            run_of(Rank(number, n_ranks)).finish()

    run = run_of(Rank(0, n_ranks, others))
    try:
        run.finish()
    except KeyboardInterrupt:
        return None
    results = [result for chunk in run.results() for result in chunk]
    run.remove()
    return results


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text("AC?", min_size=1, max_size=4).map("?".__add__), min_size=1, max_size=3),
    n_samples=st.integers(1, 12),
    max_tokens=st.integers(1, 30),
    unique=st.booleans(),
    max_tries=st.integers(1, 5),
    is_guided=st.booleans(),
    interrupted=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 8)), max_size=3),
    n_ranks=st.integers(1, 3),
)
def test_results_do_not_depend_on_interruptions_or_ranks(
    tmp_path_factory, texts, n_samples, max_tokens, unique, max_tries, is_guided, interrupted, n_ranks
):
    """They are those of `generate`, also where a sample must not be equal to one of another chunk."""
    templates = [parse_template(text, id=str(i)) for i, text in enumerate(texts)]
    options = {
        "n_samples": n_samples,
        "unique": unique,
        "max_tries": max_tries,
        "guidance": Guidance(CountGuide(), candidates=2) if is_guided else None,
        "constraints": SequenceConstraints(forbid=("AAAA",)) if not any("AAAA" in text for text in texts) else None,
    }
    options = {name: value for name, value in options.items() if value is not None}
    designer = designer_of(max_tokens, **options)
    output = tmp_path_factory.mktemp("run") / "out.fa"
    results = None
    for of_ranks, stop in interrupted:
        results = results or finish(designer, templates, output, n_ranks=of_ranks, stop=stop)
    results = results or finish(designer, templates, output, n_ranks=n_ranks)
    expected = generate(designer.predictor, templates, sampling=designer.sampling, has_likelihood=False, **options)
    assert results == list(expected)
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize("unique", [False, True])
def test_nothing_is_made_twice_on_one_rank(tmp_path, unique):
    """After an interruption the finished batches are left out, and what later ones depend on is known."""
    designer = designer_of(30, n_samples=20, unique=unique, max_tries=100)
    templates = [parse_template("???"), parse_template("????", id="long")]
    keys = [batch[0].key for batch in designer.batches(templates)]
    assert len(keys) == 8
    assert finish(designer, templates, tmp_path / "out.fa", stop=6) is None
    assert made == keys[:6]
    assert finish(designer, templates, tmp_path / "out.fa") is not None
    assert made == keys[5:]


def test_ranks_make_anew_only_what_repeats_an_earlier_chunk(tmp_path):
    """Of different sequences none; of equal ones all chunks but the first, in their order, on the first rank."""
    long, short = parse_template("?" * 40), parse_template("A?")
    designer = designer_of(42 * 2, n_samples=8, unique=True)
    assert finish(designer, [long], tmp_path / "out.fa", n_ranks=2) is not None
    assert made == [(0, 0), (0, 4), (0, 2), (0, 6)]
    designer = designer_of(4, n_samples=4, unique=True, sampling=Sampling(temperature=0.0), max_tries=2)
    found = finish(designer, [short], tmp_path / "out.fa", n_ranks=2)
    assert made == [(0, 0), (0, 2), (0, 1), (0, 3), (0, 1), (0, 2), (0, 3)]
    assert [result.sequence for result in found] == ["AA", None, None, None]


def test_progress_tells_the_passes_of_all_on_every_rank(tmp_path):
    """Those of other ranks and of an earlier run, too."""
    told: list[int] = []
    options = {"n_samples": 10, "has_likelihood": True, "sampling": Sampling(rounds=3, refinement_rounds=2)}
    designer = designer_of(20, on_progress=told.append, **options)
    templates = [parse_template("AC????")]
    total = n_passes(templates, **options)
    assert total == 10 * (3 + 2 + 4)
    assert finish(designer, templates, tmp_path / "out.fa", stop=3) is None
    told.clear()
    finish(designer, templates, tmp_path / "out.fa", n_ranks=2)
    assert sum(told) == 2 * total


BASE = {
    "n_samples": 10,
    "guidance": Guidance(CountGuide()),
    "constraints": SequenceConstraints(identity_to=("ACGT",)),
}
TEMPLATES = [Template("t", "AC??", "G", "T")]


@pytest.mark.parametrize(
    ("changes", "templates", "name"),
    [
        ({"n_samples": 11}, TEMPLATES, "n 10, not 11"),
        ({"unique": True}, TEMPLATES, "unique false, not true"),
        ({"max_tries": 3}, TEMPLATES, "max_tries 10, not 3"),
        ({"has_likelihood": True}, TEMPLATES, "likelihood false, not true"),
        ({"max_tokens": 20}, TEMPLATES, "batch 30, not 20"),
        ({"guidance": Guidance(CountGuide(), strength=2.0)}, TEMPLATES, "strength 1.0, not 2.0"),
        ({"guidance": Guidance(CountGuide(), candidates=2)}, TEMPLATES, "candidates 4, not 2"),
        ({"guidance": None}, TEMPLATES, "candidates 4, not null, strength 1.0, not null"),
        ({"sampling": Sampling(seed=1)}, TEMPLATES, "sampling "),
        ({"constraints": SequenceConstraints(gc=(0, 1), identity_to=("ACGT",))}, TEMPLATES, "constraints "),
        ({"constraints": SequenceConstraints(identity_to=("ACGA",))}, TEMPLATES, "constraints "),
        ({}, [replace(TEMPLATES[0], id="u")], "templates "),
        ({}, [replace(TEMPLATES[0], bases="AG??")], "templates "),
        ({}, [replace(TEMPLATES[0], before="", after="GT")], "templates "),
        ({}, [*TEMPLATES, Template("v", "?")], "templates "),
    ],
)
def test_chunks_of_other_options_are_refused(tmp_path, changes, templates, name):
    """The message names the option that differs, and no other; with the same ones the run goes on."""
    assert finish(designer_of(30, **BASE), TEMPLATES, tmp_path / "out.fa", stop=2) is None
    with pytest.raises(ValueError, match=f"holds 1 finished chunks of a run with {name}") as error:
        finish(designer_of(**{"max_tokens": 30, **BASE, **changes}), templates, tmp_path / "out.fa")
    differences = str(error.value).split("a run with ")[1].split(". Run with")[0]
    assert differences.count(", not ") == 1 + (changes.get("guidance", BASE) is None)
    assert finish(designer_of(30, **BASE), TEMPLATES, tmp_path / "out.fa") is not None
