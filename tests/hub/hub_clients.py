"""What tests let another process do, whose Hub is the stand-in: pushing and pulling with the clients of users."""

import contextlib
import io
import os
import warnings
from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, TrainingArguments

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.cli import main as cli

SEQUENCES = ["ACGTNACGT", "gattaca", "AC[MASK]GT"]


def run_dnafm(*words: object, token: str | None = "hf_writer") -> tuple[int, str, str]:
    """Run a command as whoever a token belongs to; return its exit code, what it printed, and its errors."""
    out, err = io.StringIO(), io.StringIO()
    with _logged_in_by(token), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(list(map(str, words)))
        except SystemExit as leaving:
            code = leaving.code
    return code, out.getvalue(), err.getvalue()


def push_objects(folder: Path, repo: str, *options: dict) -> None:
    """Push model and tokenizer of a folder by their own `push_to_hub`, in two commits."""
    of_model, of_tokenizer = options or ({}, {})
    DNAFMForMaskedLM.from_pretrained(folder).push_to_hub(repo, **of_model)
    DNAFMTokenizer.from_pretrained(folder).push_to_hub(repo, **of_tokenizer)


def pushing_arguments(output_dir: Path, repo: str, **options) -> TrainingArguments:
    """Return the arguments of a quiet trainer on the CPU that saves nothing but what it pushes."""
    return TrainingArguments(
        output_dir=str(output_dir),
        hub_model_id=repo,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **options,
    )


def pull_logits(
    repo: str, cache_dir: Path, revision: str | None = None, token: str | None = "hf_writer"
) -> torch.Tensor | str:
    """Load model and tokenizer into a cache, and return the logits, (3, 11, 16), or the error of the model."""
    with _logged_in_by(token):
        try:
            model = AutoModelForMaskedLM.from_pretrained(repo, revision=revision, cache_dir=cache_dir)
        except OSError as error:
            return str(error)
        tokenizer = AutoTokenizer.from_pretrained(repo, revision=revision, cache_dir=cache_dir)
    return masked_lm_logits(model, tokenizer)


def masked_lm_logits(model, tokenizer) -> torch.Tensor:
    """Return the logits of the sequences of all these tests."""
    with torch.no_grad():
        return model(**tokenizer(SEQUENCES, padding=True, return_tensors="pt")).logits


@contextlib.contextmanager
def _logged_in_by(token: str | None):
    before = os.environ["HF_TOKEN"]
    try:
        if token is None:
            del os.environ["HF_TOKEN"]
        else:
            os.environ["HF_TOKEN"] = token
        yield
    finally:
        os.environ["HF_TOKEN"] = before


def with_strict_warnings(function, *args):
    """Call a function with warnings as errors, but for two of libraries' own."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # huggingface_hub's own use of what its HTTP library deprecates.
        warnings.filterwarnings("ignore", "Use 'content=", DeprecationWarning)
        # peft's own use of what transformers deprecates.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return function(*args)
