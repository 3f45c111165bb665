"""Recipes: the shipped ones, files, overrides, and their errors."""

import pytest

from bpr_cli.errors import BprError
from bpr_cli.training.recipe import load_recipe, parse_overrides, shipped_recipes, to_toml, values_of


def refusal(call, *arguments) -> str:
    with pytest.raises(BprError) as caught:
        call(*arguments)
    return str(caught.value)


def test_the_paper_recipe_is_the_papers():
    recipe = load_recipe("paper")
    assert (recipe.network, recipe.input_size, recipe.steps, recipe.batch_size) == ("hrnet18s", 128, 160_000, 32)
    optimiser = recipe.optimiser
    assert (optimiser.name, optimiser.learning_rate, optimiser.momentum) == ("sgd", 0.01, 0.9)
    assert (optimiser.weight_decay, optimiser.decay_all, optimiser.clip) == (0.0005, True, 0)
    assert (recipe.schedule.name, recipe.schedule.power, recipe.schedule.min_rate) == ("poly", 0.9, 1e-4)
    assert (recipe.loss.boundary_weight, recipe.loss.context_weight, recipe.ema_decay) == (1, 1, 0)
    assert (recipe.loss.jaccard, recipe.composite, optimiser.encoder_rate, recipe.padding) == (0, 0, 1, 0)
    assert (recipe.geometry.flip, recipe.geometry.zoom, recipe.image.distort, recipe.image.jpeg) == (0.5, 0, 1, 0)


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_round_trip_through_their_values(name):
    recipe = load_recipe(name)
    assert load_recipe("paper", values_of(recipe)) == recipe


def test_a_file_overrides_its_base(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "paper"  # the rest\n\n  steps=7\ngeometry.zoom_range = [0.5, 2] # a list\n')
    recipe = load_recipe(str(path), {"optimiser.clip": 3})
    assert (recipe.steps, recipe.geometry.zoom_range, recipe.optimiser.clip) == (7, (0.5, 2.0), 3.0)
    assert recipe.optimiser.learning_rate == load_recipe("paper").optimiser.learning_rate


def test_tables_and_dotted_keys_are_the_same(tmp_path):
    for name, text in (
        ("dotted", "loss.jaccard = 2\nloss.boundary_width = 5"),
        ("table", "[loss]\njaccard = 2\nboundary_width = 5"),
    ):
        (tmp_path / name).write_text(f'base = "paper"\n{text}\n')
    assert load_recipe(str(tmp_path / "dotted")) == load_recipe(str(tmp_path / "table"))
    assert load_recipe(str(tmp_path / "table")).loss.jaccard == 2


def test_a_hash_in_quotes_is_no_comment(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "modern"\nnetwork = "a#b" # and this is one\n')
    assert load_recipe(str(path)).network == "a#b"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("steps 5", "it is not TOML: "),
        ("steps = five", "it is not TOML: "),
        ("steps = 5\nsteps = 6", "it is not TOML: "),
        ("step = 5", "step is unknown; expected network, input_size, padding, steps, "),
        ("padding = -1", "padding is -1; expected a whole number from 0 to 1024"),
        ("composite = 2", "composite is 2; expected a number from 0 to 1"),
        ("loss.jaccard = -1", "loss.jaccard is -1; expected a number from 0 to 1000"),
        ("loss = 5", "loss is 5; expected names with values"),
        ("optimiser.encoder_rate = -1", "optimiser.encoder_rate is -1; expected a number from 0 to 100"),
        ("image.gamma = 7", "image.gamma is 7; expected a number from 0 to 1"),
        ("[optimiser]\nlr = 5", "optimiser.lr is unknown; expected name, learning_rate, "),
        ("steps = 5.5", "steps is 5.5; expected a whole number from 1 to 1,000,000,000"),
        ("steps = true", "steps is True; expected a whole number"),
        ("steps.more = 5", "steps is {'more': 5}; expected a whole number"),
        ("steps = 0", "steps is 0; expected a whole number from 1 to 1,000,000,000"),
        ("ema_decay = 1", "ema_decay is 1; expected a number from 0 to 0.999999"),
        ("input_size = 100", "input_size is 100; expected a whole number from 0 to 1024, a multiple of 32"),
        ("optimiser.learning_rate = nan", "optimiser.learning_rate is nan; expected a number above 0"),
        ("optimiser.learning_rate = 0", "optimiser.learning_rate is 0; expected a number above 0"),
        ('optimiser.name = "adam"', "optimiser.name is 'adam'; expected one of sgd, adamw"),
        ("optimiser.name = [1]", "optimiser.name is [1]; expected one of sgd, adamw"),
        ("optimiser.decay_all = 1", "optimiser.decay_all is 1; expected true or false"),
        ("network = 3", "network is 3; expected text"),
        ("geometry.zoom_range = 2", "geometry.zoom_range is 2; expected a list of 2 values, each a number from 0.1"),
        ("geometry.zoom_range = [2, 1]", "geometry.zoom_range is [2.0, 1.0]; expected the smaller number first"),
        ("geometry.zoom_range = [1, 20]", "geometry.zoom_range is [1, 20]; expected a list of 2 values, each a number"),
        ("coarse.truth = 1.1", "coarse.truth is 1.1; expected a number from 0 to 1"),
        (f"loss.jaccard = {'9' * 400}", "loss.jaccard is 999"),
        (f"steps = {'[' * 5000}", "it is not TOML: "),
        ("image.blur = -0.1", "image.blur is -0.1; expected a number from 0 to 1"),
    ],
)
def test_errors_of_a_recipe_file(line, said, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f'base = "modern"\n{line}\n')
    message = refusal(load_recipe, str(path))
    assert str(path) in message
    assert said in message
    assert "\n" not in message


def test_files_that_cannot_be_read(tmp_path):
    names = "fast, fast-2, fast-3, fast-4, fast-whole, images, modern, open, paper, whole"
    assert refusal(load_recipe, "papier") == f"there is no recipe 'papier'; give a file, or one of {names}"
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "binary cannot be used: it is not a text file" in refusal(load_recipe, str(tmp_path / "binary"))
    (tmp_path / "base").write_text('base = "other"')
    assert f"base is 'other'; expected one of {names}" in refusal(load_recipe, str(tmp_path / "base"))
    (tmp_path / "base").write_text("base = [1]")
    assert f"base is [1]; expected one of {names}" in refusal(load_recipe, str(tmp_path / "base"))
    (tmp_path / "long").write_text('base = "modern"\n' + "# endless\n" * 200_000)
    assert "has more than 1048576 bytes" in refusal(load_recipe, str(tmp_path / "long"))
    (tmp_path / "short").write_text("steps = 5")
    assert 'network is missing; give all keys, or a shipped recipe as base = "modern"' in refusal(
        load_recipe, str(tmp_path / "short")
    )


def test_the_stages_of_the_shipped_weights_follow_each_other():
    stages = [load_recipe(name) for name in ("fast", "fast-2", "fast-3")]
    assert [stage.steps for stage in stages] == [2500, 2383, 3164]
    assert [(stage.schedule.begin, stage.schedule.end) for stage in stages] == [(0, 0.5), (0.5, 1), (0.45, 1)]
    assert [stage.image.light for stage in stages] == [0, 0, 0.3]
    assert [stage.sampling.sets["street"].chance for stage in stages] == [0.3, 0.33, 0.33]
    assert stages[2].sampling.sets["street"].groups == "category"
    assert stages[1].sampling.sets["objects"].paste_from == {"own": 0.4, "objects": 0.4, "street": 0.2}


def test_optional_parts_are_built_and_left_out_at_their_defaults():
    changes = {"sampling.sets.mine.composite": 0.5, "sampling.errors.blobs": 1}
    recipe = load_recipe("images", changes)
    assert (recipe.sampling.sets["mine"].composite, recipe.sampling.errors.blobs) == (0.5, 1)
    assert changes.items() <= values_of(recipe).items()
    assert not any(key.startswith("sampling") or key == "image.light" for key in values_of(load_recipe("modern")))
    said = refusal(load_recipe, "images", {"sampling.sets.mine.chances": 1})
    assert "sampling.sets.mine.chances is unknown; expected chance, groups, " in said
    said = refusal(load_recipe, "images", {"sampling.sets.mine.zooms": [[1, 0.8], [2, 0.8]]})
    assert "sum to more than 1" in said


def test_overrides():
    texts = ["steps=5", " optimiser.name = sgd ", "geometry.zoom_range=[1, 2]", "optimiser.decay_all=true"]
    expected = {"steps": 5, "optimiser.name": "sgd", "geometry.zoom_range": [1, 2], "optimiser.decay_all": True}
    assert parse_overrides(texts) == expected
    recipe = load_recipe("modern", expected)
    assert (recipe.steps, recipe.optimiser.name, recipe.optimiser.decay_all) == (5, "sgd", True)


@pytest.mark.parametrize("text", ["steps", "=5", "steps="])
def test_an_override_without_key_or_value(text):
    assert f"--set is {text!r}, expected key=value" in refusal(parse_overrides, [text])


def test_a_deeply_nested_override():
    assert "steps is '[[[" in refusal(load_recipe, "modern", parse_overrides([f"steps={'[' * 5000}"]))


def test_an_override_with_an_unknown_key():
    assert "lr is unknown; expected network, " in refusal(load_recipe, "modern", {"lr": 1})


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_as_toml_is_the_same_recipe(name, tmp_path):
    recipe = load_recipe(name)
    (tmp_path / "copy.toml").write_text(to_toml(recipe))
    assert load_recipe(tmp_path / "copy.toml") == recipe
