"""How a command ends."""

import pytest

from enhance.errors import UserError, exit_on_user_error


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [(UserError("x.png: mend it"), 2, "error: x.png: mend it\n"), (KeyboardInterrupt(), 130, "interrupted\n")],
)
def test_a_mistake_and_ctrl_c_end_without_a_traceback(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, told: str
) -> None:
    with pytest.raises(SystemExit) as ended, exit_on_user_error():
        raise error
    assert (ended.value.code, capsys.readouterr().err) == (code, told)


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), exit_on_user_error():
        raise ZeroDivisionError
