# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A computer learns to read digits
#
# In this notebook you teach a small neural network to read handwritten digits, look at what it gets wrong, and find
# out why. You need to know some Python. You need not know any machine learning.
#
# Each step has three parts: a few lines of code, **what to notice**, and a small **exercise**. Run the cells from top
# to bottom. The whole notebook takes two to three minutes on an ordinary laptop; no graphics card is needed.
#
# On Google Colab, install digitlab first: upload the repository (or clone it) and run `%pip install ./digitlab`
# in a cell of its own.

# %%
import os

os.environ["KERAS_BACKEND"] = "jax"  # what Keras computes with; must be said before Keras is imported

import keras
import matplotlib.pyplot as plt
import numpy as np

import digitlab
from digitlab.judging import evaluate, wilson_interval
from digitlab.showing.figures import (
    draw_confusion,
    draw_curves,
    draw_mistakes,
    draw_pictures,
    draw_predictions,
    draw_reliability,
    draw_samples,
)

keras.utils.set_random_seed(0)  # so that you see the same numbers again

# %% [markdown]
# ## 1. Load the data and look at it
#
# MNIST is a collection of 70,000 handwritten digits, written by employees of the American census bureau and by high
# school students. It ships with digitlab, so nothing is downloaded.

# %%
mnist = digitlab.load()
train, validation, test = mnist.train, mnist.validation, mnist.test
names = mnist.class_names

for name, part in [("train", train), ("validation", validation), ("test", test)]:
    print(f"{name:10}  images {part.images.shape}  labels {part.labels.shape}")

# %% [markdown]
# An image is nothing but a table of numbers: 28 rows of 28 pixels, each from 0 (paper) to 255 (ink). Here is the
# first one, and every second number of its middle. Can you see the digit in the numbers?

# %%
first = train.images[0]
plt.figure(figsize=(2, 2))
plt.imshow(first, cmap="gray")
plt.title(f"label: {train.labels[0]}")
plt.show()

for row in first[4:25:2, 5:25:2]:
    print(" ".join(f"{pixel:3d}" for pixel in row))

# %%
draw_samples(train.images[:500], train.labels[:500], names).figure

# %%
counts = np.bincount(train.labels)
figure, ax = plt.subplots(figsize=(6, 2.4))
ax.bar(names, counts, color="#0072B2")
ax.set(xlabel="digit", ylabel="training images")
plt.show()

# %% [markdown]
# **What to notice.** People write the same digit in very different ways: look at the ones and the sevens. The classes
# are roughly, not exactly, of equal size. And there are *three* sets of images:
#
# - **train**: the network learns from these;
# - **validation**: it never learns from these. You look at them while you try things out;
# - **test**: you look at these once, at the end. They say how well it reads digits that nobody has fitted anything to.
#
# If you choose your network by its test images, the test result is no longer honest: you picked the network that
# was lucky on them.
#
# **Exercise.** Show the first fifty sevens with
# `draw_pictures(train.images[train.labels == 7][:50], ["7"] * 50).figure`. How many ways of writing it do you find?

# %% [markdown]
# ## 2. Prepare the images
#
# A network learns best from small numbers, so the pixels are divided by 255. And our first network takes an image as
# one long row of 28 x 28 = 784 numbers.

# %%
row = first.reshape(784) / 255
print("shape", row.shape, " smallest", row.min(), " largest", row.max())
print(f"mean over all training images {train.images.mean() / 255:.4f}")

# %% [markdown]
# **What to notice.** Nothing was lost: it is the same image in another shape. But the network no longer knows which
# pixels are neighbours. Keep that in mind for step 11.
#
# Below we do both steps *inside* the network. Then whoever uses it later cannot forget the division. That is one of
# the most common mistakes of all; see step 15.
#
# **Exercise.** The mean is about 0.13. What does that say about how much of an image is ink?

# %% [markdown]
# ## 3. Build a network: 784 - 128 - 10
#
# A *dense* layer takes all numbers before it, multiplies each by a weight, and adds them up; it does so once for each
# of its units. `relu` sets negative results to 0. The last layer has ten units, one for each digit, and `softmax`
# turns their values into ten probabilities that sum to 1.

# %%
layers = keras.layers
model = keras.Sequential(
    [
        layers.Input((28, 28)),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]
)
model.summary()

# %%
before = model.predict(test.images[:1], verbose=0)[0]
print("before training:", np.round(before, 2))

# %% [markdown]
# **What to notice.** The parameters are the weights that training will change: 784 x 128 weights and 128 shifts in the
# first layer, 128 x 10 and 10 in the second. They start at random, so the untrained network guesses.
#
# **Exercise.** Work out the 101,770 by hand. How many would a network without the middle layer have?

# %% [markdown]
# ## 4. Train it
#
# Training shows the network 32 images at a time. The *loss* says how surprised it was by the right answers; Adam
# moves every weight a little in the direction that makes the loss smaller. One pass over all training images is an
# *epoch*.

# %%
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
fitted = model.fit(
    train.images,
    train.labels,
    batch_size=32,
    epochs=5,
    validation_data=(validation.images, validation.labels),
    verbose=2,
)

# %% [markdown]
# **What to notice.** The greatest gain is in the first epoch. `val_accuracy` is the accuracy on the validation
# images, which the network did not learn from.
#
# **Exercise.** Train a fresh network with `batch_size=512`. Is an epoch faster? Is the result as good after five?

# %% [markdown]
# ## 5. Curves
#
# Numbers in a row are hard to read. Draw them.

# %%
history = {"epoch": [epoch + 1 for epoch in fitted.epoch], **fitted.history}
draw_curves(history)[0].figure

# %% [markdown]
# **What to notice.** The training loss keeps falling fast. The validation loss falls more slowly from epoch to epoch,
# and the two lines cross and part: the network begins to learn its training images by heart. That is called
# *overfitting*.
#
# **Exercise.** Train for 20 epochs and draw the curves again. Where would you have stopped?

# %% [markdown]
# ## 6. How good is it? The test
#
# Now, once, the test images.

# %%
probabilities = model.predict(test.images, verbose=0)
result = evaluate(probabilities, test.labels, doubtful=mnist.doubtful)
low, high = result.accuracy_interval
print(f"{result.accuracy:.2%} right, {len(result.mistakes)} mistakes in {result.samples:,} images")
print(f"95 % interval: {low:.2%} to {high:.2%}")

# %% [markdown]
# **What to notice.** The interval. With other 10,000 images from the same writers the result would have been a
# little different. If somebody says that their network is 0.1 % better than yours, look at the interval first.
#
# **Exercise.** With only 100 test images, how wide is the interval? `wilson_interval(98, 100)` tells.

# %%
for right, total in [(98, 100), (980, 1000), (9800, 10000)]:
    low, high = wilson_interval(right, total)
    print(f"{right:5} of {total:6}: {low:.2%} to {high:.2%}")

# %% [markdown]
# ## 7. The confusion matrix: what does it mix up?
#
# A row is the true digit, a column is what the network read. The diagonal is right; everything else is a mistake.

# %%
draw_confusion(result.confusion, names).figure

# %%
for confusion in result.confusions[:5]:
    print(confusion)

# %% [markdown]
# **What to notice.** The mistakes are not spread evenly. Digits that look alike are mixed up: 8 and 3, 7 and 2,
# 4 and 9. Hardly ever is a 0 read as a 1. The network makes mistakes that a person could understand.
#
# **Exercise.** Which digit has the lowest recall (the share of its images that were read right)? `result.recall` has
# them in order.

# %% [markdown]
# ## 8. Sample predictions
#
# Forty test images, drawn at random: what was read, what is true, and how sure the network was.

# %%
draw_predictions(test.images, test.labels, probabilities, names).figure

# %% [markdown]
# **What to notice.** It is nearly always very sure. Is it right to be? Step 14 comes back to that.
#
# **Exercise.** Draw forty others with `seed=1`. Cover the captions: do you read the same?

# %% [markdown]
# ## 9. The misclassified images
#
# The most confident mistakes first. This is the most useful image of all.

# %%
draw_mistakes(test.images, test.labels, probabilities, names, doubtful=mnist.doubtful).figure

# %% [markdown]
# **What to notice.** Some of these are badly written. Some have a dagger: their label is *doubtful*, no majority of the
# people who looked at them agrees with it, so the network may be right. And some are plain digits that it simply gets
# wrong.
#
# **Exercise.** Go through the first row. For each image, say what you read before you look at the caption.

# %% [markdown]
# ## 10. The same with digitlab, and how to keep a model
#
# All of the above in one line. `mlp` is a *recipe*: a network and the way it is trained. Everything is kept in a
# folder: the model, the numbers, the figures above, and a report that opens in a browser.

# %%
run = digitlab.train("mlp", epochs=5)
print(f"{run.evaluation.accuracy:.2%} right, {len(run.evaluation.mistakes)} mistakes")
print(f"an epoch took {np.median(run.history['seconds']):.2f} s")
print(*sorted(file.name for file in run.path.iterdir() if not file.name.startswith(".")))

# %% [markdown]
# The model in there is an ordinary Keras model. You can save one yourself, too, and load it again: whole, as `.keras`,
# or its weights alone, as `.h5`.

# %%
model.save("digits.keras")
again = keras.models.load_model("digits.keras")
print("same answers:", np.allclose(again.predict(test.images, verbose=0), probabilities, atol=1e-6))

model.save_weights("digits.weights.h5")  # the weights alone, without the network around them
fresh = keras.models.clone_model(model)  # the same network, its weights random again
fresh.load_weights("digits.weights.h5")
print("same answers:", np.allclose(fresh.predict(test.images, verbose=0), probabilities, atol=1e-6))

# %% [markdown]
# **What to notice.** The recipe does a little better than our network with the same number of weights. It
# starts with small steps, then takes large ones, and ends with ever smaller ones: the *learning rate* rises and falls.
#
# **Exercise.** Open `report.html` of the run in a browser, and click a cell of its confusion matrix. Then train again
# with `digitlab.train("mlp", epochs=5, seed=1)`. By how much do the two differ by chance alone?

# %% [markdown]
# ## 11. A network that knows what a neighbour is
#
# A *convolution* slides a small window over the image and looks for the same pattern everywhere. *Pooling* then
# keeps the strongest answer of each small square. To keep this quick, we learn from 6,000 images only, and compare
# with a dense network that sees the same 6,000.

# %%
from dataclasses import replace

from digitlab import Split

small = replace(mnist, name="6,000 of MNIST", train=Split(train.images[:6000], train.labels[:6000]))


def build_cnn():
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 5, strides=2, padding="same", activation="relu"),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


dense = digitlab.train("mlp", data=small, epochs=6)
cnn = digitlab.train("mlp", data=small, epochs=6, model=build_cnn)
for title, each in [("dense", dense), ("convolution", cnn)]:
    print(f"{title:12} {each.info['parameters']:7,} parameters  {each.evaluation.accuracy:.2%} correct")

# %%
both = digitlab.compare(dense.path, cnn.path)
low, high = both.difference_interval
print("test images that only the dense network reads right:", len(both.only_a), " only the other:", len(both.only_b))
print(f"difference {both.difference:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}, p = {both.p_value:.2g}")

# %% [markdown]
# **What to notice.** The convolutional network has far fewer weights and reads better, because it need not learn
# the same stroke anew for each place. (We use steps of two pixels, `strides=2`, in place of pooling: it is quicker.)
# The recipe `cnn` has three such layers, and learns from all images; `digitlab recipes` says what it achieves.
# The last lines ask whether the difference is more than chance: on the same images, how often was one right and
# the other wrong? A small *p* means that two equally good networks would hardly ever differ so much.
#
# **Exercise.** Make the windows 3 wide in place of 5, or double the number of filters. What does it cost in seconds,
# and what does it bring?

# %% [markdown]
# ## 12. Augmentation: more images from the ones you have
#
# Move every test digit a few pixels. For you nothing has changed.


# %%
def moved(images, right, down):
    """The same images, moved; blank paper comes in at the other side."""
    result = np.zeros_like(images)
    height, width = images.shape[1:]
    result[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = images[
        :, max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return result


draw_pictures(
    np.stack([moved(test.images[:1], pixels, pixels)[0] for pixels in range(5)]),
    [f"{pixels} pixels" for pixels in range(5)],
).figure


# %%
def accuracy_when_moved(some_run):
    rows = []
    for pixels in range(5):
        pictures = moved(test.images, pixels, pixels)
        read = some_run.model.predict(pictures, batch_size=1000, verbose=0).argmax(axis=1)
        rows.append((read == test.labels).mean())
    return rows


# %% [markdown]
# The remedy is to let the network learn from images that are never twice the same. A recipe has fields for it:
# `shift` in pixels, `rotate` in degrees, `scale`, `shear` and `thickness` as shares, `elastic` bends the strokes.
# Look at what they do before you train with them: in each row the image as it is, then changed at random.

# %%
from digitlab.learning.augment import examples

changes = {"shift": 2.0, "rotate": 10.0, "scale": 0.1, "shear": 0.15, "elastic": 0.5, "thickness": 0.3}
rows = examples(small.train.images[:5], digitlab.recipe("mlp", **changes), columns=9)
draw_pictures(rows.reshape(-1, 28, 28), (["as it is"] + ["changed"] * 9) * 5).figure

# %%
augmented = digitlab.train("mlp", data=small, epochs=30, **changes)
print(f"as they are: {dense.evaluation.accuracy:.2%} without, {augmented.evaluation.accuracy:.2%} with changed images")

# %%
figure, ax = plt.subplots(figsize=(6, 3))
for title, each in [("without", dense), ("with changed images", augmented)]:
    ax.plot(range(5), [100 * share for share in accuracy_when_moved(each)], marker="o", label=title)
ax.set(xlabel="test images moved right and down, pixels", ylabel="right, %", xticks=range(5), ylim=(0, 100))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# **What to notice.** Every changed image is still the digit that its label says; a change that made a 6 a 9 would
# teach nonsense. A high test accuracy said nothing about moved digits: all MNIST digits are centred, so the test
# never asked. Changed images help in both ways: with the moved digits, and with the ordinary ones. They take more
# epochs, because there is always something new to learn.
#
# **Exercise.** Set `rotate=20` and look at the images again. Which digits become hard to read even for you? Then try
# which single field helps most, by its *validation* accuracy, `run.history["val_accuracy"][-1]`.

# %% [markdown]
# ## 13. Dropout and batch normalisation
#
# Two remedies with a field of their own in a recipe. *Dropout* silences a random share of the hidden units in each
# step, so that no unit can rely on another. *Batch normalisation* keeps the values inside the network in a steady
# range. We use a wider network, few images and many epochs, so that there is something to remedy.

# %%
tries = {
    "plain": digitlab.train("mlp", data=small, epochs=12, hidden=(256,)),
    "dropout": digitlab.train("mlp", data=small, epochs=12, hidden=(256,), dropout=0.4),
    "batch norm": digitlab.train("mlp", data=small, epochs=12, hidden=(256,), batch_norm=True),
}
for title, each in tries.items():
    h = each.history
    print(f"{title:10}  training loss {h['loss'][-1]:.4f}  validation loss {h['val_loss'][-1]:.4f}", end="")
    print(f"  validation accuracy {h['val_accuracy'][-1]:.2%}")

# %%
figure, ax = plt.subplots(figsize=(6, 3))
for title, each in tries.items():
    ax.plot(each.history["epoch"], each.history["val_loss"], marker="o", label=title)
ax.set(xlabel="epoch", ylabel="validation loss")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# **What to notice.** We compare on the *validation* images: this is a choice between networks, and choices are not
# made on the test. With dropout the training loss is higher (it learns with one hand tied), the gap between training
# and validation is smaller.
#
# **Exercise.** One seed is one throw of the dice. Train each of the three with `seed=1` and `seed=2`. Does the order
# stay the same?

# %% [markdown]
# ## 14. Is it as often right as it is sure?
#
# The network says "99 % sure". If it is honest, 99 of 100 such answers are right. The *reliability diagram* checks
# that.

# %%
judged = tries["plain"].evaluation
draw_reliability(judged.reliability, judged.calibrated_reliability)[0].figure

# %%
print(f"calibration error {judged.calibration_error:.4f}, after temperature scaling", end=" ")
print(f"{judged.calibrated_calibration_error:.4f} (temperature {judged.temperature:.2f})")

# %% [markdown]
# **What to notice.** The network learned its few images by heart and is surer than it should be. *Temperature
# scaling* divides its outputs by one number, fitted on the validation images. It changes no answer, only how sure it
# is. A temperature above 1 means: it was too sure.
#
# **Exercise.** Print the temperatures of the other two tries. Which of the three is the most honest by itself?

# %% [markdown]
# ## 15. Your own handwriting
#
# A photo of your handwriting is not like MNIST: the paper is grey, the ink is dark, the digit is somewhere on a
# large sheet. We make such a photo from a test digit, so that we know the right answer, and read it with the network
# of step 10.

# %%
from PIL import Image

digit = test.images[0]  # a seven
rng = np.random.default_rng(0)
paper = np.linspace(225, 180, 640)[None, :] + rng.normal(0, 4, (480, 640))  # darker towards the right, some noise
ink = np.array(Image.fromarray(digit).resize((140, 140), Image.Resampling.BICUBIC)) / 255
paper[60:200, 420:560] -= 150 * ink
photo = paper.clip(0, 255).astype(np.uint8)

plt.figure(figsize=(5, 3.75))
plt.imshow(photo, cmap="gray", vmin=0, vmax=255)
plt.axis("off")
plt.show()

# %% [markdown]
# First the naive way: shrink it to 28 x 28 and ask. Then one repair after the other.


# %%
def shrink(image):
    return np.array(Image.fromarray(image).resize((28, 28), Image.Resampling.BOX))


def ink_on_black(image):
    """Dark ink on grey paper becomes bright ink on 0: how much darker is each pixel than the paper around?"""
    paper_here = np.median(image, axis=0, keepdims=True)  # the light changes from left to right
    difference = (paper_here - image.astype(float)).clip(0)
    difference[difference < 40] = 0  # below this it is noise
    return (255 * difference / difference.max()).astype(np.uint8)


def like_mnist(image):
    """Cut out the ink, make its longer side 20 pixels, put its centre of mass into the middle of 28 x 28."""
    rows, columns = np.nonzero(image)
    cut = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = 20 / max(cut.shape)
    size = [max(1, round(side * scale)) for side in cut.shape]
    cut = np.array(Image.fromarray(cut).resize((size[1], size[0]), Image.Resampling.BOX))
    centre = [round((cut.sum(axis=1 - axis) * np.arange(size[axis])).sum() / cut.sum()) for axis in (0, 1)]
    sheet = np.zeros((60, 60), np.uint8)
    top, left = 30 - centre[0], 30 - centre[1]
    sheet[top : top + size[0], left : left + size[1]] = cut
    return sheet[16:44, 16:44]


stages = {
    "shrunk": shrink(photo),
    "and inverted": 255 - shrink(photo),
    "ink only": shrink(ink_on_black(photo)),
    "cut out, centred": like_mnist(ink_on_black(photo)),
}
answers = run.model.predict(np.stack(list(stages.values())), verbose=0)
for title, answer in zip(stages, answers, strict=True):
    print(f"{title:17} read as {answer.argmax()}, {answer.max():.0%} sure")

# %%
captions = [f"{title}:\n{answer.argmax()}" for title, answer in zip(stages, answers, strict=True)]
figure, axes = plt.subplots(1, 4, figsize=(8, 2.4))
for ax, picture, caption in zip(axes, stages.values(), captions, strict=True):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
    ax.set_title(caption, fontsize=9)
    ax.axis("off")
plt.show()

# %% [markdown]
# **What to notice.** Only the last image looks like those it learned from. The network is not stupid, it was asked
# about something it had never seen, and it has no way of saying "that is not a digit": it always answers, and often
# with confidence. The preparation is part of the model. Most "the model does not work on my photo" are one of these
# three: inverted, too small, off centre.
#
# **Exercise.** Write a digit on paper, take a photo, and load it with
# `np.array(Image.open("photo.jpg").convert("L"))`. Look at every stage before you look at the answer.

# %% [markdown]
# ## 16. A whole page, and the right to say "no digit"
#
# `digitlab.Reader` does all of this, and more, for a page with many digits: it finds the paper and divides it out,
# takes out ruled lines, finds the pieces of ink, puts them in order, and shows each to a network in MNIST's own
# geometry. We make a page again, so that we know what stands on it: three lines of test digits on ruled paper in bad
# light, and a cross at the end of the second line.

# %%
written = [test.images[:7], test.images[7:12], test.images[12:20]]
truth = ["".join(str(label) for label in test.labels[part]) for part in (slice(7), slice(7, 12), slice(12, 20))]

ink = np.zeros((420, 640))
for line, pictures in enumerate(written):
    for place, picture in enumerate(pictures):
        big = np.array(Image.fromarray(picture).resize((70, 70), Image.Resampling.BICUBIC)) / 255
        top, left = 40 + 120 * line + int(rng.integers(-4, 5)), 30 + 72 * place + int(rng.integers(-3, 4))
        ink[top : top + 70, left : left + 70] = np.maximum(ink[top : top + 70, left : left + 70], big)
for step in range(-22, 23):  # the cross
    ink[195 + step : 200 + step, 462 + step : 467 + step] = ink[195 - step : 200 - step, 462 + step : 467 + step] = 1

light = np.linspace(1, 0.7, 640)[None, :] * np.linspace(1, 0.85, 420)[:, None]
page = np.stack([np.full((420, 640), colour) for colour in (250.0, 246.0, 235.0)], axis=-1)
page[[*range(115, 420, 120), *range(116, 420, 120)]] = (170, 195, 225)  # blue rulings
page = page * (1 - 0.8 * ink[..., None]) * light[..., None] + rng.normal(0, 2, (420, 640, 1))
page = Image.fromarray(page.clip(0, 255).astype(np.uint8))

# %%
from digitlab.reading.overlay import annotated, stages_picture

reader = digitlab.Reader()  # with the network that comes with digitlab
reading = reader.read(page)
for true, read in zip(truth, reading.lines, strict=True):
    print(f"written {true:8}  read {read}")
for digit in reading.digits:
    if digit.rejected:
        print(f"refused: {digit.reason}; the first network alone says {digit.digit}, {digit.confidence:.0%} sure")

# %%
few_colours = {"colors": 128, "method": Image.Quantize.FASTOCTREE}  # enough to see it, and this notebook stays small
annotated(page, reading).quantize(**few_colours)

# %% [markdown]
# Every stage on the way can be looked at: the grey image with the pieces that were found, the paper alone, the ink
# that is left when the image is divided by it, the rulings in blue, and at the bottom what the network saw.

# %%
stages_picture(reading).quantize(**few_colours)

# %% [markdown]
# The reader takes any network, also the one that you trained in step 10.

# %%
own = digitlab.Reader(run.path).read(page)
for true, read in zip(truth, own.lines, strict=True):
    print(f"written {true:8}  read {read}")

# %% [markdown]
# **What to notice.** The cross comes back as `?`: the network that looks over the whole page knows letters and
# marks as a class of their own, because one that can only choose among ten is often sure of it. The line that runs
# through under the digits is nothing to it. And where something is misread, the stages show why: look there first,
# not at the network.
#
# **Exercise.** Now your own hand: write a few digits on paper, take a photo, and put its name in place of `page`:
# `reading = reader.read("photo.jpg")`. Then draw a smiley among them.

# %% [markdown]
# ## Where to go from here
#
# - `digitlab recipes` lists the recipes; `digitlab train mlp2` trains a larger one.
# - `digitlab runs` lists what you have trained here.
# - `docs/traps.md` tells of the mistakes that even experienced people make.
# - The same path as a script of sixty lines: `examples/mnist_classification.py`.
