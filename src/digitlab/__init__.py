"""digitlab: train, judge, keep and use neural networks that read handwritten digits."""
