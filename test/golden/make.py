"""Makes golden.json: losses and gradients of five nets as PyTorch computes them in float64. README.md says how to run it.

Weights and samples come from a linear congruential generator that nets.ts repeats, so that only results are stored.
Tensors are numbered and drawn in Lepton's layouts (kernels HWIO and (in, out), images channels-last) and turned here.
"""

import json
import math
import pathlib

import torch
from torch import nn

STEPS = 10
LEARNING_RATE = 0.01
# Larger steps make this deep net amplify the rounding of float32: PyTorch's own float32 strays by 2e-3 at 0.01.
LEARNING_RATES = {"resnet20": 0.0003}
MOMENTUM = 0.9
ENTRIES = 12  # of each gradient
EPSILON = 1e-3  # of batch and layer normalization, as Keras


def numbers(seed: int, count: int) -> list[float]:
    """`count` numbers in [-1, 1): x <- 1664525 x + 1013904223 mod 2^32 (Numerical Recipes)."""
    x = (seed * 2654435761 + 12345) % 2**32
    values = []
    for _ in range(count):
        x = (1664525 * x + 1013904223) % 2**32
        values.append(x / 2**31 - 1)
    return values


def drawn(seed: int, shape: tuple[int, ...], scale: float, offset: float = 0.0) -> torch.Tensor:
    values = [offset + scale * value for value in numbers(seed, math.prod(shape))]
    # Lepton holds float32 numbers: both sides must start from the same ones.
    return torch.tensor(values, dtype=torch.float32).reshape(shape).double()


class MeanOverTime(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=1)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            SameConv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs, eps=EPSILON), nn.ReLU(),
            SameConv(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs, eps=EPSILON))
        self.shortcut = nn.Sequential() if stride == 1 else nn.Sequential(
            SameConv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs, eps=EPSILON))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class SameConv(nn.Conv2d):
    """Padding `same` as Keras has it: the odd pixel goes to the bottom and the right."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int) -> None:
        super().__init__(inputs, outputs, size, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size, stride, side = self.kernel_size[0], self.stride[0], x.shape[2]
        total = max(0, (math.ceil(side / stride) - 1) * stride + size - side)
        before, after = total // 2, total - total // 2
        return super().forward(nn.functional.pad(x, (before, after, before, after)))


class ChannelsLastFlatten(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def resnet20() -> nn.Module:
    parts: list[nn.Module] = [SameConv(3, 16, 3, 1), nn.BatchNorm2d(16, eps=EPSILON), nn.ReLU()]
    inputs = 16
    for stage, outputs in enumerate([16, 32, 64]):
        for block in range(3):
            parts.append(Block(inputs, outputs, 2 if stage > 0 and block == 0 else 1))
            inputs = outputs
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Positions(nn.Module):
    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(length, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.table[: x.shape[1]]


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query, self.key, self.value, self.back = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.back(y.transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width, eps=EPSILON), Attention(width, heads, causal))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width, eps=EPSILON), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(x)
        return x + self.feed_forward(x)


NETS = {
    "mlp": (nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)), (16, 784), 10),
    "lenet": (nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        ChannelsLastFlatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        (8, 28, 28, 1), 10),
    "resnet20": (resnet20(), (8, 32, 32, 3), 10),
    "text": (nn.Sequential(nn.Embedding(500, 16), MeanOverTime(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)), (8, 12), 4),
    "transformer": (nn.Sequential(
        nn.Embedding(500, 16), Positions(14, 16), EncoderBlock(16, 2, causal=False), EncoderBlock(16, 4, causal=True),
        MeanOverTime(), nn.Linear(16, 4)), (8, 12), 4),
}


def ours(tensor: torch.Tensor, module: nn.Module) -> torch.Tensor:
    """From PyTorch's layout to Lepton's."""
    if isinstance(module, nn.Conv2d) and tensor.dim() == 4:
        return tensor.permute(2, 3, 1, 0)
    return tensor.t() if isinstance(module, nn.Linear) and tensor.dim() == 2 else tensor


def theirs(tensor: torch.Tensor, module: nn.Module) -> torch.Tensor:
    if isinstance(module, nn.Conv2d) and tensor.dim() == 4:
        return tensor.permute(3, 2, 0, 1)
    return tensor.t() if isinstance(module, nn.Linear) and tensor.dim() == 2 else tensor


def parameters(model: nn.Module) -> list[tuple[nn.Module, nn.Parameter]]:
    return [(module, parameter) for module in model.modules() for parameter in module.parameters(recurse=False)]


def initialize(model: nn.Module) -> None:
    for seed, (module, parameter) in enumerate(parameters(model)):
        shape = tuple(ours(parameter.data, module).shape)
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            value = drawn(seed, shape, 0.1, 1.0 if parameter is module.weight else 0.0)
        elif len(shape) == 1:
            value = drawn(seed, shape, 0.1)
        else:
            fan_in = 1 if isinstance(module, nn.Embedding) else math.prod(shape[:-1])
            value = drawn(seed, shape, math.sqrt(6 / fan_in))
        parameter.data = theirs(value, module).contiguous()


def samples(name: str, shape: tuple[int, ...], classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.tensor([math.floor((value + 1) / 2 * classes) for value in numbers(1001, shape[0])])
    if name in ("text", "transformer"):
        words = [math.floor((value + 1) / 2 * 500) for value in numbers(1000, math.prod(shape))]
        return torch.tensor(words).reshape(shape), labels
    x = drawn(1000, shape, 1.0)
    return (x.permute(0, 3, 1, 2).contiguous() if x.dim() == 4 else x), labels


def describe(gradient: torch.Tensor) -> dict[str, object]:
    flat = gradient.flatten()
    stride = max(1, flat.numel() // ENTRIES)
    return {"norm": flat.norm().item(), "stride": stride, "entries": flat[::stride][:ENTRIES].tolist()}


def golden(name: str) -> dict[str, object]:
    model, shape, classes = NETS[name]
    model = model.double().train()
    initialize(model)
    x, y = samples(name, shape, classes)
    learning_rate = LEARNING_RATES.get(name, LEARNING_RATE)
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=MOMENTUM)
    losses: list[float] = []
    gradients: list[dict[str, object]] = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        if not losses:
            gradients = [describe(ours(parameter.grad, module)) for module, parameter in parameters(model)]
        optimizer.step()
        losses.append(loss.item())
    return {"learningRate": learning_rate, "losses": losses, "gradients": gradients}


def main() -> None:
    results = {"torch": torch.__version__, "nets": {name: golden(name) for name in NETS}}
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


main()
