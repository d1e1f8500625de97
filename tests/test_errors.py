"""One line for what the user can put right, a traceback for the rest."""
import pytest

from sparx_mm.engine import UserError, user_errors


def test_user_error_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped, user_errors():
        raise UserError('no file\n  a.py')
    assert stopped.value.code == 1
    assert capsys.readouterr() == ('', 'error: no file a.py\n')


def test_interrupt_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped, user_errors():
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    assert capsys.readouterr() == ('', 'error: interrupted\n')


@pytest.mark.parametrize('rank', ['', 'abc', '0'])
def test_a_rank_that_is_none(capsys, monkeypatch, rank):
    monkeypatch.setenv('RANK', rank)
    with pytest.raises(SystemExit), user_errors():
        raise UserError('no file')
    assert capsys.readouterr().err == 'error: no file\n'


def test_bugs_pass_through():
    with pytest.raises(ZeroDivisionError), user_errors():
        1 / 0


def test_as_a_decorator():

    @user_errors()
    def add(a, b):
        return a + b

    assert add(1, b=2) == 3
