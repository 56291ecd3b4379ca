"""The version, in one place that a source tree which was never installed has as well."""

__version__ = "0.1.0"
