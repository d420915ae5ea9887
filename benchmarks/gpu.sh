#!/bin/sh
# All measurements that need a GPU, with one command: benchmarks/gpu.sh [FOLDER], on a machine with one
# H100, with selfedit installed and $SELFEDIT_DATA where the recorded edits are. Writes FOLDER/gpu.json,
# which results_table.py reads, and figures; started again, it does what has no result yet. It should take
# 8 minutes (gpu.sh --estimate says how that was reckoned), after which no further stage begins.
# SMOKE=1 runs every stage on a CPU with a tiny shape, to see that it works; its figures mean nothing.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
stop() { echo "gpu.sh: $1" >&2; exit 1; }
python -c 'import selfedit' 2> /dev/null ||
  stop "python on the PATH cannot import selfedit: activate its environment (. .venv/bin/activate)."
[ -f "${SELFEDIT_DATA:-$root/../shared/data}/recorded/round1_trials.json" ] ||
  stop "the recorded edits are not there: set SELFEDIT_DATA to the folder with recorded/round1_trials.json."
# Less fragmentation of memory, and no plan of cuDNN's for each new shape (the engine turns it off, too).
export PYTORCH_ALLOC_CONF=expandable_segments:True TORCH_CUDNN_SDPA_DEPRIORITIZED=1
export SELFEDIT_DATA="${SELFEDIT_DATA:-$root/../shared/data}" PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec python "$root/benchmarks/gpu_stages.py" ${SMOKE:+--smoke} "$@"
