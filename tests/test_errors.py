"""One line for what the user can put right, a traceback for the rest."""

import pickle

import pytest
from torch.utils.data import DataLoader, Dataset

from sparx_mm.errors import UserError, user_errors


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


class Broken(Dataset):
    """Its only item cannot be read, which has a cause."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        try:
            raise UserError('the cause')
        except UserError as error:
            raise UserError('label map a.png: mend it') from error


@pytest.mark.parametrize('workers', [0, 1])
def test_of_a_data_loader(capsys, workers):
    with pytest.raises(SystemExit), user_errors():
        next(iter(DataLoader(Broken(), num_workers=workers)))
    assert capsys.readouterr().err == 'error: label map a.png: mend it\n'


def test_it_can_be_copied():
    error = pickle.loads(pickle.dumps(UserError('no file: a.py')))
    assert isinstance(error, UserError) and str(error) == 'no file: a.py'


def test_bugs_pass_through():
    with pytest.raises(ZeroDivisionError), user_errors():
        1 / 0


def test_as_a_decorator():

    @user_errors()
    def add(a, b):
        return a + b

    assert add(1, b=2) == 3
