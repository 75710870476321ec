"""What a user types becomes a network and images, or one clear refusal."""

import json

import pytest
from PIL import Image
from torch import nn

from unweave.errors import CaptureError, DataError, SettingError
from unweave.pipeline.inputs import Inputs


class TwoResults(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, images):
        scores = self.conv(images).mean((2, 3))
        return scores, scores * 2


@pytest.fixture
def folder(tmp_path):
    """Two classes of two 8 x 8 pictures each."""
    for name, grey in (("cat", 40), ("dog", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8), (grey, number, 0)).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


def network():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_folders_in_sorted_order_are_the_outputs(folder):
    images = Inputs("x.py:f", preprocess="raw").images(f"imagefolder:{folder}", network(), train=True)
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert images.class_names == ("cat", "dog")
    assert images.images([3])[0, :, 0, 0].tolist() == [200.0, 1.0, 0.0]


def test_a_class_list_maps_folders(folder, tmp_path):
    listed = tmp_path / "classes.json"
    listed.write_text(
        json.dumps([{"index": 1, "wnid": "n1", "name": "cat"}, {"index": 0, "wnid": "n0", "name": "dog"}])
    )
    inputs = Inputs("x.py:f", preprocess="unit", classes_file=str(listed))
    assert inputs.images(f"imagefolder:{folder}", network(), train=True).labels.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("place", ["{folder}/list.txt", "{elsewhere}/list.txt:{folder}"])
def test_a_list_of_images_may_lie_beside_them_or_say_where_they_are(folder, tmp_path_factory, place):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for where in (folder, elsewhere):
        (where / "list.txt").write_text("dog/1.png 1\ncat/0.png 0\n")
    inputs = Inputs("x.py:f", "imagelist:" + place.format(folder=folder, elsewhere=elsewhere), preprocess="raw")
    images = inputs.images(inputs.train, network(), train=True)
    assert images.labels.tolist() == [1, 0]
    assert images.images([0])[0, :, 0, 0].tolist() == [200.0, 1.0, 0.0]
    assert Inputs.from_settings(inputs.as_settings()).train == inputs.train


def test_the_position_of_the_scores_may_be_typed(folder):
    inputs = Inputs("x.py:f", preprocess="unit", logits="1")
    assert len(inputs.images(f"imagefolder:{folder}", TwoResults(), train=True)) == 4
    assert inputs.logits_key == 1
    assert Inputs("x.py:f", logits="scores").logits_key == "scores"


@pytest.mark.parametrize("option", [{"preprocess": "unit"}, {"size": 32}, {"classes_file": "none.json"}])
def test_options_that_digits_have_no_use_for_are_refused(option):
    (name,) = option
    with pytest.raises(SettingError, match=f"digits has no use for --{name.replace('_', '-')}"):
        Inputs("x.py:f", "digits", **option).images("digits", network(), train=True)


def test_pixel_scaling_is_never_guessed_for_a_user_s_network(folder):
    with pytest.raises(SettingError, match="give --preprocess"):
        Inputs("x.py:f").images(f"imagefolder:{folder}", network(), train=True)


@pytest.mark.parametrize(("name", "expected"), [("resnet50", ("imagenet", 224)), ("inception_v3", ("imagenet", 299))])
def test_torchvision_networks_get_the_scaling_and_size_they_publish(name, expected):
    transform = Inputs(f"torchvision:{name}")._transform()
    assert (transform.name, transform.size) == expected


def test_an_unreadable_first_picture_does_not_matter(folder):
    (folder / "cat" / "0.png").write_bytes(b"not a picture")
    assert len(Inputs("x.py:f", preprocess="unit").images(f"imagefolder:{folder}", network(), train=True)) > 0


def test_a_folder_without_a_readable_picture_names_the_first(folder):
    for file in folder.rglob("*.png"):
        file.write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"images below .* are damaged; the first: .*0\.png cannot be read"):
        Inputs("x.py:f", preprocess="unit").images(f"imagefolder:{folder}", network(), train=True)


def test_pictures_of_another_shape_than_the_network_takes_are_refused(folder):
    wrong = nn.Sequential(nn.Flatten(), nn.Linear(10, 2))
    with pytest.raises(CaptureError, match="cannot be captured for images of shape"):
        Inputs("x.py:f", preprocess="unit").images(f"imagefolder:{folder}", wrong, train=True)


def test_pictures_of_several_sizes_are_refused_with_the_option_that_helps(folder):
    Image.new("RGB", (9, 8)).save(folder / "dog" / "0.png")
    images = Inputs("x.py:f", preprocess="unit").images(f"imagefolder:{folder}", network(), train=True)
    with pytest.raises(DataError, match="--size"):
        images.images(range(4))


def test_settings_come_back_with_absolute_places(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").write_text("a file that is named as a preprocessing is")
    inputs = Inputs("net.py:f", "imagefolder:images", preprocess="imagenet", size=8)
    back = Inputs.from_settings(inputs.as_settings())
    assert back.train == f"imagefolder:{folder}"
    assert back.model == f"{tmp_path}/net.py:f"
    assert back.preprocess == "imagenet"


def test_the_manifest_has_the_scaling_and_no_path_of_the_machine(tmp_path):
    notes = Inputs(f"{tmp_path}/net.py:f", f"imagefolder:{tmp_path}", preprocess="unit", size=8).as_manifest()
    assert (notes["preprocess"], notes["size"], notes["model"]) == ("unit", 8, "net.py:f")
    assert str(tmp_path) not in json.dumps(notes)


def test_settings_of_another_version_are_refused():
    with pytest.raises(DataError, match="not of this version"):
        Inputs.from_settings({"model": "x", "colour": "blue"})
