"""Pretraining: from FASTA files to a checkpoint that `from_pretrained` loads.

result = pretrain(PretrainingSettings(train_files=["genome.fa"], output_dir="runs/tiny", max_tokens=10_000_000))
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from torch.utils.data import Subset
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.data import (
    EncodedGenome,
    GenomeWindows,
    MaskedDiffusionCollator,
    MaskedLanguageModelCollator,
    open_genomes,
)
from dnafm.environment import is_bf16_fast, measured_matmul_flops
from dnafm.training.accounting import device_peak_flops, training_flops
from dnafm.training.architectures import build_model, enable_gradient_checkpointing
from dnafm.training.checkpointing import checkpoint_to_resume, write_errors_as_os_errors
from dnafm.training.genome_sampling import GenomeSampler
from dnafm.training.masked_evaluation import evaluation_windows
from dnafm.training.pretraining_settings import PretrainingSettings
from dnafm.training.pretraining_trainer import PretrainingTrainer
from dnafm.training.throughput import ThroughputMeter
from dnafm.version import __version__

REPORT_NAME = "pretraining.json"
# Masks of the evaluation are those of one seed, whatever that of the training.
_EVALUATION_SEED = 0


@dataclass(frozen=True)
class PretrainingPlan:
    """What a run will do, with all that can be wrong checked.

    Attributes:
        settings: what was asked for.
        model: on the CPU, fresh or loaded.
        context_length: most tokens of an input.
        training: windows outside of the held-out regions.
        evaluation: windows of the held-out regions of each species.
        arguments: of the trainer.
        resume_from: checkpoint to go on from, if any.
    """

    settings: PretrainingSettings
    model: DNAFMForMaskedLM
    context_length: int
    training: GenomeWindows
    evaluation: dict[str, Subset]
    arguments: TrainingArguments
    resume_from: Path | None

    @property
    def windows_per_step(self) -> int:
        """Windows that all ranks together see between two updates of the weights."""
        arguments = self.arguments
        return (
            arguments.per_device_train_batch_size
            * arguments.gradient_accumulation_steps
            * max(1, arguments.world_size)
        )


def pretrain(
    settings: PretrainingSettings,
    *,
    announce: Callable[[PretrainingPlan], None] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Any]:
    """Pretrain a model, and write it with its tokenizer and a report to the output folder.

    Under `torchrun` or `accelerate launch` every rank calls this, and sees its own windows.

    Args:
        settings: what to train on what, and how.
        announce: called with the plan before training starts, on every rank.
        callbacks: of the trainer, as in transformers.

    Returns:
        The report: `metrics` of the last evaluation, and of the training.

    Raises:
        ValueError: a setting, a file or a region is wrong.
        FileExistsError: the output folder is not empty, and the run is not to be resumed.
    """
    plan = prepare(settings)
    if announce is not None:
        announce(plan)
    trainer = build_trainer(plan, callbacks=callbacks)
    result = trainer.train(resume_from_checkpoint=str(plan.resume_from) if plan.resume_from else None)
    metrics = dict(result.metrics)
    if plan.evaluation:
        metrics |= trainer.evaluate_last_step()
    report = _report(plan, metrics)
    _save(trainer, plan, report)
    # No rank leaves while another one still needs it.
    trainer.accelerator.wait_for_everyone()
    return report


def prepare(settings: PretrainingSettings) -> PretrainingPlan:
    """Open the genomes, build the model and check everything before training starts."""
    paths = settings.paths()
    output_dir = Path(settings.output_dir)
    # First of all, before any rank writes to the folder.
    resume_from = checkpoint_to_resume(output_dir, settings.resume_from_checkpoint)
    set_seed(settings.seed)
    model = build_model(
        settings.model,
        overrides=settings.config_overrides,
        attn_implementation=settings.attn_implementation,
        rope_implementation=settings.rope_implementation,
    )
    if settings.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    longest = model.config.max_position_embeddings
    context_length = settings.context_length or longest
    if context_length > longest:
        raise ValueError(f"context_length is {context_length}; the model's context has {longest} tokens.")
    genomes = open_genomes(paths, cache_dir=settings.cache_dir)
    training = GenomeWindows(
        genomes,
        context_length,
        held_out=settings.held_out,
        max_unknown=settings.max_unknown,
        random_offset=settings.random_offset,
        soft_mask_weight=settings.soft_mask_weight,
        seed=settings.seed,
    )
    evaluation = _evaluation(settings, genomes, context_length)
    arguments = _training_arguments(settings, context_length, has_evaluation=bool(evaluation))
    return PretrainingPlan(settings, model, context_length, training, evaluation, arguments, resume_from)


def build_trainer(plan: PretrainingPlan, *, callbacks: Sequence[TrainerCallback] = ()) -> PretrainingTrainer:
    """Return the trainer of a plan."""
    settings, arguments = plan.settings, plan.arguments
    n_samples = arguments.max_steps * plan.windows_per_step
    trainer = PretrainingTrainer(
        model=plan.model,
        args=arguments,
        train_dataset=plan.training,
        eval_dataset=plan.evaluation or None,
        data_collator=_collator(settings),
        processing_class=DNAFMTokenizer(model_max_length=plan.model.config.max_position_embeddings),
        train_sampler=GenomeSampler(plan.training, n_samples, size_power=settings.size_power, seed=settings.seed),
        eval_collator=MaskedLanguageModelCollator(
            mlm_probability=settings.mlm_probability, mask_share=1.0, random_share=0.0, seed=_EVALUATION_SEED
        ),
        meter=_meter(plan),
        keep_checkpoints=settings.keep_checkpoints,
        use_muon=settings.optimizer == "muon",
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _evaluation(settings: PretrainingSettings, genomes: list[EncodedGenome], context_length: int) -> dict[str, Subset]:
    if not settings.held_out:
        return {}
    return evaluation_windows(
        genomes,
        context_length,
        held_out=settings.held_out,
        n_windows=settings.eval_windows,
        max_unknown=settings.max_unknown,
    )


def _collator(settings: PretrainingSettings) -> Any:
    shared: dict[str, Any] = {
        "seed": settings.seed,
        "reverse_complement_probability": settings.reverse_complement_probability,
    }
    if settings.objective == "diffusion":
        return MaskedDiffusionCollator(**shared)
    return MaskedLanguageModelCollator(
        mlm_probability=settings.mlm_probability,
        mask_share=settings.mask_share,
        random_share=settings.random_share,
        **shared,
    )


def _training_arguments(
    settings: PretrainingSettings, context_length: int, *, has_evaluation: bool
) -> TrainingArguments:
    base: dict[str, Any] = {"output_dir": settings.output_dir, "use_cpu": not torch.accelerator.is_available()}
    # The number of ranks, on which the rest depends, is known to TrainingArguments alone.
    devices = TrainingArguments(**base)
    n_ranks = max(1, devices.world_size)
    accumulation_steps = settings.accumulation_steps(n_ranks)
    max_steps = settings.n_steps(settings.batch_size * n_ranks * accumulation_steps, context_length)
    every = max(1, max_steps // 10)
    use_bf16 = settings.precision == "bf16" or (settings.precision == "auto" and is_bf16_fast(devices.device))
    fixed = {
        "max_steps": max_steps,
        "per_device_train_batch_size": settings.batch_size,
        "per_device_eval_batch_size": settings.batch_size,
        "gradient_accumulation_steps": accumulation_steps,
        "learning_rate": settings.peak_learning_rate(),
        "lr_scheduler_type": settings.lr_scheduler_type,
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "adam_beta1": settings.adam_beta1,
        "adam_beta2": settings.adam_beta2,
        "max_grad_norm": settings.max_grad_norm,
        "bf16": use_bf16,
        "eval_strategy": "steps" if has_evaluation else "no",
        "eval_steps": settings.eval_every_steps or every,
        "save_steps": settings.save_every_steps or every,
        "logging_steps": settings.logging_steps,
        "dataloader_num_workers": settings.workers,
        "dataloader_persistent_workers": settings.workers > 0,
        # Pinned memory is for GPUs; torch warns where there is none.
        "dataloader_pin_memory": devices.device.type == "cuda",
        "remove_unused_columns": False,
        # Weights of the loss are a sum over the ranks divided by the labels of all of them.
        "average_tokens_across_devices": True,
        "seed": settings.seed,
        "report_to": settings.report_to,
        "disable_tqdm": True,
    }
    return TrainingArguments(**{**base, **fixed, **settings.trainer})


def _meter(plan: PretrainingPlan) -> ThroughputMeter:
    device = plan.arguments.device
    dtype = torch.bfloat16 if plan.arguments.bf16 else torch.float32
    peak = (device_peak_flops(device) if plan.arguments.bf16 else None) or measured_matmul_flops(device, dtype)
    config = plan.model.config
    return ThroughputMeter(lambda lengths: training_flops(config, lengths), peak)


def _report(plan: PretrainingPlan, metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "versions": {"dnafm": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
        "parameters": plan.model.num_parameters(),
        "steps": plan.arguments.max_steps,
        "windows_per_step": plan.windows_per_step,
        "context_length": plan.context_length,
        "settings": asdict(plan.settings),
        "metrics": dict(metrics),
    }


def _save(trainer: PretrainingTrainer, plan: PretrainingPlan, report: Mapping[str, Any]) -> None:
    # Gathers what is sharded, so all ranks take part.
    state_dict = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.args.should_save:
        return
    folder = Path(plan.settings.output_dir)
    with write_errors_as_os_errors(folder):
        plan.model.save_pretrained(folder, state_dict=state_dict)
    cast(PreTrainedTokenizerBase, trainer.processing_class).save_pretrained(folder)
    (folder / REPORT_NAME).write_text(json.dumps(report, indent=2) + "\n")
