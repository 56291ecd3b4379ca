"""Images and labels, before any model.

`load()` gives the MNIST that ships with digitlab, or any data set of 28 x 28 images from a folder or file, always in
the same shape: uint8 images (n, 28, 28), ink bright on 0, labels from 0, in train, validation and test.

Example:
    >>> from digitlab.data import load
    >>> mnist = load()
    >>> mnist.train.images.shape, mnist.class_names[3]
    ((55000, 28, 28), '3')
"""

from __future__ import annotations

from digitlab.data.dataset import Dataset, Split, load

__all__ = ["Dataset", "Split", "load"]
