from bpr_cli.weights.card import PACKAGE, shipped_weights


def test_a_wheel_has_its_weights_inside_the_package(tmp_path):
    folder = tmp_path / "bpr_cli" / "weights"
    folder.mkdir(parents=True)
    for name in ("second.safetensors", "default.safetensors", "default.md"):
        (folder / name).touch()
    shipped = shipped_weights(tmp_path / "bpr_cli")
    assert shipped == {"default": folder / "default.safetensors", "second": folder / "second.safetensors"}
    assert list(shipped) == ["default", "second"]


def test_a_checkout_has_them_beside_the_package(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "default.safetensors").touch()
    (tmp_path / "pyproject.toml").touch()
    assert list(shipped_weights(tmp_path / "bpr_cli")) == ["default"]


def test_a_stranger_s_folder_beside_an_installed_package_does_not_count(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "default.safetensors").touch()
    assert shipped_weights(tmp_path / "bpr_cli") == {}


def test_the_package_is_the_one_imported():
    assert (PACKAGE / "weights" / "card.py").is_file()
