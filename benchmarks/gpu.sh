#!/bin/sh
# All measurements that need a GPU: benchmarks/gpu.sh [FOLDER], on a machine with one H100, with selfedit
# installed and $SELFEDIT_DATA where the recorded edits are. Writes one JSON, FOLDER/gpu.json, which
# results_table.py reads, and figures. Correctness comes first: what is wrong need not be fast. Meant to
# take 8 minutes, which nobody has been able to check.
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

device=cuda dtype=bfloat16 large=qwen2.5-7b widths=1,8,32 narrow=1,8,24
settings="--edits 32 --peer-edits 4 --epochs 10 --repeats 2 --released-edits 1 --released-steps 3"
middle=llama-3.2-1b check=
ways=plain,trainer,mixed,padded,packed,trunk,refilled,checkpointed
articles="--articles 10" round= less=
if [ "${SMOKE:-}" = 1 ]; then
  device=cpu dtype=float32 large=smollm2-135m middle=smollm2-135m widths=1,2 narrow=1
  check="--shape smollm2-135m --edits 1 --epochs 1 --adapters 2"
  settings="--edits 2 --peer-edits 1 --epochs 1 --repeats 1 --released-edits 1 --released-steps 1 --questions 1"
  # All ways once, in the first run. (The released way's one step takes 12 GB in the 0.5B shape.)
  less="--edits 1 --widths 1 --ways plain,packed,trunk --released-edits 0 --questions 0"
  articles="--articles 1 --edits 1 --repeats 1" round="--contexts 1 --edits 1 --seeds 1 --epochs 1"
fi

# Less fragmentation of memory, and no plan of cuDNN's for each new shape (the engine turns it off, too).
export PYTORCH_ALLOC_CONF=expandable_segments:True TORCH_CUDNN_SDPA_DEPRIORITIZED=1
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
# Equality in bfloat16 and float32, packed and padded, graphs and eager; a profile of one step.
run check python benchmarks/gpu_check.py --device "$device" $check
# The row "seconds a self-edit, training and 5 answers", and its ratios to B0, B1 and B2.
inner 7b-qv --shape "$large" --modules q_proj,v_proj --layers all --widths "$widths"
# All linear modules: an adapter takes 1.3 GB there, so fewer share a step.
inner 7b-linear --shape "$large" --layers all --widths "$narrow" $less
inner 7b-linear-upper-half --shape "$large" --layers upper-half --widths "$narrow" $less
inner 1b-linear-upper-half --shape "$middle" --layers upper-half --widths "$widths" $less
inner 135m-linear-upper-half --model smollm2-135m --layers upper-half --widths "$widths" $less
run answers selfedit bench answers --device "$device" --dtype "$dtype" $articles --json
# One paper round (50 contexts x 5 edits x 3 seeds) with evaluation: its wall time is what is asked.
run round python benchmarks/paper_round.py --device "$device" --dtype "$dtype" $round
}
python benchmarks/plot_inner.py "$out"
python - "$out" << 'END'
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
steps = {f.stem: json.loads(f.read_text()) for f in sorted(out.glob("*.json")) if f.stem != "gpu"}
machine = (out / "machine.txt").read_text().splitlines()
(out / "gpu.json").write_text(json.dumps({"machine": machine, "steps": steps}, indent=1) + "\n")
END
echo "For benchmarks/RESULTS.md: python benchmarks/results_table.py $out/gpu.json" >&2
[ -z "$failed" ] || stop "these failed (see above):$failed"
