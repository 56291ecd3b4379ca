"""An image from the world in, digits out: needs neither Keras nor JAX."""
