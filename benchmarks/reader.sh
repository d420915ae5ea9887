#!/usr/bin/env bash
# The reader: trained on some contexts, then asked what documents that it has never seen teach it, beside
# the model without it. Killed and started again, it goes on where it was.
#
#   DATA=train.json EVAL=eval200.json benchmarks/reader.sh
#
# Defaults are for the embedded model on a few cores: hours. SMOKE=1 takes minutes and proves nothing.
set -euo pipefail
: "${DATA:?contexts with questions to train on}" "${EVAL:?contexts with questions to evaluate on}"
MODEL=${MODEL:-smollm2-135m} LIBRARY=${LIBRARY:-runs/reader}
ROUNDS=${ROUNDS:-2} CONTEXTS=${CONTEXTS:-48} HELD_OUT=${HELD_OUT:-100}
preset=(--rounds "$ROUNDS" --contexts "$CONTEXTS")
[ -z "${SMOKE:-}" ] || { HELD_OUT=2 preset=(--preset smoke --probe 0); }
run=(python -m selfedit)
mkdir -p "$LIBRARY"

"${run[@]}" train reader --model "$MODEL" --library "$LIBRARY" --data "$DATA" "${preset[@]}" --yes --quiet \
  ${STRATEGY:+--strategy "$STRATEGY"} --json > "$LIBRARY/reader.json"
reader=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["policy"])' "$LIBRARY/reader.json")
for model in "$MODEL" "$reader"; do
  name=$(basename "$model")
  "${run[@]}" eval knowledge --model "$model" --library "$LIBRARY" --data "$EVAL" --contexts "$HELD_OUT" \
    --conditions base,in-context,passage,own ${STRATEGY:+--strategy "$STRATEGY"} --yes --quiet --json > "$LIBRARY/$name.eval.json"
  python - "$name" "$LIBRARY/$name.eval.json" <<'PY'
import json, sys
found = json.load(open(sys.argv[2]))
print(sys.argv[1] + ": " + ", ".join(f"{row['condition']} {100 * row['accuracy']:.1f} %" for row in found["rows"]))
PY
done
"${run[@]}" report --library "$LIBRARY" || true
