"""What avssl probe prints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from avssl.probe.study import Row


def show(console: Console, rows: "Sequence[Row]", hows: Sequence[str]) -> None:
    """Prints every figure beside what it must be compared with, then the tables that were asked for."""
    from avssl.probe import finetune, stages, told, transfer

    for data, run in dict.fromkeys((row["data"], row["run"]) for row in rows):
        own = [row for row in rows if (row["data"], row["run"]) == (data, run)]
        judged = f"{own[0]['modality']} encoder of {run} on {data}, {own[0]['judged']} examples judged"
        console.print(judged, highlight=False, markup=False)
        titles, lines = told.table(own)
        table = Table(*titles, box=None, padding=(0, 1, 0, 0), pad_edge=False)
        for cells in lines:
            table.add_row(*cells)
        console.print(table)
        console.print("")
    if rows:
        console.print(told.NOTE, style="dim", highlight=False)
    tables = {"stages": stages.table, "finetune": finetune.table, "transfer": transfer.table}
    for name in dict.fromkeys(hows):
        if name in tables and (name != "finetune" or len({x["freeze"] for x in rows if x["probe"] == name}) > 1):
            titles, lines = tables[name](rows)
            if not lines:
                console.print(
                    f"no {name} table: it takes rows of --fraction 1, --freeze 0 and --rest kept, and there is none"
                )
                continue
            body = Table(*titles, box=None, pad_edge=False)
            for cells in lines:
                body.add_row(*cells)
            console.print("")
            console.print(body)
    for line in transfer.summary(rows) if "transfer" in hows else ():
        console.print(line, highlight=False)
