#!/usr/bin/env bash
# The algorithms at an equal number of inner loops: rounds x contexts x candidates are the same for all,
# and so is the library, where a first round's edits are trained once for all of them. Then every policy
# writes self-edits for contexts that none has seen, beside the bare model's own. Killed and started
# again, it goes on where it was.
#
#   DATA=train.json EVAL=eval200.json benchmarks/compare_algorithms.sh
#
# Defaults are for the embedded model on a few cores: hours. SMOKE=1 takes minutes and proves nothing.
# INNER: how self-edits are written and trained, for training and evaluation alike. RULE: ReST-EM's. OUT: of results.
set -euo pipefail
: "${DATA:?contexts with questions to train on}" "${EVAL:?contexts with questions to evaluate on}"
MODEL=${MODEL:-smollm2-135m} LIBRARY=${LIBRARY:-runs/algorithms} STRATEGY=${STRATEGY:-implications}
ROUNDS=${ROUNDS:-2} CONTEXTS=${CONTEXTS:-40} CANDIDATES=${CANDIDATES:-4} HELD_OUT=${HELD_OUT:-100}
INNER=${INNER-} RULE=${RULE:-best}
ALGORITHMS=${ALGORITHMS:-"rest-em grpo grpo:dr_grpo grpo:dapo rloo ppo dpo"}
[ -z "${SMOKE:-}" ] || { ROUNDS=1 CONTEXTS=2 CANDIDATES=2 HELD_OUT=2; }
run=(python -m selfedit)
# shellcheck disable=SC2206 # INNER is a list of options
common=(--model "$MODEL" --library "$LIBRARY" --strategy "$STRATEGY" $INNER --yes --quiet)
OUT=${OUT:-$LIBRARY}
mkdir -p "$OUT"

for algorithm in $ALGORITHMS; do
  name=${algorithm%%:*} variant=${algorithm#*:}
  how=(--algorithm "$name")
  [ "$variant" = "$algorithm" ] || how+=(--normalisation "$variant")
  [ "$name" != rest-em ] || how+=(--rule "$RULE")
  out="$OUT/${algorithm/:/-}"
  "${run[@]}" train knowledge "${common[@]}" --data "$DATA" --rounds "$ROUNDS" --contexts "$CONTEXTS" \
    --candidates "$CANDIDATES" "${how[@]}" ${REWARD:+--reward "$REWARD"} --json > "$out.train.json"
  policy=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["policy"])' "$out.train.json")
  if [ "$policy" = "$MODEL" ]; then echo "$algorithm: no policy came of it"; continue; fi
  "${run[@]}" eval knowledge "${common[@]}" --data "$EVAL" --contexts "$HELD_OUT" \
    --conditions base,own,seal --policy "$policy" --json > "$out.eval.json"
  python - "$algorithm" "$out.train.json" "$out.eval.json" <<'PY'
import json, sys
name, train, found = sys.argv[1], *(json.load(open(path)) for path in sys.argv[2:])
rows = ", ".join(f"{row['condition']} {100 * row['accuracy']:.1f} %" for row in found["rows"])
last = train["rounds"][-1]["metrics"]
print(f"{name}: {rows}; entropy {last.get('entropy', float('nan')):.2f}, diversity {last.get('diversity', 0):.2f}")
PY
done
