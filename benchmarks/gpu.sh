#!/bin/sh
# All measurements that need a GPU, as JSON files: benchmarks/gpu.sh [FOLDER], on a machine with one H100.
# SMOKE=1 runs the same commands on a CPU with few edits, to see that they work (its figures mean nothing).
set -eu
out=${1:-benchmarks/gpu}
mkdir -p "$out"

device=cuda dtype=bfloat16 edits=64 widths=1,4,8,16,32,64 narrow=1,4,8,16 steps=0 epochs=10 extra=
large=qwen2.5-7b
if [ "${SMOKE:-}" = 1 ]; then
  device=cpu dtype=float32 edits=2 widths=1,2 narrow=1,2 steps=1 epochs=1 large=qwen2.5-0.5b
  extra="--ways plain,trunk,packed"
fi

inner() { # NAME, then the options that differ
  name=$1; shift
  echo "== $name" >&2
  # shellcheck disable=SC2086
  selfedit bench inner --device "$device" --dtype "$dtype" --edits "$edits" --epochs "$epochs" \
    --released-edits 1 --released-steps "$steps" $extra --json "$@" > "$out/$name.json"
}

{ git rev-parse HEAD; date -u; nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv || true
  python -c 'import torch, transformers, peft; print(torch.__version__, transformers.__version__, peft.__version__)'
} > "$out/machine.txt" 2>&1

# The row "seconds a self-edit, training and 5 answers", and its ratios to B0, B1 and B2.
inner 7b-qv --shape "$large" --modules q_proj,v_proj --layers all --widths "$widths"
# All linear modules: an adapter takes 1.3 GB there, so fewer share a step.
inner 7b-linear --shape "$large" --layers all --widths "$narrow"
inner 7b-linear-upper-half --shape "$large" --layers upper-half --widths "$narrow"
inner 05b-linear-upper-half --shape qwen2.5-0.5b --layers upper-half --widths "$widths"
inner 135m-linear-upper-half --model smollm2-135m --layers upper-half --widths "$widths"
if [ "${SMOKE:-}" != 1 ]; then
  echo "== answers" >&2
  selfedit bench answers --device "$device" --dtype "$dtype" --articles 10 --json > "$out/answers.json"
  # One paper round (50 contexts x 5 edits x 3 seeds) with evaluation: its wall time is what is asked.
  echo "== round" >&2
  python benchmarks/paper_round.py --device "$device" --dtype "$dtype" > "$out/round.json"
fi
python benchmarks/plot_inner.py "$out"
