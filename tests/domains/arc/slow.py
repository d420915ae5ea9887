"""The augmentations once more, as nested loops over lists: slow, and plain to see."""

from __future__ import annotations


def plain(name, cells):
    """The rows of a grid, augmented: where each cell of the result comes from."""
    height, width = len(cells), len(cells[0])
    if name == "identity":
        return cells
    if name.endswith("-double"):
        return plain("double", plain(name.removesuffix("-double"), cells))
    turned = name in ("rotate-90", "rotate-270", "transpose")
    tall = {"reflect-below", "reflect-above", "double", "double-height", "repeat-height", "repeat-both"}
    wide = {"reflect-right", "reflect-left", "double", "double-width", "repeat-width", "repeat-both"}
    out_height = (width if turned else height) * (2 if name in tall else 1)
    out_width = (height if turned else width) * (2 if name in wide else 1)
    source = {
        "rotate-90": lambda y, x: (x, width - 1 - y),
        "rotate-180": lambda y, x: (height - 1 - y, width - 1 - x),
        "rotate-270": lambda y, x: (height - 1 - x, y),
        "flip-up-down": lambda y, x: (height - 1 - y, x),
        "flip-left-right": lambda y, x: (y, width - 1 - x),
        "transpose": lambda y, x: (x, y),
        "reflect-below": lambda y, x: (y if y < height else 2 * height - 1 - y, x),
        "reflect-above": lambda y, x: (height - 1 - y if y < height else y - height, x),
        "reflect-right": lambda y, x: (y, x if x < width else 2 * width - 1 - x),
        "reflect-left": lambda y, x: (y, width - 1 - x if x < width else x - width),
        "double": lambda y, x: (y // 2, x // 2),
        "double-height": lambda y, x: (y // 2, x),
        "double-width": lambda y, x: (y, x // 2),
        "repeat-height": lambda y, x: (y % height, x),
        "repeat-width": lambda y, x: (y, x % width),
        "repeat-both": lambda y, x: (y % height, x % width),
    }[name]
    result = []
    for y in range(out_height):
        result.append([])
        for x in range(out_width):
            from_y, from_x = source(y, x)
            result[y].append(cells[from_y][from_x])
    return result
