"""Items of a list, and folders of maps for them, made by hand."""

import numpy as np

from avssl.localize import lists, score

SIZE = score.SCORING_SIZE


def item(key, *edges, group=None, sound=None):
    boxes = np.array([[edges[0], 0.0, edges[1], 1.0]]) if edges else None
    return lists.Item(key, sound or key, group or key, boxes)


def drawn(generator, count):
    """Items with one or two boxes, one of them empty, in pairs of one picture."""
    items = []
    for index in range(count):
        corner = generator.uniform(0, 0.6, (1 + index % 2, 2))
        boxes = np.concatenate([corner, corner + generator.uniform(0.05, 0.5, corner.shape)], 1)
        items.append(lists.Item(f"{index}", f"{index}", f"{index // 2}", np.zeros((1, 4)) if index == 5 else boxes))
    return items


def saved(folder, maps):
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in maps.items():
        np.save(folder / f"{name}.npy", values)
    return folder
