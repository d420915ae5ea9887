#!/usr/bin/env bash
# The reader: trained on some contexts, then asked what documents that it has never seen teach it, beside
# the model without it. Killed and started again, it goes on where it was.
#
#   DATA=train.json EVAL=eval200.json benchmarks/reader.sh
#
# Defaults are for the embedded model on a few cores: hours. SMOKE=1 takes minutes and proves nothing.
# INNER: how self-edits are written and trained, for the reader and the evaluations alike. OUT of other
# settings has to be another folder; OUT/table.md is the result.
set -euo pipefail
: "${DATA:?contexts with questions to train on}" "${EVAL:?contexts with questions to evaluate on}"
MODEL=${MODEL:-smollm2-135m} LIBRARY=${LIBRARY:-runs/reader} OUT=${OUT:-${LIBRARY:-runs/reader}/reader}
ROUNDS=${ROUNDS:-2} CONTEXTS=${CONTEXTS:-48} HELD_OUT=${HELD_OUT:-100} INNER=${INNER-}
CONDITIONS=${CONDITIONS:-base,in-context,passage,own}
READER=${READER-} # options of `train reader` alone, such as --merge
preset=(--rounds "$ROUNDS" --contexts "$CONTEXTS")
[ -z "${SMOKE:-}" ] || { HELD_OUT=2 preset=(--preset smoke --probe 0); }
here=$(dirname "$0")
source "$here/results.sh"

same_settings "model $MODEL, data $DATA, $EVAL, ${preset[*]}, $HELD_OUT held-out contexts, $CONDITIONS, inner loop: $INNER, reader: $READER"

selfedit() { # a whole result or none: selfedit RESULT COMMAND ...
  local to=$1
  shift
  [ ! -s "$to" ] || return 0
  # shellcheck disable=SC2086 # INNER is a list of options
  whole "$to" python -m selfedit "$@" --library "$LIBRARY" $INNER --yes --quiet --json
}

# shellcheck disable=SC2086 # READER is a list of options
selfedit "$OUT/train.json" train reader --model "$MODEL" --data "$DATA" "${preset[@]}" $READER
reader=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["policy"])' "$OUT/train.json")
if [ "$reader" = "$MODEL" ]; then
  echo "no reader came of it: $OUT/train.json says why" >&2
  exit 1
fi
evaluate=(eval knowledge --data "$EVAL" --contexts "$HELD_OUT" --conditions "$CONDITIONS")
selfedit "$OUT/without.json" "${evaluate[@]}" --model "$MODEL"
selfedit "$OUT/with.json" "${evaluate[@]}" --model "$reader"
python "$here/reader.py" "$OUT" | tee "$OUT/table.md"
