"""docs/cli.md is the program's own help."""

from docs import make_cli_reference


def test_the_command_reference_is_up_to_date() -> None:
    """The page says what the program says; if not, run python docs/make_cli_reference.py."""
    assert make_cli_reference.PAGE.read_text(encoding="utf-8") == make_cli_reference.reference()
