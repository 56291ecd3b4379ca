#!/bin/sh
# The tests with the lowest versions that pyproject.toml allows, in an environment of their own:
#     sh benchmarks/lowest.sh [FOLDER] [pytest's arguments]
# Matplotlib 3.9 calls pyparsing by names that its 3.3 warns of, and warnings are errors in some tests.
# Not the doctests' and browser tests' business; a few minutes, most of it downloads.
set -e
folder=${1:-.lowest}
[ $# -gt 0 ] && shift
cd "$(dirname "$0")/.."
uv venv -q --allow-existing "$folder"
VIRTUAL_ENV=$(cd "$folder" && pwd)
export VIRTUAL_ENV
uv pip install -q --resolution lowest-direct -e . --group dev "pyparsing>=3.1,<3.3"
uv pip list -q 2>/dev/null | grep -iE "^(h11|jax|jinja2|keras|numpy|onnx|onnxruntime|pillow|python-multipart|scipy|starlette|typer|uvicorn) "
# Old packages beside the newest of what they need warn of each other; that is not about digitlab.
exec "$VIRTUAL_ENV/bin/python" -m pytest -q -W default::DeprecationWarning -p no:cacheprovider --override-ini=addopts= "${@:-tests}"
