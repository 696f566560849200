"""avssl index: from vectors to an index that answers."""

from pathlib import Path
from typing import Annotated

import typer


def index(
    vectors: Annotated[list[Path], typer.Argument(help="Folders that avssl embed wrote, all of one space.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; an index there is replaced.")],
) -> None:
    """Build an exact index over vectors, with the file, the seconds and the words of each."""
    from avssl.cli import _vectors as files
    from retrieval import index as indexes
    from retrieval.store import Store

    space, source = files.read_space(vectors[0]), files.Source.read(vectors[0])
    for folder in vectors[1:]:
        space.check(files.read_space(folder))
    with files.replacing_folder(output, ("manifest.json", files.SOURCE)) as partial:
        with Store.create(partial, space) as store:
            for folder in vectors:
                for block, rows in files.read(folder):
                    store.add(block, rows)
            built = indexes.build(store)
        source.write(partial)
    typer.echo(f'{output}: {len(built)} vectors ({built.kind}); next: avssl search {output} --text "..."')
