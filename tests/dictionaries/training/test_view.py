import sys

import pytest

from interp.dictionaries.training.view import training_view

SAID = {
    name: {"loss": 1.5, "l0": 8.0, "explained_variance": 0.75, "n_dead": 3, "lr": 1e-3}
    for name in ("[red]site-d16", "site-d32")
}


def test_a_terminal_shows_every_dictionary_by_its_very_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    with training_view(200, 100, shown=True) as view:
        view(50, {})
        view(50, SAID)
    shown = capsys.readouterr().err
    assert "[red]site-d16" in shown and "site-d32" in shown
    assert "explained variance" in shown and "200/200 tokens" in shown


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with training_view(200, 100, shown=True) as view:
        view(100, SAID)
    shown = capsys.readouterr().err
    assert "training after 100: 100/100 tokens" in shown and "explained_variance 0.75" in shown


def test_another_rank_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with training_view(200, 0, shown=False) as view:
        view(100, SAID)
    assert capsys.readouterr() == ("", "")
