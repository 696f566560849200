"""Items of a list, and folders of maps for them, made by hand."""

import numpy as np

from avssl.localize import lists, score

SIZE = score.SCORING_SIZE


def item(key, *edges, group=None, sound=None):
    boxes = np.array([[edges[0], 0.0, edges[1], 1.0]]) if edges else None
    return lists.Item(key, sound or key, group or key, boxes)


def saved(folder, maps):
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in maps.items():
        np.save(folder / f"{name}.npy", values)
    return folder
