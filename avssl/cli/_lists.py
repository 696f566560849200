"""Released lists judged without a run: trivial predictors, or maps that somebody made; as tables of percent."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

QUIET_SECONDS = 2.0
"""of judging, after which it is told how far it is"""


def check_words(
    trivial: Path | None, listed: Path | None, of_runs: Mapping[str, Any], of_maps: Mapping[str, Any]
) -> None:
    """Raise ValueError, one line, for words that do not go together.

    ``of_runs``, ``of_maps``: what belongs to a run and to --list, as the user writes it -> what was given.
    """
    name = "--trivial" if trivial is not None else "--list"
    if trivial is not None and listed is not None:
        raise ValueError("--trivial and --list: give one of them; --list tells of the trivial predictors too")
    runs, maps = ([word for word, value in given.items() if value] for given in (of_runs, _told(of_maps)))
    if runs and (trivial is not None or listed is not None):
        raise ValueError(f"{name} judges a list without a run: leave out {', '.join(runs)}")
    if maps and listed is None:
        raise ValueError(f"{', '.join(maps)}: only with --list: avssl evaluate --list LIST --maps FOLDER")
    if listed is not None and "--maps" not in maps:
        raise ValueError("--list judges maps: name their folder with --maps, or take --trivial for predictors alone")
    if "--threshold" in maps and "--validation" in maps:
        raise ValueError("--threshold and --validation: give one of them; the threshold is given or chosen")


def _told(given: Mapping[str, Any]) -> dict[str, bool]:
    return {word: value is not None for word, value in given.items()}


def of_list(path: Path) -> dict[str, Any]:
    """The trivial predictors' figures on a released list, with its name."""
    from avssl.localize import lists, trivial

    with _naming(path):
        return {"list": path.name, **trivial.table(lists.read(path))}


def of_maps(path: Path, maps: Path, **more: Any) -> dict[str, Any]:
    """The figures of maps on a released list, with its name; ``more`` is what `scored.Asked` has beside."""
    from avssl.cli._counting import counting
    from avssl.localize import lists, scored

    asked = scored.Asked(items=lists.read(path), maps=maps, **more)
    with _naming(path):
        scored.check(asked)
    with counting("maps and masks") as tell:
        return {"list": path.name, "maps": str(maps), **scored.table(asked, _later(tell))}


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What is wrong with a list is told with its name."""
    try:
        yield
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from None


def _later(tell: Callable[[int, int], None]) -> Callable[[int, int], None]:
    began = time.monotonic()

    def told(done: int, total: int) -> None:
        if time.monotonic() - began >= QUIET_SECONDS:
            tell(done, total)

    return told


def show_trivial(console: Console, judged: dict[str, Any]) -> None:
    """Print the trivial predictors' figures as a table, in percent."""
    console.print(_heading(judged), highlight=False, markup=False)
    console.print("percent; none of these predictors hears anything; average is of the list's own boxes\n")
    console.print(_rules(judged))
    disc = f"F_LOC {_percent(judged['f_loc'])}, F_AUC {_percent(judged['f_auc'])}"
    console.print(f"\na disc of 30 % in the centre, which marks every picture alike whatever is heard: {disc}")


def show_maps(console: Console, judged: dict[str, Any]) -> None:
    """Print the figures of maps as tables beside the trivial predictors', in percent."""
    console.print(f"{_heading(judged)}; maps of {judged['maps']}", highlight=False, markup=False)
    truth = "masks" if "f_measure" in judged else "boxes"
    console.print(f"percent; none of the predictors beside hears anything; average is of the list's own {truth}\n")
    console.print(_rules(judged))
    console.print("")
    console.print(_by_predictor(judged))
    if "range" in judged:
        low, high = judged["range"]
        console.print(f"for the F-measure the range of all maps of the list, {low:.4g} to {high:.4g}, becomes 0 to 1")
    if "detection" in judged:
        held = ", ".join(f"{kind} {count}" for kind, count in judged["negatives"].items())
        console.print(f"\nsounding or not, by the mean of the highest quarter; {held}; center is as sure of all\n")
        console.print(_detection(judged))
    if "threshold" in judged:
        _show_threshold(console, judged)
    left = "; ".join(f"{what} ({why})" for what, why in judged["left_out"].items())
    if left:
        console.print(f"\nleft out: {left}", highlight=False)
    if "universal" not in judged["rules"]:
        console.print("a threshold is never chosen on the list itself: give --threshold or --validation")


def _heading(judged: dict[str, Any]) -> str:
    told = [f"{judged['list']}: {judged['items']} items"]
    if judged["empty"]:
        what = "masks mark" if "f_measure" in judged else "boxes cover"
        told.append(f"{judged['empty']} whose {what} nothing, counted as missed")
    if judged["pictures"]:
        told.append(f"{judged['pictures']} pictures with several sounds")
    return "; ".join(told)


def _table(*titles: str) -> Table:
    return Table(*titles, box=None, pad_edge=False, padding=(0, 1, 0, 0))


def _percent(share: float | None) -> str:
    """As short as can be, so that a table fits on 80 columns."""
    return "" if share is None else f"{100 * share:.1f}".replace("100.0", "100")


def _rules(judged: dict[str, Any]) -> Table:
    beside = ("iiou", "iauc") if judged["pictures"] else ()
    sizes = [f"{name}\n{count}" for name, count in judged["sizes"].items()]
    table = _table("rule", "predictor", "ciou", "95 %", "auc", *beside, *sizes)
    for rule, rows in judged["rules"].items():
        words = _words(rule)
        for index, (who, figures) in enumerate(rows.items()):
            low, high = map(_percent, figures["interval"])
            cells = [_percent(figures["ciou"]), f"{low}..{high}"]
            cells += [_percent(figures[name]) for name in ("auc", *beside)]
            cells += [_percent(figures["by_size"][name]) for name in judged["sizes"]]
            table.add_row(words[index] if index < len(words) else "", who, *cells, style=_style(who, rows))
    return table


def _words(rule: str) -> list[str]:
    """The name of a rule over rows, to keep its column small."""
    return ["top half", "strict"] if rule == "top_half_strict" else [rule.replace("_", " ")]


def _style(who: str, rows: Sequence[str] | Mapping[str, Any]) -> str | None:
    return "dim" if "maps" in rows and who != "maps" else None


def _by_predictor(judged: dict[str, Any]) -> Table:
    """What has a figure per predictor: pointing, and for lists of masks mIoU and F-measure."""
    who = list(judged["pointing"])
    table = _table("", *who)
    rows = {"pointing": judged["pointing"]}
    if "f_measure" in judged:
        for rule, held in judged["rules"].items():
            rows[f"mIoU, {rule.replace('_', ' ')}"] = {name: figures["miou"] for name, figures in held.items()}
        rows["F-measure"] = judged["f_measure"]
    for name, figures in rows.items():
        table.add_row(name, *(_percent(figures.get(one)) for one in who))
    return table


def _detection(judged: dict[str, Any]) -> Table:
    names = {"ap": "AP", "max_f1": "max-F1", "loc_acc": "LocAcc"}
    ways = ("strict", "compatible")
    titles = [f"{way if name == 'ap' else ''}\n{title}" for way in ways for name, title in names.items()]
    table = _table("\nrule", "\npredictor", *titles)
    for rule, rows in judged["detection"].items():
        words = _words(rule) if len(rows) > 1 else [rule.replace("_", " ")]
        for index, (who, held) in enumerate(rows.items()):
            cells = [_percent(held[way][name]) for way in ways for name in names]
            table.add_row(words[index] if index < len(words) else "", who, *cells, style=_style(who, rows))
    return table


def _show_threshold(console: Console, judged: dict[str, Any]) -> None:
    at = judged["threshold"]
    told = f"\nat the threshold {at['value']:.6g} ({at['chosen']}): mean cIoU {_percent(at['mean_ciou'])}"
    if "pia" not in at:
        console.print(told, highlight=False)
        return
    console.print(f"{told}; what is lit of negatives\n", highlight=False)
    table = _table("", "pIA", "AUC_N")
    for kind, area in at["pia"].items():
        table.add_row(kind, _percent(area), _percent(at["auc_n"][kind]))
    console.print(table)
    maps, disc = (f"F_LOC {_percent(held['f_loc'])}, F_AUC {_percent(held['f_auc'])}" for held in (at, judged))
    console.print(f"\n{maps}; a disc of 30 % in the centre, whatever is heard: {disc}", highlight=False)
