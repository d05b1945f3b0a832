#!/usr/bin/env bash
# Makes the environments of the peers that cannot share ours: rectools (with implicit), recbole,
# surprise and obp, or those named. They go to .venv-peers/ in the checkout; repeat after a change of
# requirements. Of one that does not install, NAME.failed there says so: the benchmark reads it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)/.venv-peers
python=${PYTHON:-python3}
names=("$@")
[ $# -gt 0 ] || names=(rectools recbole surprise obp)

name=
mkdir -p "$root"
note_failure() {
    local code=$?
    [ $code -eq 0 ] || [ $code -gt 128 ] || [ -z "$name" ] || # above 128: interrupted
        echo "make_env.sh $name ended with code $code on $(date -u +%F)" > "$root/$name.failed"
}
trap note_failure EXIT

for name in "${names[@]}"; do
    rm -f "$root/$name.failed"
    "$python" -m venv "$root/$name"
    pip=("$root/$name/bin/pip" install --quiet --disable-pip-version-check)
    "${pip[@]}" -r "$here/requirements_$name.txt"
    case $name in
    recbole)
        "${pip[@]}" --no-deps recbole==1.2.1
        "$root/$name/bin/python" -c "import recbole.config, recbole.data, recbole.trainer"
        ;;
    obp)
        # it declares Python below 3.11 and torch 1.12; its estimators need neither
        "${pip[@]}" --no-deps --ignore-requires-python obp==0.5.7
        ;;
    surprise) "$root/$name/bin/python" -c "import surprise" ;;
    *) "$root/$name/bin/python" -c "import implicit, rectools.models.nn.transformers.sasrec" ;;
    esac
    echo "environment of $name: $root/$name"
done
