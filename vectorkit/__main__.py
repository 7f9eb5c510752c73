"""`python -m vectorkit`, and the `vectorkit` command."""

import sys


def main() -> None:
    """Run the command, or say what it needs."""
    try:
        from vectorkit.cli import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"the vectorkit command needs {error.name}, which is not installed: pip install 'vectorkit-db[cli]'")
    app(prog_name="vectorkit")


if __name__ == "__main__":
    main()
