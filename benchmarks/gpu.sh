#!/bin/sh
# All measurements that need a GPU, as JSON files and figures: benchmarks/gpu.sh [FOLDER], on a machine with
# one H100, with selfedit installed and $SELFEDIT_DATA where the recorded edits are.
# SMOKE=1 runs the same commands on a CPU with one or two edits, to see that they work (its figures mean
# nothing). A run that fails does not stop the others; they are named at the end.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$root/benchmarks/gpu}
case $out in /*) ;; *) out=$PWD/$out ;; esac
cd "$root"

stop() { echo "gpu.sh: $1" >&2; exit 1; }
command -v selfedit > /dev/null ||
  stop "there is no selfedit on the PATH: install it (make) and activate its environment (. .venv/bin/activate)."
python -c 'import selfedit' 2> /dev/null ||
  stop "python on the PATH cannot import selfedit: activate the environment that selfedit is in."
[ -f "${SELFEDIT_DATA:-../shared/data}/recorded/round1_trials.json" ] ||
  stop "the recorded edits are not there: set SELFEDIT_DATA to the folder with recorded/round1_trials.json."
mkdir -p "$out"

device=cuda dtype=bfloat16 large=qwen2.5-7b widths=1,4,8,16,32,64 narrow=1,4,8,16
settings="--edits 64 --peer-edits 8 --epochs 10 --repeats 2 --released-edits 1 --released-steps 0"
ways=plain,trainer,mixed,padded,packed,trunk,refilled,checkpointed
articles="--articles 10" round= less=
if [ "${SMOKE:-}" = 1 ]; then
  device=cpu dtype=float32 large=smollm2-135m widths=1,2 narrow=1
  settings="--edits 2 --peer-edits 1 --epochs 1 --repeats 1 --released-edits 1 --released-steps 1 --questions 1"
  # All ways once, in the first run. (The released way's one step takes 12 GB in the 0.5B shape.)
  less="--edits 1 --widths 1 --ways plain,packed,trunk --released-edits 0 --questions 0"
  articles="--articles 1 --edits 1 --repeats 1" round="--contexts 1 --edits 1 --seeds 1 --epochs 1"
fi

failed=
run() { # NAME, then the command whose output is its JSON
  name=$1; shift
  echo "== $name: $*" >&2
  if "$@" > "$out/$name.part"; then
    mv "$out/$name.part" "$out/$name.json"
  else
    rm -f "$out/$name.part"
    failed="$failed $name"
  fi
}
inner() { # NAME, then the options that differ
  name=$1; shift
  # shellcheck disable=SC2086
  run "$name" selfedit bench inner --device "$device" --dtype "$dtype" $settings --ways "$ways" --json "$@"
}

{ git rev-parse HEAD; date -u; nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv || true
  python -c 'import torch, transformers, peft; print(torch.__version__, transformers.__version__, peft.__version__)'
} > "$out/machine.txt" 2>&1

# shellcheck disable=SC2086
{
# The row "seconds a self-edit, training and 5 answers", and its ratios to B0, B1 and B2.
inner 7b-qv --shape "$large" --modules q_proj,v_proj --layers all --widths "$widths"
# All linear modules: an adapter takes 1.3 GB there, so fewer share a step.
inner 7b-linear --shape "$large" --layers all --widths "$narrow" $less
inner 7b-linear-upper-half --shape "$large" --layers upper-half --widths "$narrow" $less
inner 05b-linear-upper-half --shape qwen2.5-0.5b --layers upper-half --widths "$widths" $less
inner 135m-linear-upper-half --model smollm2-135m --layers upper-half --widths "$widths" $less
run answers selfedit bench answers --device "$device" --dtype "$dtype" $articles --json
# One paper round (50 contexts x 5 edits x 3 seeds) with evaluation: its wall time is what is asked.
run round python benchmarks/paper_round.py --device "$device" --dtype "$dtype" $round
}
python benchmarks/plot_inner.py "$out"
echo "For benchmarks/RESULTS.md: python benchmarks/results_table.py $out; $out/machine.txt says where." >&2
[ -z "$failed" ] || stop "these failed (see above):$failed"
