"""The benchmark's peer: the same nets, batches and optimizer in PyTorch. Speaks lines of JSON on standard input and output.

Commands: {"make": NAME, "layout": "contiguous" | "channels_last"} -> {"ready": true};
{"steps": N} -> {"seconds": S} for N training steps; {"memory": true} -> {"peakBytes": B}.
"""

import json
import sys
import time

import torch
from torch import nn

VOCABULARY = 400

torch.set_num_threads(1)
torch.manual_seed(0)


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU(), nn.Linear(512, 10))


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential() if stride == 1 and inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet20() -> nn.Module:
    parts: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    inputs = 16
    for stage, outputs in enumerate([16, 32, 64]):
        for block in range(3):
            parts.append(Block(inputs, outputs, 2 if stage > 0 and block == 0 else 1))
            inputs = outputs
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 128)
        self.positions = nn.Parameter(torch.randn(64, 128) * 0.02)
        layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(128), enable_nested_tensor=False)
        self.head = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.words(x) + self.positions).mean(1))


NETS = {
    "mlp": (mlp, (128, 784)),
    "lenet": (lenet, (64, 1, 28, 28)),
    "resnet20": (resnet20, (64, 3, 32, 32)),
    "transformer": (Transformer, (16, 64)),
}


class Training:
    def __init__(self, name: str, layout: str) -> None:
        make, shape = NETS[name]
        self.model = make().train()
        self.x = torch.randint(0, VOCABULARY, shape) if make is Transformer else torch.randn(shape)
        self.y = torch.randint(0, 10, (shape[0],))
        if layout == "channels_last" and len(shape) == 4:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.x = self.x.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.001, momentum=0.9)
        self.loss = nn.CrossEntropyLoss()

    def step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        loss.item()


def peak_bytes() -> int:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def main() -> None:
    print(json.dumps({"version": torch.__version__}), flush=True)
    training = None
    for line in sys.stdin:
        command = json.loads(line)
        if "make" in command:
            training = Training(command["make"], command["layout"])
            answer: dict[str, object] = {"ready": True}
        elif "steps" in command:
            start = time.perf_counter()
            for _ in range(command["steps"]):
                training.step()
            answer = {"seconds": time.perf_counter() - start}
        else:
            answer = {"peakBytes": peak_bytes()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
