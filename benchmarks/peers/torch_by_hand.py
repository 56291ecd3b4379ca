"""PyTorch without autograd: 784-128-10 with gradients and Adam by hand over one flat vector. Runs without digitlab.

    python torch_by_hand.py mnist.npz --epochs 4 --batch-size 32

Prints one JSON object: seconds of each epoch, test accuracy.
"""

import argparse
import json
import time

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--batch-size", type=int, default=32)
options = parser.parse_args()

import numpy as np
import torch

with np.load(options.data) as arrays:
    images = torch.from_numpy(arrays["x_train"].reshape(-1, 784).astype("float32") / 255)
    labels = torch.from_numpy(arrays["y_train"].astype("int64"))
    test_images = torch.from_numpy(arrays["x_test"].reshape(-1, 784).astype("float32") / 255)
    y_test = arrays["y_test"]
torch.manual_seed(0)
shapes = [(784, 128), (128,), (128, 10), (10,)]
sizes = [torch.Size(shape).numel() for shape in shapes]
flat, gradient, first, second = (torch.zeros(sum(sizes)) for _ in range(4))
w1, b1, w2, b2 = (part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True))
g1, h1, g2, h2 = (part.view(shape) for part, shape in zip(gradient.split(sizes), shapes, strict=True))
for matrix in (w1, w2):
    torch.nn.init.xavier_uniform_(matrix)
answers = torch.nn.functional.one_hot(labels, 10).float()
epochs, step = [], 0
with torch.inference_mode():
    for _ in range(options.epochs):
        started = time.perf_counter()
        order = torch.randperm(len(images))
        for x, y in zip(images[order].split(options.batch_size), answers[order].split(options.batch_size), strict=True):
            step += 1
            hidden = torch.addmm(b1, x, w1).relu_()
            error = (torch.softmax(torch.addmm(b2, hidden, w2), 1) - y).div_(len(x))
            torch.mm(hidden.t(), error, out=g2)
            torch.sum(error, 0, out=h2)
            back = torch.mm(error, w2.t()).mul_(hidden > 0)
            torch.mm(x.t(), back, out=g1)
            torch.sum(back, 0, out=h1)
            first.lerp_(gradient, 0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            rate = 1e-3 * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
            flat.addcdiv_(first, second.sqrt().add_(1e-8), value=-rate)
        epochs.append(time.perf_counter() - started)
    predicted = (torch.addmm(b1, test_images, w1).relu_() @ w2 + b2).argmax(1).numpy()
print(json.dumps({"epochs": epochs, "accuracy": float((predicted == y_test).mean()), "version": torch.__version__}))
