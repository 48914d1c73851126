"""The two built-in models on the 200 COCO photos: recall, order choice, SugarCrepe, and their paired differences.

Percent, with 95 % intervals by bootstrap over photos. "neg" is builtin-neg, "difference" builtin-neg less builtin
on the same photos. Order choice: the caption among four forms of it with words out of order (chance 20).
"""

from benchmarks._material import coco200


def run() -> dict[str, float]:
    from vlsearch.audit.datasets import load
    from vlsearch.encoders import registry
    from vlsearch.train.change import compare
    from vlsearch.train.evaluation import HeldOut, measure, sugarcrepe

    photos = coco200()
    held = HeldOut(
        load(str(photos.parent / "captions.json")),
        lambda name: (photos / name).read_bytes(),
        sugarcrepe(photos.parents[1] / "sugarcrepe" / "on_coco200.json", photos),
    )
    plain, neg = (measure(registry.load(name), held) for name in ("builtin", "builtin-neg"))
    figures = {}
    for change in compare(plain, neg):
        for model, figure in (("builtin", change.before), ("neg", change.after)):
            figures[f"{model}: {change.name}"] = round(100 * figure.value, 1)
            figures[f"{model}: {change.name}, low"] = round(100 * figure.low, 1)
            figures[f"{model}: {change.name}, high"] = round(100 * figure.high, 1)
        figures[f"difference: {change.name}"] = round(100 * change.difference, 1)
        figures[f"difference: {change.name}, low"] = round(100 * change.low, 1)
        figures[f"difference: {change.name}, high"] = round(100 * change.high, 1)
    return figures
