import sys
import types

from bpr_cli.system.terminal import show_progress


def test_a_notebook_gets_a_bar_of_tqdm(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    with show_progress(True, "training", 4, "steps", done=1) as advance:
        advance("loss 0.5")
        advance("loss 0.4")
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "3/4" in shown
    assert "loss 0.4" in shown
