"""``bpr web``: what is said before anything is downloaded."""


def test_an_output_that_is_a_file_is_refused(world, bpr):
    outcome = bpr("web", "--out", "images/a.png")
    assert (outcome.code, outcome.out) == (2, "")
    assert "images/a.png is a file, expected a folder" in outcome.err


def test_weights_that_are_not_there_are_refused(world, bpr):
    outcome = bpr("web", "--out", "page", "--weights", "none")
    assert (outcome.code, outcome.out) == (2, "")
    assert "there are no weights 'none'" in outcome.err
    assert not (world / "page").exists()
