"""`--scheduler`: a Dask cluster in place of this machine's processes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from digitlab.runs.cluster import Cluster


def cluster_at(address: str) -> Cluster:
    """The cluster with its scheduler at an address; Dask's own words about lost connections stay off the terminal."""
    from digitlab.runs.cluster import Cluster

    cluster = Cluster(address)
    for name in ("distributed", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return cluster
