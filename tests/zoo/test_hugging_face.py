"""Image classifiers in the form that transformers saves; nothing is downloaded."""

import json
import sys

import pytest
import torch
from transformers import AutoConfig, ViTConfig, ViTForImageClassification, ViTModel

from unweave.errors import DataError, MissingExtraError, SettingError
from unweave.network.sites import find_sites
from unweave.pipeline.inputs import Inputs
from unweave.zoo.hugging_face import class_names
from unweave.zoo.models import load_model, published_preprocessing

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 6}
NAMES = {0: "cat", 1: "dog", 2: "red fox"}
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 8, "width": 8},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def config(**settings):
    return ViTConfig(image_size=8, patch_size=4, **{**SIZES, "id2label": NAMES, **settings})


@pytest.fixture(scope="module")
def network():
    return ViTForImageClassification(config()).eval()


@pytest.fixture
def folder(tmp_path, network):
    place = tmp_path / "saved" / "fox"
    network.save_pretrained(place)
    (place / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return place


def test_saved_classifier_is_loaded_with_its_weights_and_class_scores(folder, network):
    loaded = load_model(f"hf:{folder}")
    assert not loaded.training
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(loaded(images).logits, network(images).logits)
    sites = find_sites(loaded, images, "heads")  # without logits=: the class scores are all that it returns
    assert [(site.channels, site.shape) for site in sites] == [(2, (2, 5, 4))]
    assert class_names(loaded) == ["cat", "dog", "red fox"]


def test_random_weights_need_the_configuration_alone(folder):
    (folder / "model.safetensors").unlink()
    assert load_model(f"hf:{folder}", "random").num_labels == 3


def test_weights_that_would_need_a_pickle_are_refused(folder, network):
    (folder / "model.safetensors").unlink()
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(SettingError, match=r"Hugging Face's weights of .*fox cannot be downloaded \(OSError: "):
        load_model(f"hf:{folder}")


def test_backbone_without_a_head_is_refused(tmp_path):
    ViTModel(config()).save_pretrained(tmp_path)
    with pytest.raises(SettingError, match=r"has no weights for 'classifier.bias' and 1 more: it is no trained image"):
        load_model(f"hf:{tmp_path}")


def test_folder_that_is_not_there_is_refused():
    with pytest.raises(SettingError, match=r"no folder \./nowhere; give hf:owner/name, or hf:FOLDER"):
        load_model("hf:./nowhere")


def test_model_that_cannot_be_downloaded_is_refused_in_one_line(monkeypatch):
    def offline(*_, **__):
        raise OSError("We couldn't connect to the hub\nand more")

    monkeypatch.setattr(AutoConfig, "from_pretrained", offline)
    with pytest.raises(
        SettingError, match=r"weights of owner/name cannot be downloaded \(OSError: We couldn't .*\); "
    ) as e:
        load_model("hf:owner/name", "random")
    assert "\n" not in str(e.value)


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"transformers is not installed; type: pip install 'unweave\[hf\]'"):
        load_model("hf:owner/name")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("signed", 8)),
        ({"do_normalize": False}, ("unit", 8)),
        ({"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "size": 9}, ("imagenet", 9)),
        (
            {"size": {"shortest_edge": 10}, "do_center_crop": True, "crop_size": {"height": 8, "width": 8}},
            ("signed", 8),
        ),
        ({"size": {"shortest_edge": 10}}, ("signed", 10)),
        ({"size": {"height": 8, "width": 6}}, None),
        ({"rescale_factor": 1.0}, None),
        ({"image_mean": [0.1, 0.2, 0.3]}, None),
    ],
)
def test_preprocessing_is_that_of_the_image_processor(folder, changes, expected):
    (folder / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, **changes}))
    assert published_preprocessing(f"hf:{folder}") == expected


def test_preprocessing_is_unknown_without_an_image_processor(folder):
    (folder / "preprocessor_config.json").unlink()
    assert published_preprocessing(f"hf:{folder}") is None


def test_labels_without_names_are_no_class_names():
    with torch.device("meta"):
        assert class_names(ViTForImageClassification(config(id2label={0: "LABEL_0", 1: "LABEL_1"}))) is None


def test_folders_are_found_by_the_names_in_the_configuration(folder, tmp_path, picture_folder):
    pictures = picture_folder(tmp_path / "pictures", ["red fox", "cat"])
    inputs = Inputs(f"hf:{folder}", train=f"imagefolder:{pictures}")
    data = inputs.images(inputs.train, inputs.network(), train=True)
    assert data.class_names == ("cat", "dog", "red fox")
    assert sorted(set(data.labels.tolist())) == [0, 2]
    with pytest.raises(DataError, match="folder 'wolf' is no WordNet id, name or index"):
        inputs.images(f"imagefolder:{picture_folder(tmp_path / 'others', ['wolf'])}", inputs.network(), train=True)


@pytest.fixture
def picture_folder():
    from PIL import Image

    def make(place, names):
        for name in names:
            (place / name).mkdir(parents=True)
            Image.new("RGB", (10, 12), (200, 30, 30)).save(place / name / "one.png")
        return place

    return make
