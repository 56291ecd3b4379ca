"""The plain PyTorch loop that people write: 784-128-10 or a convnet, Adam, tensors in memory. Runs without digitlab.

    python torch_loop.py mnist.npz --epochs 4 --batch-size 32 [--whole FOLDER] [--fused] [--compile]

Prints one JSON object: seconds of each epoch, test accuracy. It slices a shuffled tensor; a DataLoader is slower. With
--fused Adam is PyTorch's fused one and the images are shuffled once an epoch; with --compile the step is compiled.
"""

import argparse
import json
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--network", choices=["dense", "convnet"], default="dense")
parser.add_argument("--images", type=int, default=60_000, help="train on the first so many")
parser.add_argument("--whole", type=Path)
parser.add_argument("--fused", action="store_true")
parser.add_argument("--compile", action="store_true")
options = parser.parse_args()

import numpy as np
import torch

with np.load(options.data) as arrays:
    x_train, y_train = arrays["x_train"][: options.images], arrays["y_train"][: options.images]
    x_test, y_test = arrays["x_test"], arrays["y_test"]
images = torch.from_numpy(x_train.reshape(-1, 784).astype("float32") / 255)
labels = torch.from_numpy(y_train.astype("int64"))
test_images = torch.from_numpy(x_test.reshape(-1, 784).astype("float32") / 255)

if options.network == "dense":
    model = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
else:  # the convnet of the Keras examples
    images, test_images = images.reshape(-1, 1, 28, 28), test_images.reshape(-1, 1, 28, 28)
    model = torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 32, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Conv2d(32, 64, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(1600, 10)),
    )
optimizer = torch.optim.Adam(model.parameters(), fused=options.fused or None)
criterion = torch.nn.CrossEntropyLoss()


def loss_of(some_images, some_labels):
    """Mean loss of a batch."""
    return criterion(model(some_images), some_labels)


if options.compile:
    loss_of = torch.compile(loss_of)
epochs = []
for _ in range(options.epochs):
    started = time.perf_counter()
    order = torch.randperm(len(images))
    if options.fused:
        batches = zip(images[order].split(options.batch_size), labels[order].split(options.batch_size), strict=True)
    else:
        batches = ((images[chosen], labels[chosen]) for chosen in order.split(options.batch_size))
    for some_images, some_labels in batches:
        optimizer.zero_grad()
        loss_of(some_images, some_labels).backward()
        optimizer.step()
    epochs.append(time.perf_counter() - started)
model.eval()
with torch.no_grad():
    predicted = model(test_images).argmax(1).numpy()
if options.whole:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    import seaborn

    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (y_test, predicted), 1)
    plt.figure(figsize=(10, 7))
    seaborn.heatmap(confusion, annot=True, fmt="d")
    plt.xlabel("Predicted")
    plt.ylabel("Truth")
    plt.savefig(options.whole / "confusion.png")
    torch.save(model.state_dict(), options.whole / "model.pt")
accuracy = float((predicted == y_test).mean())
print(json.dumps({"epochs": epochs, "accuracy": accuracy, "version": torch.__version__}))
