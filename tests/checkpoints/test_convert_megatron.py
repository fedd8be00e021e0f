"""Megatron-LM's ranks, split from a model by other code than that which puts them together."""

import json
import shutil
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from dnafm import DNAFMForMaskedLM
from dnafm.checkpoints import read_checkpoint, write_checkpoint

FIXTURES = Path(__file__).parents[1] / "fixtures" / "megatron"
PADDED_VOCABULARY = 24
LAYER_NORM = {"hidden_size": 24, "intermediate_size": 18, "num_hidden_layers": 4, "num_attention_heads": 6}
RMS_NORM = {**LAYER_NORM, "num_hidden_layers": 5, "normalization_type": "RMSNorm", "linear_bias": False}


def head_by_head(state, prefix, kind, heads, n_heads, version):
    """Pack the rows of query, key and value of some heads, row by row."""
    parts = [state[f"{prefix}self_attn.{name}_proj.{kind}"] for name in "qkv"]
    size = len(parts[0]) // n_heads
    if version >= 2:
        rows = [part[head * size + i] for head in heads for part in parts for i in range(size)]
    elif version >= 1:
        rows = [part[head * size + i] for head in heads for i in range(size) for part in parts]
    else:
        rows = [part[head * size + i] for part in parts for head in heads for i in range(size)]
    return torch.stack(rows)


def share(tensor, rank, n_ranks, axis):
    """The part of a tensor that a rank has."""
    size = tensor.shape[axis] // n_ranks
    return tensor.narrow(axis, rank * size, size).clone()


def padded(rows, n_rows):
    """A tensor with rows of garbage at the end."""
    return torch.cat([rows, torch.full((n_rows - len(rows), *rows.shape[1:]), 7.0)])


def layer_of_rank(model, layer, rank, n_ranks, version):
    state, prefix = model.state_dict(), f"model.layers.{layer}."
    n_heads = model.config.num_attention_heads
    heads = range(rank * n_heads // n_ranks, (rank + 1) * n_heads // n_ranks)
    stored = {}
    for kind in ("weight", "bias"):
        if f"{prefix}input_layernorm.{kind}" in state:
            stored[f"self_attention.linear_qkv.layer_norm_{kind}"] = state[f"{prefix}input_layernorm.{kind}"]
            stored[f"mlp.linear_fc1.layer_norm_{kind}"] = state[f"{prefix}post_attention_layernorm.{kind}"]
        if f"{prefix}mlp.up_proj.{kind}" in state:
            stored[f"self_attention.linear_qkv.{kind}"] = head_by_head(state, prefix, kind, heads, n_heads, version)
            halves = [share(state[f"{prefix}mlp.{name}_proj.{kind}"], rank, n_ranks, 0) for name in ("gate", "up")]
            stored[f"mlp.linear_fc1.{kind}"] = torch.cat(halves)
    stored["self_attention.linear_proj.weight"] = share(state[f"{prefix}self_attn.o_proj.weight"], rank, n_ranks, 1)
    stored["mlp.linear_fc2.weight"] = share(state[f"{prefix}mlp.down_proj.weight"], rank, n_ranks, 1)
    if model.config.linear_bias:
        stored["self_attention.linear_proj.bias"] = state[f"{prefix}self_attn.o_proj.bias"]
        stored["mlp.linear_fc2.bias"] = state[f"{prefix}mlp.down_proj.bias"]
    return stored


def head_of_rank(model, rank, n_ranks):
    state = model.state_dict()
    names = {"encoder.final_layernorm": "model.norm", "lm_head.layernorm": "lm_head.norm"}
    names["lm_head.dense"] = "lm_head.dense"
    stored = {
        f"{theirs}.{kind}": state[f"{ours}.{kind}"]
        for theirs, ours in names.items()
        for kind in ("weight", "bias")
        if f"{ours}.{kind}" in state
    }
    stored["output_layer.bias"] = share(padded(state["lm_head.decoder.bias"], PADDED_VOCABULARY), rank, n_ranks, 0)
    return stored


def arguments_of(config, n_tensor, n_pipeline):
    return Namespace(
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        ffn_hidden_size=config.intermediate_size,
        num_attention_heads=config.num_attention_heads,
        max_position_embeddings=config.max_position_embeddings,
        padded_vocab_size=PADDED_VOCABULARY,
        normalization=config.normalization_type,
        norm_epsilon=config.layer_norm_eps,
        add_bias_linear=config.linear_bias,
        position_embedding_type="rope",
        use_mcore_models=True,
        untie_embeddings_and_output_weights=not config.tie_word_embeddings,
        swiglu=True,
        tensor_model_parallel_size=n_tensor,
        pipeline_model_parallel_size=n_pipeline,
    )


@pytest.fixture
def save_megatron(tmp_path):
    """Factory of folders as Megatron-LM writes them."""

    def save(model, folder="megatron", *, n_tensor=1, n_pipeline=1, version=3.0, copies_embeddings=False):
        n_layers, state = model.config.num_hidden_layers, model.state_dict()
        bounds = [stage * n_layers // n_pipeline for stage in range(n_pipeline + 1)]
        for rank in range(n_tensor):
            embeddings = share(padded(state["model.embed_tokens.weight"], PADDED_VOCABULARY), rank, n_tensor, 0)
            for stage in range(n_pipeline):
                stored = {"embedding.word_embeddings.weight": embeddings} if stage == 0 else {}
                for local, layer in enumerate(range(bounds[stage], bounds[stage + 1])):
                    found = layer_of_rank(model, layer, rank, n_tensor, version)
                    stored |= {f"encoder.layers.{local}.{name}": tensor for name, tensor in found.items()}
                if stage == n_pipeline - 1:
                    stored |= head_of_rank(model, rank, n_tensor)
                    if not model.config.tie_word_embeddings:
                        decoder = padded(state["lm_head.decoder.weight"], PADDED_VOCABULARY)
                        stored["output_layer.weight"] = share(decoder, rank, n_tensor, 0)
                    elif copies_embeddings:
                        stored["output_layer.weight"] = embeddings
                name = f"mp_rank_{rank:02d}" + (f"_{stage:03d}" if n_pipeline > 1 else "")
                path = tmp_path / folder / name / "model_optim_rng.pt"
                path.parent.mkdir(parents=True)
                content = {"args": arguments_of(model.config, n_tensor, n_pipeline), "iteration": 7, "model": stored}
                torch.save(content | ({"checkpoint_version": version} if version else {}), path)
        return tmp_path / folder

    return save


@pytest.mark.parametrize("fields", [LAYER_NORM, RMS_NORM], ids=["layer_norm", "rms_norm_without_bias"])
@pytest.mark.parametrize(("n_tensor", "n_pipeline"), [(1, 1), (2, 2), (3, 1), (1, 4), (2, 3)])
def test_ranks_are_put_together(tiny_model, save_megatron, tmp_path, fields, n_tensor, n_pipeline):
    """Any tensor by pipeline parallelism gives back the model bit for bit, its config, and no padded vocabulary."""
    model = tiny_model(DNAFMForMaskedLM, **fields)
    folder = save_megatron(model, n_tensor=n_tensor, n_pipeline=n_pipeline)
    write_checkpoint(read_checkpoint(folder), tmp_path / "new", verify=True)
    found = DNAFMForMaskedLM.from_pretrained(tmp_path / "new")
    assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in model.state_dict().items())
    for field in (*fields, "vocab_size", "max_position_embeddings", "layer_norm_eps", "rope_parameters"):
        assert getattr(found.config, field) == getattr(model.config, field), field


@pytest.mark.parametrize("version", [0.0, 1.0, 2.0, 3.0])
def test_order_of_query_key_and_value_follows_the_version(tiny_model, save_megatron, version):
    """Versions before 2 interleave them otherwise, each rank for its own heads; without a number it is version 0."""
    model = tiny_model(DNAFMForMaskedLM, **LAYER_NORM)
    tensors = read_checkpoint(save_megatron(model, n_tensor=2, version=version)).tensors
    for name, tensor in model.state_dict().items():
        if "self_attn" in name:
            assert torch.equal(tensors[name].read(), tensor), name


def test_a_run_leads_to_its_latest_iteration(tiny_model, save_megatron, tmp_path):
    """`latest_checkpointed_iteration.txt` says which; a folder of one iteration is read as well."""
    old, new = (tiny_model(DNAFMForMaskedLM, **LAYER_NORM) for _ in range(2))
    save_megatron(old, "run/iter_0000100")
    save_megatron(new, "run/iter_0000200")
    (tmp_path / "run" / "latest_checkpointed_iteration.txt").write_text("200\n")
    for folder, model in (("run", new), ("run/iter_0000100", old), ("run/iter_0000200", new)):
        found = read_checkpoint(tmp_path / folder).tensors["model.norm.weight"].read()
        assert torch.equal(found, model.state_dict()["model.norm.weight"])
    shutil.rmtree(tmp_path / "run" / "iter_0000200")
    with pytest.raises(OSError, match="iter_0000200 is missing"):
        read_checkpoint(tmp_path / "run")


def test_copy_of_the_embeddings_must_be_one(tiny_model, save_megatron):
    """The last pipeline rank may have them for the tied decoder; other values there are an error."""
    model = tiny_model(DNAFMForMaskedLM, **LAYER_NORM)
    folder = save_megatron(model, n_pipeline=2, n_tensor=2, copies_embeddings=True)
    assert "lm_head.decoder.weight" not in read_checkpoint(folder).tensors
    path = folder / "mp_rank_00_001" / "model_optim_rng.pt"
    with torch.serialization.safe_globals([Namespace]):
        content = torch.load(path)
    content["model"]["output_layer.weight"] += 1
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"output_layer\.weight and .*word_embeddings\.weight differ"):
        read_checkpoint(folder)


def test_decoder_with_weights_of_its_own(tiny_model, save_megatron, tmp_path):
    """`untie_embeddings_and_output_weights` keeps both."""
    model = tiny_model(DNAFMForMaskedLM, **LAYER_NORM, tie_word_embeddings=False)
    write_checkpoint(read_checkpoint(save_megatron(model, n_tensor=2)), tmp_path / "new")
    found = DNAFMForMaskedLM.from_pretrained(tmp_path / "new").state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("lost", ["mp_rank_01_000", "mp_rank_00_001"])
def test_missing_rank_is_named(tiny_model, save_megatron, lost):
    """One of four files is not enough to go on."""
    folder = save_megatron(tiny_model(DNAFMForMaskedLM, **LAYER_NORM), n_tensor=2, n_pipeline=2)
    shutil.rmtree(folder / lost)
    with pytest.raises(OSError, match=rf"{lost}/model_optim_rng\.pt is missing"):
        read_checkpoint(folder)


def test_rank_of_another_run_is_named(tiny_model, save_megatron):
    """More ranks than the arguments say, or ranks with other tensors, do not belong together."""
    folder = save_megatron(tiny_model(DNAFMForMaskedLM, **LAYER_NORM), n_tensor=2)
    shutil.copytree(folder / "mp_rank_01", folder / "mp_rank_02")
    with pytest.raises(ValueError, match=r"mp_rank_02: .* 2 tensor-parallel and 1"):
        read_checkpoint(folder)
    shutil.rmtree(folder / "mp_rank_02")
    rms = save_megatron(tiny_model(DNAFMForMaskedLM, **RMS_NORM), "rms", n_tensor=2)
    shutil.rmtree(folder / "mp_rank_01")
    shutil.copytree(rms / "mp_rank_01", folder / "mp_rank_01")
    with pytest.raises(ValueError, match=r"have different tensors: .*layer_norm_bias"):
        read_checkpoint(folder)


def test_ranks_that_disagree_are_named(tiny_model, save_megatron):
    """What every tensor-parallel rank has whole must be the same in all."""
    model = tiny_model(DNAFMForMaskedLM, **LAYER_NORM)
    folder = save_megatron(model, n_tensor=2)
    shutil.rmtree(folder / "mp_rank_01")
    other = save_megatron(tiny_model(DNAFMForMaskedLM, **LAYER_NORM), "other", n_tensor=2)
    shutil.copytree(other / "mp_rank_01", folder / "mp_rank_01")
    with pytest.raises(ValueError, match=r"mp_rank_01/model_optim_rng\.pt: .* differ"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("swiglu", False, "args.swiglu is False; DNA FM has True"),
        ("use_mcore_models", False, "args.use_mcore_models is False"),
        ("position_embedding_type", "learned_absolute", "args.position_embedding_type is 'learned_absolute'"),
        ("group_query_attention", True, "args.group_query_attention is True"),
        ("kv_channels", 99, "args.kv_channels is 99"),
        ("padded_vocab_size", 8, "args.padded_vocab_size is 8"),
        ("hidden_size", None, "args has no hidden_size"),
        ("hidden_size", 25, r"args describe no DNA FM: .*multiple"),
        ("num_layers", 3, r"has no place for .*: encoder\.layers\.3\."),
        ("num_layers", 6, r"lacks weights of DNAFMForMaskedLM: model\.layers\.4"),
        ("ffn_hidden_size", 20, r"linear_fc1\.weight has the shape"),
        ("max_position_embeddings", None, "args has no max_position_embeddings"),
    ],
)
def test_arguments_that_describe_another_model_are_named(tiny_model, save_megatron, argument, value, message):
    """An architecture that DNA FM is not, or one that its tensors contradict; file and argument or key are named."""
    folder = save_megatron(tiny_model(DNAFMForMaskedLM, **LAYER_NORM))
    path = folder / "mp_rank_00" / "model_optim_rng.pt"
    with torch.serialization.safe_globals([Namespace]):
        content = torch.load(path)
    setattr(content["args"], argument, value)
    torch.save(content, path)
    with pytest.raises(ValueError, match=message) as error:
        read_checkpoint(folder)
    assert str(folder) in str(error.value)


def test_keys_without_a_place_are_named(save_megatron, tiny_model):
    """A head for pairs of sentences, as BERT had one, is not dropped in silence."""
    folder = save_megatron(tiny_model(DNAFMForMaskedLM, **LAYER_NORM))
    path = folder / "mp_rank_00" / "model_optim_rng.pt"
    with torch.serialization.safe_globals([Namespace]):
        content = torch.load(path)
    content["model"]["binary_head.weight"] = torch.zeros(2, 24)
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"model_optim_rng\.pt: binary_head\.weight has no place in DNA FM"):
        read_checkpoint(folder)


def test_folder_of_another_format_is_explained(tmp_path):
    """A run that was saved in distributed shards has no ranks; the message says what to do."""
    (tmp_path / "iter_0000005").mkdir()
    (tmp_path / "iter_0000005" / "__0_0.distcp").touch()
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("5")
    with pytest.raises(OSError, match="--ckpt-format torch"):
        read_checkpoint(tmp_path)


def test_config_is_written_for_transformers(tmp_path):
    """The golden folder's arguments, as fields of config.json."""
    write_checkpoint(read_checkpoint(FIXTURES / "megatron-tp2"), tmp_path / "new")
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    expected = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2, "num_attention_heads": 4}
    expected |= {"vocab_size": 16, "max_position_embeddings": 4000, "model_type": "dnafm", "dtype": "float32"}
    assert expected.items() <= config.items()
    assert config["architectures"] == ["DNAFMForMaskedLM"]
