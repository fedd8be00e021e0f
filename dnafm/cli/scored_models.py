"""The models of `dnafm score`: a backbone that predicts bases, and a fine-tuned one whose output changes."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from dnafm.analysis.base_predictions import BasePredictor, load_base_predictor
from dnafm.analysis.conditional_predictions import ConditionalPredictor
from dnafm.analysis.identities import weight_files
from dnafm.analysis.variant_readings import ModelOutput
from dnafm.checkpoints.loading import load_config
from dnafm.genomics import reverse_complement
from dnafm.tasks import SequenceClassification, SequenceRegression, Task


def load_predictor(args: Namespace, device: torch.device) -> BasePredictor:
    """Load the backbone with its head for masked bases."""
    return load_base_predictor(
        args.backbone, strand=args.strand, dtype=args.dtype, max_tokens=args.batch, device=device
    )


def conditioned(predictor: BasePredictor, args: Namespace) -> BasePredictor:
    """Return the predictor under `--condition` and `--guidance_scale`, or itself if the model is unconditional.

    Raises:
        ValueError: the condition is missing, or is none of the model's.
    """
    if args.condition is None and not predictor.model.config.is_conditional:
        return predictor
    shared = {each.name: getattr(predictor, each.name) for each in fields(predictor)}
    condition = args.condition[0] if args.condition and len(args.condition) == 1 else args.condition
    try:
        return ConditionalPredictor(**shared, condition=condition, guidance_scale=args.guidance_scale)
    except ValueError as error:
        raise ValueError(f"--condition with --backbone {args.backbone}: {error}") from error


def load_output(args: Namespace, device: torch.device) -> tuple[ModelOutput, BasePredictor]:
    """Load a fine-tuned model, and return its output, and itself as a predictor of which no base is asked.

    Raises:
        ValueError: the checkpoint has no head for sequences, or its input is shorter than the window.
        OSError: there is no such checkpoint.
    """
    is_regression = load_config(args.model).problem_type == "regression"
    task_type: type[Task] = SequenceRegression if is_regression else SequenceClassification
    average = "average" if args.strand == "both" else "none"
    task: Any = task_type.from_pretrained(args.model, dtype=args.dtype, reverse_complement=average)
    task.to(device).eval()
    if args.window > task.max_bases:
        raise ValueError(f"--window is {args.window}; {args.model} reads 1 to {task.max_bases} bases.")

    def read(windows: Sequence[str]) -> np.ndarray:
        sequences = list(map(reverse_complement, windows)) if args.strand == "reverse" else list(windows)
        with torch.inference_mode():
            return task(task.collate({"sequences": sequences})).float().cpu().numpy()

    names = tuple(task.target_names if is_regression else task.label_names)
    output = ModelOutput(names, "in the units of its data" if is_regression else "logit", read, args.batch)
    return output, BasePredictor(task.model, task.tokenizer, strand=args.strand, max_tokens=args.batch)


def model_identity(*, backbone: str | None = None, model: str | None = None, dtype: str | None) -> dict[str, Any]:
    """Return what tells the weights from others, as JSON holds it: names, and files where these are folders."""
    named = [name for name in (backbone, model) if name is not None]
    return {"backbone": backbone, "model": model, "dtype": dtype, "files": weight_files(*named)}
