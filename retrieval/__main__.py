"""python -m retrieval build|add|remove|sync|compact|search|verify|info|export|mirror|serve: a store at the terminal."""

import argparse
import sys
from collections.abc import Sequence

from retrieval.commands import change, copy, look
from retrieval.commands.given import printable

__all__ = ["main", "printable"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 2 after one line on stderr for what the user can put right."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["serve"]:
            from retrieval import serve

            return serve.main(words[1:])
        options = _parser().parse_args(words)
        return int(options.run(options))
    except (ValueError, ImportError, OSError) as error:
        print("retrieval:", printable(str(error)), file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m retrieval", description="Find moments by vectors.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    change.register(commands)
    look.register(commands)
    copy.register(commands)
    commands.add_parser("serve", help="search over HTTP, and a page for people", add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
