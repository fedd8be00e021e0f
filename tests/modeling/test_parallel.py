"""Several processes on one machine; run by torchrun, this file is the worker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

import dnafm

HEADS = (
    "DNAFMForMaskedLM",
    "DNAFMForSequenceClassification",
    "DNAFMForTokenClassification",
    "DNAFMForPairwiseTokenClassification",
)
MODES = {"tensor parallel": {"tp_plan": "auto"}, "fully sharded": {"fsdp_size": 2}}
INPUTS = {
    "input_ids": torch.tensor([[2, 5, 6, 7, 8, 12], [2, 8, 8, 12, 0, 0], [0, 0, 0, 2, 5, 12]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]]),
}


def results_of(model):
    """Logits, loss and two gradients, gathered where they are sharded."""
    with torch.no_grad():
        logits = model(**INPUTS).logits
    labels = torch.arange(logits[..., 0].numel()).view(logits.shape[:-1]) % 3
    loss = model(**INPUTS, labels=labels).loss
    loss.backward()
    weights = (model.model.embed_tokens.weight, model.model.layers[0].mlp.down_proj.weight)
    gradients = [
        weight.grad.full_tensor() if hasattr(weight.grad, "full_tensor") else weight.grad for weight in weights
    ]
    return {"logits": logits, "loss": loss, "embeddings": gradients[0], "down_proj": gradients[1]}


def sharded_parts(model):
    """How many weights are here in part alone, and how many layers are units of FSDP2."""
    weights = [weight for weight in model.parameters() if isinstance(weight, DTensor)]
    cut = [weight for weight in weights if weight.to_local().numel() < weight.numel()]
    units = [layer for layer in model.model.layers if isinstance(layer, FSDPModule)]
    return {"cut weights": torch.tensor(len(cut)), "units": torch.tensor(len(units))}


def work(folder):
    """Load each head in each mode, and leave results or the error in the folder."""
    from transformers.distributed import DistributedConfig

    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    for mode, settings in MODES.items():
        for head in HEADS:
            path = folder / f"{mode}-{head}-{rank}"
            try:
                distributed_config = DistributedConfig(**settings)
                model = getattr(dnafm, head).from_pretrained(folder / head, distributed_config=distributed_config)
                results = {**sharded_parts(model), **results_of(model)}
                save_file(
                    {name: tensor.detach().contiguous() for name, tensor in results.items()},
                    path.with_suffix(".safetensors"),
                )
            except Exception as error:  # told by the test of this mode and head, while the others go on
                path.with_suffix(".txt").write_text(repr(error))
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def launched(tiny_model, tmp_path_factory):
    """The folder of two processes that are done, and the results of one process for each head."""
    folder, expected = tmp_path_factory.mktemp("parallel"), {}
    torch.manual_seed(0)
    for head in HEADS:
        model = tiny_model(getattr(dnafm, head))
        model.save_pretrained(folder / head)
        expected[head] = results_of(model)
    source = Path(dnafm.__file__).parents[1]
    paths = [str(source), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run(
        [*torchrun, __file__, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    return folder, expected


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("mode", MODES)
def test_two_processes_compute_what_one_computes(launched, mode, head):
    """Logits, loss and gradients of a padded batch, on both ranks."""
    folder, expected = launched
    for rank in range(2):
        path = folder / f"{mode}-{head}-{rank}"
        assert not path.with_suffix(".txt").exists(), path.with_suffix(".txt").read_text()
        results = load_file(path.with_suffix(".safetensors"))
        for name, tensor in expected[head].items():
            torch.testing.assert_close(results[name], tensor, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_each_process_has_a_part_of_the_weights(launched, head):
    """Layer by layer with FSDP2, all weights; with tensor parallelism, the seven matrices of each layer at least."""
    folder, _ = launched
    n_weights = len(list(getattr(dnafm, head).from_pretrained(folder / head).parameters()))
    for rank in range(2):
        found = {mode: load_file(folder / f"{mode}-{head}-{rank}.safetensors") for mode in MODES}
        assert found["fully sharded"]["units"] == 2
        assert found["fully sharded"]["cut weights"] == n_weights
        assert found["tensor parallel"]["units"] == 0
        assert found["tensor parallel"]["cut weights"] >= 2 * 7


if __name__ == "__main__":
    work(Path(sys.argv[1]))
