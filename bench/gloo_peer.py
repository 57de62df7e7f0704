"""The exchange benchmark's peer: one process of a torch.distributed group over gloo. Speaks lines of JSON like torch_peer.py.

    gloo_peer.py RANK WORLD FILE
Commands: {"floats": N} -> {"ready": true}, then {"steps": K} -> seconds of K all-reduces of N floats;
{"make": NET} -> {"ready": true}, then {"steps": K} -> seconds of K training steps under DistributedDataParallel.
"""

import json
import sys
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from torch_peer import Training

torch.set_num_threads(1)


def reduction(floats: int) -> Callable[[], None]:
    values = torch.rand(floats)

    def reduce() -> None:
        dist.all_reduce(values)
        values.mul_(1 / dist.get_world_size())

    return reduce


def training(name: str) -> Callable[[], None]:
    made = Training(name, "channels_last")
    made.model = DistributedDataParallel(made.model)
    return made.step


def main() -> None:
    rank, world, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    print(json.dumps({"version": torch.__version__}), flush=True)
    step = None
    for line in sys.stdin:
        command = json.loads(line)
        if "floats" in command:
            step = reduction(command["floats"])
        elif "make" in command:
            step = training(command["make"])
        if "steps" not in command:
            print(json.dumps({"ready": True}), flush=True)
            continue
        start = time.perf_counter()
        for _ in range(command["steps"]):
            step()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


main()
