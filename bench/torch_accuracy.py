"""Trains the net of examples/fashion-mnist in PyTorch: python torch_accuracy.py FOLDER SEED -> {"accuracy": A, "version": V}.

The same initial distributions (Glorot uniform, zero biases), batch, epochs and Adam as the manifest.
"""

import gzip
import json
import pathlib
import sys

import torch
from torch import nn

BATCH = 64
EPOCHS = 3


def read(folder: pathlib.Path, name: str, head: int) -> torch.Tensor:
    path = folder / name
    data = path.read_bytes() if path.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    return torch.frombuffer(bytearray(data[head:]), dtype=torch.uint8)


def load(folder: pathlib.Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    images = read(folder, f"{split}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28).float() / 255
    return images, read(folder, f"{split}-labels-idx1-ubyte", 8).long()


def main() -> None:
    folder, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7)
    x, y = load(folder, "train")
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for start in range(0, len(x), BATCH):
            chosen = order[start:start + BATCH]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
    model.eval()
    x, y = load(folder, "t10k")
    with torch.no_grad():
        right = sum((model(x[i:i + 1000]).argmax(1) == y[i:i + 1000]).sum().item() for i in range(0, len(x), 1000))
    print(json.dumps({"accuracy": right / len(x), "version": torch.__version__}))


main()
