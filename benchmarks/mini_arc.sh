#!/usr/bin/env bash
# The paper's few-shot table (section 4.2) on small tasks of our own, for models to which ARC's give nothing
# to reward: which tasks the oracle solves and the model as it is does not (one that it solves rewards edits
# that change nothing), one round of RL on some, the table on others, and what RL changed in the choices.
# No task of the training split is one of the evaluation split. Killed and started again, it goes on where
# it was.
#
#   benchmarks/mini_arc.sh
#
# Defaults are for the embedded model on a few cores: hours. SMOKE=1 takes minutes and proves nothing.
# OUT/table.md is the report; OUT of other settings has to be another folder.
set -euo pipefail
MODEL=${MODEL:-smollm2-135m} LIBRARY=${LIBRARY:-runs/mini-arc} OUT=${OUT:-${LIBRARY:-runs/mini-arc}/mini-arc}
TASKS=${TASKS:-11} CANDIDATES=${CANDIDATES:-15} ROUNDS=${ROUNDS:-1} # of training
HELD_OUT=${HELD_OUT:-8} EDITS=${EDITS:-5}                            # of the evaluation
TRIED=${TRIED:-60} TRIED_HELD_OUT=${TRIED_HELD_OUT:-${TRIED:-60}}    # tasks of each split that the oracle tries
SOURCE=${SOURCE:-"--sizes 3-5 --mini-seed 0"}
ADAPT=${ADAPT-}                # how every task is learned, by the oracle, too: --examples, --rank, --step-limit
ORACLE=${ORACLE-}              # the fixed best self-edit: --learning-rate, --epochs, --groups
INNER=${INNER-"--constrained"} # how self-edits are written: --rate-bounds 1e-5,1e-2 --epoch-bounds 1,3, too
POLICY=${POLICY-}              # the round: --policy-learning-rate, --rule, --temperature (of its edits alone)
[ -z "${SMOKE:-}" ] || { TASKS=2 CANDIDATES=3 HELD_OUT=2 EDITS=2 TRIED=6 TRIED_HELD_OUT=6; }

source "$(dirname "$0")/results.sh"

same_settings "model $MODEL, $ROUNDS rounds x $TASKS tasks x $CANDIDATES edits, $HELD_OUT held out x $EDITS, \
$TRIED + $TRIED_HELD_OUT tried, not in context, $SOURCE, $ADAPT, ${ORACLE:+$ORACLE, }$INNER${POLICY:+, $POLICY}"
[[ $INNER != *--constrained* ]] || python -c 'import llguidance' # before hours of trainings that need none

selfedit() { # a whole result or none: selfedit RESULT COMMAND ...
  local to=$1
  shift
  [ ! -s "$to" ] || return 0
  # shellcheck disable=SC2086 # lists of options
  whole "$to" python -m selfedit "$@" --model "$MODEL" --library "$LIBRARY" --source mini $SOURCE $ADAPT \
    --preset arc-small --yes --quiet --json
}

for split in training evaluation; do
  [ "$split" = training ] && tried=$TRIED || tried=$TRIED_HELD_OUT
  # shellcheck disable=SC2086
  selfedit "$OUT/$split.json" arc solvable --split "$split" --limit "$tried" $ORACLE \
    --out "$OUT/$split.txt" --only-learned
  python - "$split" "$OUT/$split.json" <<'PY'
import json, sys
found = json.load(open(sys.argv[2]))
print(f"{sys.argv[1]}: {len(found['solvable'])} of {len(found['tried'])} tasks solved by the oracle, "
      f"{len(found['in_context'])} without training")
PY
done
# shellcheck disable=SC2086
selfedit "$OUT/train.json" train arc --split training --ids "$OUT/training.txt" --rounds "$ROUNDS" \
  --contexts "$TASKS" --candidates "$CANDIDATES" $INNER $POLICY
policy=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["policy"])' "$OUT/train.json")
if [ "$policy" = "$MODEL" ]; then
  echo "no edit was rewarded, so no policy came of it" >&2
  exit 1
fi
# shellcheck disable=SC2086
selfedit "$OUT/eval.json" eval arc --split evaluation --ids "$OUT/evaluation.txt" --limit "$HELD_OUT" \
  --candidates "$EDITS" --conditions in-context,ttt,seal,oracle --policy "$policy" $ORACLE $INNER \
  --markdown "$OUT/table.md"
cat "$OUT/table.md"
