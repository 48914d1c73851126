"""Recall of the built-in model on the 200 COCO photos, as written and shuffled; its embeddings beside open_clip's own.

Percent, with the drop's 95 % interval. Cosines: our pipeline against open_clip's preprocessing and fp32 towers; once on
the files as they are (open_clip drops their colour profiles, we convert to sRGB), once with both in sRGB.
"""

import io
import json
from importlib import resources

from benchmarks._material import coco200


def run() -> dict[str, float]:
    import numpy as np

    from vlsearch.audit.tasks.retrieval import audit_retrieval
    from vlsearch.encoders import registry
    from vlsearch.ingest.decode import decode

    encoder = registry.load("builtin")
    data = json.loads((coco200().parent / "captions.json").read_text())
    files = [coco200() / row["file_name"] for row in data["images"]]
    place = {row["id"]: n for n, row in enumerate(data["images"])}
    texts = [row["caption"] for row in data["annotations"]]
    owner = np.array([place[row["image_id"]] for row in data["annotations"]])
    xb = encoder.embed_images(np.stack([decode(file.read_bytes(), encoder.preprocess).pixels for file in files]))
    report, _ = audit_retrieval(encoder.embed_texts, xb, texts, owner, perturbations=["shuffle"])
    figures = {}
    for r in report.results:
        if r.perturbation == "shuffle":
            name = f"{'text → photo' if r.direction == 'text_to_image' else 'photo → text'} R@{r.k}"
            figures[name] = round(100 * r.clean, 1)
            figures[f"{name} shuffled"] = round(100 * r.perturbed, 1)
            figures[f"{name} drop, low"] = round(100 * r.low, 1)
            figures[f"{name} drop, high"] = round(100 * r.high, 1)
    return figures | beside_open_clip(encoder, files, texts, xb)


def beside_open_clip(encoder, files, texts, xb) -> dict[str, float]:
    import open_clip
    import torch
    from PIL import Image

    from vlsearch.encoders.registry import quiet

    with resources.as_file(resources.files("vlsearch.encoders") / "builtin") as folder, quiet():
        model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    figures = {}
    with torch.inference_mode():
        for name, opened in (("files as they are", Image.open), ("both in sRGB", in_srgb)):
            rows = model.encode_image(torch.stack([transform(opened(file)) for file in files]), normalize=True).numpy()
            cosines = (rows * xb).sum(1)
            figures[f"photo cosine, {name}, min"] = float(cosines.min())
            figures[f"photo cosine, {name}, mean"] = float(cosines.mean())
            figures[f"photos under 0.995, {name}"] = int((cosines < 0.995).sum())
        rows = model.encode_text(tokenizer(texts), normalize=True).numpy()
    cosines = (rows * encoder.embed_texts(texts)).sum(1)
    return figures | {"caption cosine, min": float(cosines.min()), "caption cosine, mean": float(cosines.mean())}


def in_srgb(file):
    """The photo converted to sRGB by Pillow at full size."""
    from PIL import Image, ImageCms

    image = Image.open(file)
    profile = image.info.get("icc_profile")
    if profile and image.mode == "RGB":
        srgb = ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), srgb)
    return image
