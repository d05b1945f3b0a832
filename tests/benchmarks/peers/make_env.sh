#!/usr/bin/env bash
# Makes the environments of the peers that cannot share ours: rectools (with implicit), recbole,
# surprise and obp, or those named. They go to .venv-peers/ in the checkout; repeat after a change of
# requirements.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)/.venv-peers
python=${PYTHON:-python3}
names=("$@")
[ $# -gt 0 ] || names=(rectools recbole surprise obp)

for name in "${names[@]}"; do
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
