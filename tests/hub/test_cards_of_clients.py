"""What other clients write on a model's card when they push it: the tags by which it is found."""

import pytest
from hub_clients import pushing_arguments
from huggingface_hub import ModelCard

from dnafm import DNAFMForMaskedLM
from dnafm.checkpoints.model_cards import model_card
from dnafm.checkpoints.published_files import read_whole_checkpoint
from dnafm.modeling_dnafm import HUB_TAGS as TAGS


@pytest.fixture
def metadata_of(hub):
    """What the Hub reads of the card of a repository."""
    return lambda repo: ModelCard(hub.store.read(repo, "README.md").decode()).data


def test_a_model_that_pushes_itself_is_found_by_its_tags(elsewhere, metadata_of, checkpoint, repo):
    """Those that `dnafm push` gives as well, and the library."""
    elsewhere(_push_model, checkpoint, repo)
    metadata = metadata_of(repo)
    assert metadata.tags == list(TAGS) == ModelCard(model_card(read_whole_checkpoint(checkpoint), repo)).data.tags
    assert metadata.library_name == "transformers"


def _push_model(folder, repo, **options):
    DNAFMForMaskedLM.from_pretrained(folder).push_to_hub(repo, **options)


def test_tags_of_one_model_are_not_those_of_the_next(elsewhere, metadata_of, checkpoint, repo):
    """What the caller adds goes to the list of that model alone, to which transformers appends."""
    elsewhere(_push_two, checkpoint, repo)
    assert metadata_of(f"{repo}-yeast").tags == [*TAGS, "yeast", "mine"]
    assert metadata_of(repo).tags == list(TAGS)


def _push_two(folder, repo):
    model = DNAFMForMaskedLM.from_pretrained(folder)
    model.add_model_tags("yeast")
    model.push_to_hub(f"{repo}-yeast", tags=["mine"])
    _push_model(folder, repo)


def test_a_card_that_is_there_stays(elsewhere, hub, metadata_of, checkpoint, repo):
    """A push by the model itself adds tags to what somebody wrote, and changes nothing else of it."""
    elsewhere(_push_model, checkpoint, repo)
    written = "---\nlicense: mit\ntags:\n- yeast\n---\n# Mine\n\nAll of it.\n"
    there = hub.store.repositories[repo]
    files = {**there.commits[there.branches["main"]], "README.md": hub.store.add_file(written.encode())}
    there.add_commit("main", files, "Words")
    elsewhere(_push_model, checkpoint, repo)
    card = ModelCard(hub.store.read(repo, "README.md").decode())
    assert (card.data.license, card.data.tags) == ("mit", ["yeast", *TAGS])
    assert card.text.strip() == "# Mine\n\nAll of it."


@pytest.mark.filterwarnings(r"ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")  # peft's own use
def test_adapters_have_the_tags_of_their_base(checkpoint, tmp_path):
    """Both those and peft's own are on the card that it saves, which names the base."""
    peft = pytest.importorskip("peft")
    base = DNAFMForMaskedLM.from_pretrained(checkpoint)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    peft.get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    metadata = ModelCard.load(tmp_path / "adapter" / "README.md").data
    assert {*TAGS, "lora"} <= set(metadata.tags)
    assert (metadata.library_name, metadata.base_model) == ("peft", str(checkpoint))


def test_the_card_of_a_trainer_has_the_tags(elsewhere, metadata_of, checkpoint, tmp_path, repo):
    """`Trainer.push_to_hub` takes them from the model, and adds its own."""
    elsewhere(_push_by_trainer, checkpoint, tmp_path / "run", repo)
    assert set(TAGS) < set(metadata_of(repo).tags)
    assert metadata_of(repo).library_name == "transformers"


def _push_by_trainer(folder, output_dir, repo):
    from transformers import Trainer

    rows = [{"input_ids": [2, 5, 6, 12], "labels": [2, 5, 6, 12]}] * 2
    arguments = pushing_arguments(output_dir, repo, max_steps=1)
    trainer = Trainer(model=DNAFMForMaskedLM.from_pretrained(folder), args=arguments, train_dataset=rows)
    trainer.train()
    trainer.push_to_hub()
