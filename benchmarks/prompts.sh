#!/usr/bin/env bash
# The paper's figure 4: what rounds of RL make of each prompt for self-edits. Every prompt is trained by
# ReST-EM on the same contexts, and after each round, the 0th too, the policy writes and learns self-edits
# for contexts that none has seen. Round after round, so that there is a table early: OUT/table.md and
# OUT/figure4.svg grow with every evaluation. Killed and started again, it goes on where it was.
#
#   DATA=train.json EVAL=eval200.json benchmarks/prompts.sh
#
# Defaults are for the embedded model on a few cores: hours. SMOKE=1 takes minutes and proves nothing.
# INNER: how self-edits are written and trained, for training and evaluation alike; DIRECTED: what
# `directed` gets besides. The folder of another OUT holds the results of other settings.
set -euo pipefail
: "${DATA:?contexts with questions to train on}" "${EVAL:?contexts with questions to evaluate on}"
MODEL=${MODEL:-smollm2-135m} LIBRARY=${LIBRARY:-runs/prompts} OUT=${OUT:-${LIBRARY:-runs/prompts}/prompts}
STRATEGIES=${STRATEGIES:-"implications self-qa directed"} RULE=${RULE:-positive} REWARD=${REWARD:-true}
ROUNDS=${ROUNDS:-2} CONTEXTS=${CONTEXTS:-40} CANDIDATES=${CANDIDATES:-4} HELD_OUT=${HELD_OUT:-100}
INNER=${INNER-"--epochs 4 --learning-rate 2e-3 --anchor 0 --neighbours 0"}
DIRECTED=${DIRECTED-"--constrained"}
BESIDE=${BESIDE:-base,in-context,passage} # in the 0th round's evaluation, beside the prompt's own edits
[ -z "${SMOKE:-}" ] || { CONTEXTS=2 CANDIDATES=2 HELD_OUT=2; }
here=$(dirname "$0")
source "$here/results.sh"

same_settings "model $MODEL, data $DATA, $EVAL, $ROUNDS rounds x $CONTEXTS contexts x $CANDIDATES edits, rule $RULE, \
reward $REWARD, $HELD_OUT held-out contexts, beside $BESIDE, inner loop: $INNER, directed: $DIRECTED"

selfedit() { # the command with what all calls share; a whole result or none: selfedit RESULT COMMAND ...
  local to=$1
  shift
  # shellcheck disable=SC2086 # INNER and DIRECTED are lists of options
  whole "$to" python -m selfedit "$@" --model "$MODEL" --library "$LIBRARY" --strategy "$strategy" $INNER $own \
    --yes --quiet --json
}

advance() { # the policy of round $round, evaluated: advance RESULT
  if [ "$round" = 0 ]; then
    selfedit "$1" eval knowledge --data "$EVAL" --contexts "$HELD_OUT" --conditions "$BESIDE,own"
    return
  fi
  selfedit "$OUT/$strategy.train.json" train knowledge --data "$DATA" --rounds "$ROUNDS" --until "$round" \
    --contexts "$CONTEXTS" --candidates "$CANDIDATES" --rule "$RULE" --reward "$REWARD" || return
  policy=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["policy"])' \
    "$OUT/$strategy.train.json") || return
  selfedit "$1" eval knowledge --data "$EVAL" --contexts "$HELD_OUT" --conditions own,seal --policy "$policy"
}

failed=0
for round in $(seq 0 "$ROUNDS"); do
  for strategy in $STRATEGIES; do
    own=""
    [ "$strategy" != directed ] || own=$DIRECTED
    result="$OUT/$strategy.round-$round.json"
    [ ! -s "$result" ] || continue
    if advance "$result"; then # one prompt's error does not end the others
      python "$here/prompts.py" "$OUT" | tee "$OUT/table.md"
    else
      echo "$strategy, round $round: stopped with an error (above); start again to go on" >&2
      failed=1
    fi
  done
done
python "$here/prompts.py" "$OUT" > "$OUT/table.md" # if it was killed above, there is none
exit "$failed"
