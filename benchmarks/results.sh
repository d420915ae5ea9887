# Sourced by the experiments of this folder, which keep their results in $OUT and go on where they were.

same_settings() { # same_settings TEXT: ends the experiment if $OUT holds results of other settings
  mkdir -p "$OUT"
  if [ ! -s "$OUT/settings" ]; then
    echo "$1" > "$OUT/settings"
  elif [ "$1" != "$(cat "$OUT/settings")" ]; then
    echo "$OUT holds results of other settings: $(cat "$OUT/settings"). Set OUT to another folder." >&2
    exit 2
  fi
}

whole() { # whole RESULT COMMAND ...: what the command prints, in a file that is whole or not there
  local to=$1
  shift
  "$@" > "$to.part" && mv "$to.part" "$to"
}
