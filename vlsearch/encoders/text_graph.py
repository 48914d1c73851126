"""A CLIP text tower as an ONNX graph beside one file of weights, in the form that ONNX Runtime opens fastest.

Written node by node: `torch.onnx.export` needs twenty times as long, and its graph runs at half the speed for one
short text. The weights keep torch's layout and start on pages, so that they are mapped, not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vlsearch.encoders.cut_text import end_token, pooling
from vlsearch.encoders.text_onnx import MODEL, WEIGHTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import NodeProto, TensorProto

OPSET, IR = 20, 9
"""ONNX 1.15, ONNX Runtime 1.17"""
PAGE = 4096
INLINE = 1024
"""bytes up to which a constant stays in the graph"""
QUICK_GELU = 1.702
"""x · sigmoid(1.702 x), as OpenAI's CLIP has it"""


def is_known(tower: Any) -> bool:
    """Whether `write_graph` knows all parts of a tower: plain blocks, no class token, pooled at the end of the text."""
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    if not blocks or getattr(tower, "cls_emb", None) is not None or getattr(tower, "use_pad_mask", False):
        return False
    plain = all(type(block).__name__ == "ResidualAttentionBlock" for block in blocks)
    return plain and pooling(tower) in ("argmax", "eos")


def write_graph(tower: Any, folder: Path) -> None:
    """MODEL and WEIGHTS in `folder`: input `tokens` (n, length) int64, length ≤ context_length where the tower is
    causal, equal to it else; output `vectors` (n, d) float32, unit rows."""
    from onnx import save

    with (folder / WEIGHTS).open("wb") as weights:
        graph = Graph(weights)
        vectors = graph.text(tower)
        save(graph.model(vectors), folder / MODEL)


class Graph:
    """Nodes and constants of a graph under construction. Methods take and return names of tensors."""

    def __init__(self, weights: BinaryIO) -> None:
        self._weights = weights
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def model(self, vectors: str) -> Any:
        """The ONNX model whose result is the tensor `vectors`."""
        from onnx import TensorProto, helper

        tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", "length"])
        result = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", "d"])
        nodes = [*self._nodes, helper.make_node("Identity", [vectors], ["vectors"])]
        graph = helper.make_graph(nodes, "text", [tokens], [result], list(self._constants.values()))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)

    def text(self, tower: Any) -> str:
        """Token ids to unit rows (n, d). Between attentions, all tokens of all texts are rows of one matrix."""
        from vlsearch.encoders.vit import parts_of

        width = tower.positional_embedding.shape[1]
        shape, zero, one, two = self.op("Shape", "tokens"), self.ints(0), self.ints(1), self.ints(2)
        count, length = self.op("Slice", shape, zero, one), self.op("Slice", shape, one, two)
        rows = self.ints(-1, width)
        x = self.op("Gather", self.weight("tokens.embedding", tower.token_embedding.weight), "tokens")
        positions = self.weight("positions", tower.positional_embedding)
        x = self.op("Add", x, self.op("Slice", positions, zero, length))
        x = self.op("Reshape", x, rows)
        mask = None
        if tower.attn_mask is not None:
            square = self.op("Concat", length, length, axis=0)
            mask = self.op("Slice", self.weight("mask", tower.attn_mask), self.ints(0, 0), square)
        for number, block in enumerate(tower.transformer.resblocks):
            parts, name = parts_of(block), f"blocks.{number}"
            heads = self.op("Concat", shape, self.ints(parts.heads, width // parts.heads), axis=0)
            y = self.norm(x, f"{name}.norm1", parts.norm1)
            y = self.op("Reshape", self.attention(y, name, parts, heads, mask), rows)
            x = self.op("Add", x, self.linear(y, f"{name}.out", parts.out_weight, parts.out_bias))
            y = self.norm(x, f"{name}.norm2", parts.norm2)
            y = self.linear(y, f"{name}.fc1", parts.fc1_weight, parts.fc1_bias)
            y = self.linear(self.activated(y, parts.activation), f"{name}.fc2", parts.fc2_weight, parts.fc2_bias)
            x = self.op("Add", x, y)
        starts = self.op("Range", self.scalar(0), self.op("Squeeze", count), self.scalar(1))
        x = self.op("Gather", x, self.op("Add", self.op("Mul", starts, length), self.ends(tower)))
        x = self.norm(x, "final", tower.ln_final)
        return self.op("LpNormalization", self.projected(x, tower.text_projection), axis=-1, p=2)

    def attention(self, x: str, name: str, parts: Any, heads: str, mask: str | None) -> str:
        """Self-attention over (n · length, width), to (n, length, heads, width / heads); the queries' weights hold the
        scale. `heads`: (n, length, heads, width / heads)."""
        scale = parts.qkv_bias.new_ones(len(parts.qkv_bias))
        width = len(scale) // 3
        scale[:width] = (width // parts.heads) ** -0.5
        y = self.linear(x, f"{name}.qkv", parts.qkv_weight * scale[:, None], parts.qkv_bias * scale)
        q, k, v = (self.op("Reshape", part, heads) for part in self.ops(3, "Split", y, axis=1, num_outputs=3))
        q, v = (self.op("Transpose", part, perm=[0, 2, 1, 3]) for part in (q, v))
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 2, 3, 1]))
        weights = self.op("Softmax", scores if mask is None else self.op("Add", scores, mask), axis=-1)
        return self.op("Transpose", self.op("MatMul", weights, v), perm=[0, 2, 1, 3])

    def linear(self, x: str, name: str, weight: Any, bias: Any) -> str:
        return self.op("Gemm", x, self.weight(f"{name}.weight", weight), self.weight(f"{name}.bias", bias), transB=1)

    def norm(self, x: str, name: str, norm: Any) -> str:
        weight, bias = self.weight(f"{name}.weight", norm.weight), self.weight(f"{name}.bias", norm.bias)
        return self.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=norm.eps)

    def activated(self, x: str, activation: str) -> str:
        """`activation` is one of `vit.Parts`."""
        if activation == "quick_gelu":
            return self.op("Mul", x, self.op("Sigmoid", self.op("Mul", x, self.scalar(QUICK_GELU))))
        return self.op("Gelu", x, approximate={"gelu": "none", "gelu_tanh": "tanh"}[activation])

    def ends(self, tower: Any) -> str:
        """(n,): the column that each text is pooled at, as `cut_text.lengths` finds it."""
        tokens = "tokens"
        if pooling(tower) == "eos":
            from onnx import TensorProto

            found = self.op("Equal", tokens, self.scalar(end_token(tower)))
            tokens = self.op("Cast", found, to=TensorProto.INT32)
        return self.op("ArgMax", tokens, axis=1, keepdims=0)

    def projected(self, x: str, projection: Any) -> str:
        if projection is None:
            return x
        if callable(projection):
            bias = projection.weight.new_zeros(len(projection.weight)) if projection.bias is None else projection.bias
            return self.linear(x, "projection", projection.weight, bias)
        return self.op("MatMul", x, self.weight("projection", projection))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.ops(1, kind, *inputs, **attributes)[0]

    def ops(self, outputs: int, kind: str, *inputs: str, **attributes: Any) -> list[str]:
        from onnx import helper

        names = [f"{kind}_{len(self._nodes)}_{n}" for n in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

    def ints(self, *values: int) -> str:
        """A vector of int64."""
        import numpy as np

        return self.constant(f"ints {values}", np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        """int64 for an int, float32 for a float."""
        import numpy as np

        dtype = np.int64 if isinstance(value, int) else np.float32
        return self.constant(f"scalar {value!r}", np.array(value, dtype))

    def weight(self, name: str, tensor: Any) -> str:
        return self.constant(name, tensor.detach().float().contiguous().numpy())

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        """Small ones go into the graph, others into the file of weights."""
        from onnx import TensorProto, helper

        if name in self._constants:
            return name
        tensor = TensorProto(name=name, dims=values.shape, data_type=helper.np_dtype_to_tensor_dtype(values.dtype))
        if values.nbytes <= INLINE:
            tensor.raw_data = values.tobytes()
        else:
            self._weights.write(b"\0" * (-self._weights.tell() % PAGE))
            place = {"location": WEIGHTS, "offset": self._weights.tell(), "length": values.nbytes}
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            self._weights.write(values.data)
        self._constants[name] = tensor
        return name
