"""WEIGHTS DATABASE QUERY: open_clip and torch as their README has them."""

import sys

import open_clip
import torch
from numpy_search import nearest, show


def main(weights, database, text):
    model, _, _ = open_clip.create_model_and_transforms("ViT-B-32", pretrained=weights)
    model.eval()
    with torch.no_grad():
        (vector,) = model.encode_text(open_clip.get_tokenizer("ViT-B-32")([text]), normalize=True)
    show(nearest(database, vector.numpy(), 10))


if __name__ == "__main__":
    main(*sys.argv[1:])
